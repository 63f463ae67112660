//! The pure machine that moves traffic stage by stage, or back.

pub(crate) mod arms;
mod carried;
pub(crate) mod criteria;
pub(crate) mod decision;
pub(crate) mod deployer;
pub(crate) mod identity;
#[cfg(test)]
mod little_traffic;
pub(crate) mod machine;
pub(crate) mod plan;
pub(crate) mod ports;
pub(crate) mod probes;
pub(crate) mod ready;
pub(crate) mod samples;
pub(crate) mod snapshot;
pub(crate) mod step;
pub(crate) mod tally;
pub(crate) mod users;
