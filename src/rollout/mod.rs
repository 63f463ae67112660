//! The pure machine that moves traffic stage by stage, or back.

pub(crate) mod advance;
pub(crate) mod arms;
pub(crate) mod board;
pub(crate) mod bypass;
mod capabilities;
mod carried;
pub(crate) mod closing;
pub(crate) mod criteria;
pub(crate) mod decision;
pub(crate) mod deployer;
pub(crate) mod health;
pub(crate) mod identity;
#[cfg(test)]
mod little_traffic;
pub(crate) mod lowered;
pub(crate) mod machine;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod probes;
pub(crate) mod ready;
pub(crate) mod recent;
pub(crate) mod samples;
pub(crate) mod snapshot;
pub(crate) mod step;
pub(crate) mod tally;
pub(crate) mod throughput;
pub(crate) mod triggers;
pub(crate) mod users;
pub(crate) mod watched;
