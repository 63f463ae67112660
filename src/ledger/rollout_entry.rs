//! What the ledger remembers of a canary: how it began, each stage, and how it ended.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, DeploymentId, OrcaId, ReleaseName};
use crate::base::units::Weight;
use crate::gate::verdict::Verdict;

/// The beginning of a canary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolloutStarted {
    pub(crate) rollout: OrcaId,
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
    pub(crate) digest: Option<Digest>,
    pub(crate) canary: DeploymentId,
    pub(crate) base: DeploymentId,
    pub(crate) base_commit: Option<CommitId>,
    /// The stages as they will run: the resolved rollout plan.
    pub(crate) plan: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageDecided {
    pub(crate) rollout: OrcaId,
    /// 1-based.
    pub(crate) stage: u32,
    pub(crate) weight: Weight,
    pub(crate) verdict: Verdict,
    /// What the machine does next: `raise`, `hold`, `abort`, `withdraw`, `done`.
    pub(crate) next: String,
    pub(crate) headline: String,
    /// Requests by users on each arm during the stage, and how many of them failed.
    pub(crate) base_requests: u64,
    pub(crate) base_errors: u64,
    pub(crate) canary_requests: u64,
    pub(crate) canary_errors: u64,
}

/// A stage has its weight on the platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageBegan {
    pub(crate) rollout: OrcaId,
    /// 1-based.
    pub(crate) stage: u32,
    pub(crate) weight: Weight,
    /// The exhibit with what each arm had answered until then; absent when the platform did not
    /// say. A later entry about the same stage brings it.
    pub(crate) samples: Option<Digest>,
}

/// A person holds the canary where it is: nothing is raised until it is resumed or ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Paused {
    pub(crate) rollout: OrcaId,
    pub(crate) until: Timestamp,
    pub(crate) then: AfterPause,
    pub(crate) reason: String,
}

/// A person lets a stage go on that the data could not decide. Never a stage that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Advanced {
    pub(crate) rollout: OrcaId,
    /// 1-based.
    pub(crate) stage: u32,
    pub(crate) reason: String,
}

/// What happens when nobody resumes it in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AfterPause {
    /// It goes on.
    Resume,
    /// Users go back to base: undecided, no failed change.
    Withdraw,
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RolloutEnd {
    /// All traffic is on the canary, the old base is kept ready.
    Complete,
    /// A judged breach: this condemns the commit in this environment.
    RolledBack,
    /// Undecided until `max_hold`: not a failed change.
    Withdrawn,
    /// Ctrl-C, SIGTERM or `canary abort`: not a failed change.
    Aborted,
    /// Nobody renewed the grant; users are back on base.
    GrantEnded,
}
