//! Objectives, samples and the statistics that judge them.

pub(crate) mod compare;
pub(crate) mod decide;
pub(crate) mod hard_limit;
pub(crate) mod judge_objectives;
pub(crate) mod kayenta;
pub(crate) mod manifest;
pub(crate) mod objective;
pub(crate) mod profile;
pub(crate) mod raw;
pub(crate) mod sample;
pub(crate) mod samples_needed;
pub(crate) mod statistics;
