//! The embedded reverse proxy that splits traffic between two upstreams.
//!
//! `state` and `split` decide and know no socket; `control` swaps what they decided; `proxy`,
//! `pool` and `server` move bytes; `admin` is the only way to change anything from outside.

pub(crate) mod admin;
mod answers;
pub(crate) mod api;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod control;
mod exchange;
pub(crate) mod headers;
pub(crate) mod health;
pub(crate) mod lowered;
mod maintenance;
pub(crate) mod metrics;
mod patience;
pub(crate) mod persist;
pub(crate) mod pool;
pub(crate) mod prometheus;
pub(crate) mod proxy;
pub(crate) mod server;
mod sockets;
pub(crate) mod split;
pub(crate) mod state;
pub(crate) mod testers;
pub(crate) mod upgrade;
pub(crate) mod upload;
pub(crate) mod visits;
