//! Deciding: checks look at the world and judge what they saw; a gate takes the worst.
//! Knows nothing of ledgers, platforms or releases.

pub(crate) mod check;
pub(crate) mod clearance;
pub(crate) mod engine;
pub(crate) mod exhibit;
pub(crate) mod phase;
pub(crate) mod rules;
pub(crate) mod ruling;
pub(crate) mod verdict;
pub(crate) mod waiver;
