//! Where people look at a deployment they also see what orca decided about it. Nothing waits for it,
//! and nothing rests on it: the ledger is where decisions stand.

use async_trait::async_trait;

use super::ports::PlatformError;
use crate::base::ids::DeploymentId;

/// A platform that shows verdicts of others beside its deployments.
#[async_trait]
pub(crate) trait Board: Send + Sync {
    /// Shows it. It blocks nothing on the platform; the newest stands where people look first.
    async fn show(&self, deployment: &DeploymentId, notice: &Notice) -> Result<(), PlatformError>;
}

/// What was decided about a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) decided: Decided,
    /// One sentence.
    pub(crate) text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decided {
    Good,
    Bad,
    Undecided,
    /// Somebody ended it: it says nothing of the deployment.
    Cancelled,
}
