//! Load with a truthful clock: an open model, latency from the intended start.

pub(crate) mod capacity;
pub(crate) mod collector;
pub(crate) mod driver;
pub(crate) mod expect;
pub(crate) mod from_manifest;
mod http1;
mod http2;
mod lane;
pub(crate) mod machine;
pub(crate) mod merge;
pub(crate) mod once;
pub(crate) mod outlook;
pub(crate) mod paired;
pub(crate) mod plan;
pub(crate) mod recorder;
mod request;
mod resolve;
pub(crate) mod response;
pub(crate) mod result;
pub(crate) mod rows;
pub(crate) mod sample_service;
pub(crate) mod schedule;
pub(crate) mod shard;
pub(crate) mod slo_check;
pub(crate) mod template;
mod timer;
mod transport;
