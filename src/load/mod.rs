//! Load with a truthful clock: an open model, latency from the intended start.

pub(crate) mod collector;
pub(crate) mod driver;
pub(crate) mod from_manifest;
pub(crate) mod http1;
mod lane;
pub(crate) mod machine;
pub(crate) mod paired;
pub(crate) mod plan;
pub(crate) mod recorder;
pub(crate) mod response;
pub(crate) mod result;
pub(crate) mod sample_service;
pub(crate) mod schedule;
pub(crate) mod slo_check;
pub(crate) mod timer;
