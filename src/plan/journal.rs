//! Where a plan writes its intents and outcomes: the ledger, in the plan's words.

use async_trait::async_trait;

use crate::base::ids::OrcaId;
use crate::ledger::entry::{Body, Outcome};
use crate::ledger::unsound::Unsound;

/// Why the journal did not take an entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JournalError {
    /// A newer state makes this decision wrong: nothing may be done.
    #[error("{0}")]
    Refused(String),
    /// The ledger cannot be trusted: nothing may be done.
    #[error("{0}")]
    Unsound(Unsound),
    /// It could not be written.
    #[error("{0}")]
    Unwritten(String),
}

/// Written before and after every step.
#[async_trait]
pub(crate) trait Journal: Send + Sync {
    /// A new id for a run of a step.
    fn step_id(&self) -> OrcaId;

    /// Keeps what is about to be done.
    async fn intend(&self, body: Body) -> Result<(), JournalError>;

    /// Keeps what came of it.
    async fn ended(
        &self,
        step: &OrcaId,
        outcome: Outcome,
        detail: &str,
    ) -> Result<(), JournalError>;
}
