//! The router with real sockets on loopback.

mod changes;
mod requests;
pub(crate) mod support;
