//! Objectives, samples and the statistics that judge them.

pub(crate) mod objective;
pub(crate) mod sample;
