//! Objectives, samples and the statistics that judge them.

pub(crate) mod alerts;
pub(crate) mod budget;
pub(crate) mod burn;
pub(crate) mod compare;
pub(crate) mod dashboard;
pub(crate) mod decide;
pub(crate) mod environment;
pub(crate) mod hard_limit;
pub(crate) mod judge_objectives;
pub(crate) mod judge_observed;
pub(crate) mod kayenta;
pub(crate) mod manifest;
pub(crate) mod objective;
pub(crate) mod openslo;
pub(crate) mod profile;
pub(crate) mod promql;
pub(crate) mod raw;
pub(crate) mod sample;
pub(crate) mod samples_needed;
pub(crate) mod source;
pub(crate) mod statistics;
pub(crate) mod telemetry;
pub(crate) mod vercel_query;
