//! One step of a plan, and what a plan says about itself before it runs.

use async_trait::async_trait;
use serde::Serialize;

use crate::base::ids::OrcaId;
use crate::base::units::Micros;
use crate::ledger::entry::Body;

/// What `--dry-run` prints of a step. The same value describes the step that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Description {
    /// Stable name: `changelog`, `tag`, `push`.
    pub(crate) name: &'static str,
    /// What it does, in one line.
    pub(crate) title: String,
    /// The calls it makes: commands or requests, secrets masked.
    pub(crate) calls: Vec<String>,
    /// How long it usually takes.
    pub(crate) expected_us: Micros,
    /// What can go wrong that a person should know before.
    pub(crate) risk: Option<String>,
    /// How it is taken back; absent when it is not.
    pub(crate) back: Option<String>,
    /// Whether it is done already and will be skipped.
    pub(crate) done: bool,
}

/// Why a step did not do its work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct StepError {
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: String,
    /// Whether the world may have changed all the same.
    pub(crate) uncertain: bool,
}

impl StepError {
    pub(crate) fn unchanged(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), uncertain: false }
    }

    pub(crate) fn uncertain(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into(), uncertain: true }
    }
}

/// One step. `apply` is safe to repeat; it is never dropped half way.
#[async_trait]
pub(crate) trait Step: Send {
    fn describe(&self) -> Description;

    /// What the ledger keeps before the step acts, under the id of this run of the step.
    fn intent(&self, step: &OrcaId) -> Body;

    /// Acts. The text says what was done.
    async fn apply(&mut self) -> Result<String, StepError>;

    /// Looks whether the world is as the step promised.
    async fn verify(&mut self) -> Result<(), StepError>;

    /// Takes back what `apply` did, where that makes sense. `false`: left as it is.
    async fn take_back(&mut self) -> Result<bool, StepError> {
        Ok(false)
    }
}
