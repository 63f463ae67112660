//! The only ways to move traffic. A [`Clearance`] permits one raise and is made only by
//! [`super::phase::PhaseRuling::clear`]; a [`Warrant`] permits going back to a version seen live.

use serde::{Deserialize, Serialize};

use super::ruling::Subject;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, DeploymentId, OrcaId};

/// Everything a clearance is bound to. A change of any of it voids the clearance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RaiseSubject {
    pub(crate) subject: Subject,
    /// Digest of the gates, checks, rules and limits that were required.
    pub(crate) gate_set: Digest,
    /// The deployment serving now.
    pub(crate) serving: DeploymentId,
    /// The platform's own name: what the environment is called says nothing of where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
}

/// Permission for exactly one raise. Not Clone, not Deserialize: it is used up by value.
#[derive(Debug)]
#[must_use]
pub(crate) struct Clearance {
    record: ClearanceRecord,
}

/// A clearance as the ledger keeps it: a memory, not a permission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClearanceRecord {
    pub(crate) id: OrcaId,
    pub(crate) subject: RaiseSubject,
    /// Digests of the ruling records it rests on.
    pub(crate) rulings: Vec<Digest>,
    pub(crate) issued_at: Timestamp,
    /// The first moment at which one of its rulings is no longer fresh.
    pub(crate) expires_at: Timestamp,
}

/// Why something may not gain exposure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the clearance expired at {}", .0.rfc3339())]
    Expired(Timestamp),
    #[error("the clearance is for {cleared}, and {at_hand} is at hand")]
    OtherSubject { cleared: String, at_hand: String },
    #[error("{0}")]
    NotOpen(String),
}

impl Clearance {
    pub(super) fn issue(record: ClearanceRecord) -> Self {
        Self { record }
    }

    pub(crate) fn record(&self) -> &ClearanceRecord {
        &self.record
    }

    /// Uses the clearance up for a raise of `at_hand` at `now`.
    pub(crate) fn spend(
        self,
        at_hand: &RaiseSubject,
        now: Timestamp,
    ) -> Result<ClearanceRecord, Refusal> {
        if self.record.subject != *at_hand {
            return Err(Refusal::OtherSubject {
                cleared: describe(&self.record.subject),
                at_hand: describe(at_hand),
            });
        }
        if now >= self.record.expires_at {
            return Err(Refusal::Expired(self.record.expires_at));
        }
        Ok(self.record)
    }
}

fn describe(subject: &RaiseSubject) -> String {
    format!(
        "commit {} in {} (gates {}, serving {})",
        subject.subject.commit.short(),
        subject.subject.environment,
        subject.gate_set.short(),
        subject.serving
    )
}

/// Where a version was seen live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SeenLive {
    /// The ledger entry that recorded it.
    Ledger { entry: OrcaId },
    /// The platform said so itself.
    Platform { platform: String },
}

/// Permission to go back to a version that was seen live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warrant {
    deployment: DeploymentId,
    commit: Option<CommitId>,
    seen: SeenLive,
}

impl Warrant {
    /// From a version that the ledger or the platform saw live.
    pub(crate) fn seen_live(
        deployment: DeploymentId,
        commit: Option<CommitId>,
        seen: SeenLive,
    ) -> Self {
        Self { deployment, commit, seen }
    }

    pub(crate) fn deployment(&self) -> &DeploymentId {
        &self.deployment
    }

    pub(crate) fn commit(&self) -> Option<&CommitId> {
        self.commit.as_ref()
    }
}
