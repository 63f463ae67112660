//! Postgres: finding its programs, a throwaway cluster on a socket, connections, dumps and restores.

pub(crate) mod address;
pub(crate) mod binaries;
pub(crate) mod branch;
pub(crate) mod cluster;
pub(crate) mod dump;
pub(crate) mod install;
pub(crate) mod partial;
pub(crate) mod program;
pub(crate) mod restore;
pub(crate) mod session;
pub(crate) mod shadow;
pub(crate) mod sweep;
pub(crate) mod target;
pub(crate) mod template;
