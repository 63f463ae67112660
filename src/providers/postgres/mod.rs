//! Postgres: finding its programs, a throwaway cluster on a socket, connections.

pub(crate) mod binaries;
pub(crate) mod cluster;
pub(crate) mod session;
pub(crate) mod shadow;
pub(crate) mod sweep;
