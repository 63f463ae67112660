//! Netflix's automated canary judge (spinnaker/kayenta, `NetflixACAJudge-v1.0`), written again from
//! its observable behaviour: an oracle beside orca's own judge, never a gate.
//!
//! It keeps what is weak in the original, too: roots are searched with an absolute tolerance of
//! 1e-4, so its interval depends on the unit of the values. Its own test vectors are the tests.

mod arm;
mod classify;
mod interval;
mod root;
mod score;

pub(crate) use arm::{Arm, NanStrategy, Outliers};
pub(crate) use classify::{
    Classified, Direction, EffectMeasure, Label, Metric, Thresholds, classify,
};
pub(crate) use score::{Group, Summary, Weighed, score};

#[cfg(test)]
mod tests;
