//! `orca demo`: one good, one bad and one abandoned release, on this machine, with real traffic through the real
//! router. Every step is an `orca` command that a user could type, run as its own process.

pub(crate) mod acts;
pub(crate) mod repository;
pub(crate) mod stage;
