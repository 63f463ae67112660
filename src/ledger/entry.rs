//! What the ledger remembers, and in which form. An entry is a decision, which may be refused when
//! it meets a newer state, or a fact, which has happened and is always kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(crate) use super::rollout_entry::{
    Advanced, AfterPause, Paused, RolloutEnd, RolloutStarted, StageBegan, StageDecided,
};
use crate::base::clock::Timestamp;
use crate::base::digest::{Digest, canonical_json};
use crate::base::ids::{CommitId, DeploymentId, Environment, OrcaId, ReleaseName};
use crate::base::units::Weight;
use crate::gate::clearance::{ClearanceRecord, SeenLive};
use crate::gate::phase::Phase;
use crate::gate::ruling::RulingRecord;
use crate::gate::verdict::Verdict;
use crate::gate::waiver::{Role, Waiver};

pub(crate) const SCHEMA: &str = "orca.entry/v1";

/// One entry: `entry.json` in the tree of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    pub(crate) schema: String,
    pub(crate) id: OrcaId,
    /// SHA-256 of the `entry.json` before; absent in the first entry.
    pub(crate) prev_sha256: Option<Digest>,
    pub(crate) at: Timestamp,
    pub(crate) actor: Actor,
    /// Version of the orca that wrote it.
    pub(crate) orca: String,
    pub(crate) environment: Option<Environment>,
    /// The lease epoch under which it was written, where one was held.
    pub(crate) epoch: Option<u64>,
    pub(crate) body: Body,
    /// Exhibits that belong to it.
    pub(crate) exhibits: Vec<ExhibitRef>,
}

/// Who wrote an entry. Without configured trust the role is a claim, shown as unsigned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Actor {
    pub(crate) name: String,
    pub(crate) role: Option<Role>,
}

/// An exhibit by its digest: a blob in the same tree, or a file beside the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExhibitRef {
    /// File name in the tree or below `.orca/exhibits`: `<sha256 hex>.json`.
    pub(crate) name: String,
    pub(crate) sha256: Digest,
    pub(crate) size: u64,
    pub(crate) stored: Stored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stored {
    Blob,
    Beside,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "says", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Body {
    // Decisions.
    RcTagged(RcTagged),
    Frozen {
        release: ReleaseName,
        until: Timestamp,
        reason: String,
    },
    Unfrozen {
        release: ReleaseName,
        reason: String,
    },
    Waived {
        waiver: Waiver,
    },
    Cleared {
        clearance: ClearanceRecord,
        phase: Phase,
    },
    RolloutStarted(RolloutStarted),
    /// Written before traffic is raised; names the clearance it uses up.
    RaiseIntended {
        step: OrcaId,
        rollout: OrcaId,
        clearance: OrcaId,
        from: Weight,
        to: Weight,
    },
    /// Written before the new version becomes the base.
    PromoteIntended {
        step: OrcaId,
        release: ReleaseName,
        clearance: OrcaId,
        to: DeploymentId,
    },
    /// Nothing is raised until it is lifted or ends.
    Paused(Paused),
    Unpaused {
        rollout: OrcaId,
        reason: String,
    },
    Advanced(Advanced),
    FinalTagged {
        release: ReleaseName,
        rc: ReleaseName,
        commit: CommitId,
    },
    /// A step that raises nothing: a tag, a changelog, a pack.
    StepIntended {
        step: OrcaId,
        name: String,
        detail: BTreeMap<String, String>,
    },

    // Facts.
    Ruled {
        phase: Phase,
        ruling: Box<RulingRecord>,
    },
    /// Written before traffic is lowered, where a disk takes it in time.
    LowerIntended {
        step: OrcaId,
        rollout: Option<OrcaId>,
        to: DeploymentId,
        reason: String,
        /// The commit that this takes back as a rollback; absent when nothing is condemned. An
        /// entry without it is read as one that condemns nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        condemns: Option<CommitId>,
    },
    StepEnded {
        step: OrcaId,
        outcome: Outcome,
        detail: String,
    },
    /// A stage has its weight; what is measured of it counts from here.
    StageBegan(StageBegan),
    StageDecided(StageDecided),
    RolloutEnded {
        rollout: OrcaId,
        end: RolloutEnd,
        reason: String,
    },
    RolledBack(RolledBack),
    Promoted(Promoted),
    /// The watch window ended without a trigger.
    Stable {
        release: ReleaseName,
        commit: CommitId,
    },
    PackWritten {
        release: ReleaseName,
        pack: Digest,
        verdict: Verdict,
    },
    /// A fact that lost a race: its original bytes, kept on the new head.
    Reconciled {
        entry_base64: String,
        dsse_base64: Option<String>,
    },
}

/// A release candidate and how it came to its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RcTagged {
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
    /// The final version this is a candidate for.
    pub(crate) version: semver::Version,
    /// The newest stable version before it.
    pub(crate) since: Option<ReleaseName>,
    /// Why this bump.
    pub(crate) reason: String,
}

/// Traffic went back to an earlier version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolledBack {
    /// The release that was taken back, where it is known.
    pub(crate) release: Option<ReleaseName>,
    /// Its commit: condemned in this environment from here on.
    pub(crate) commit: Option<CommitId>,
    pub(crate) from: Option<DeploymentId>,
    pub(crate) to: DeploymentId,
    pub(crate) seen: SeenLive,
    pub(crate) reason: String,
    pub(crate) verified: TrafficProof,
    /// From the command to the platform's answer, and to real requests showing it.
    pub(crate) moved_us: u64,
    pub(crate) verified_us: Option<u64>,
}

/// What is known about traffic after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TrafficProof {
    /// Real requests showed it.
    Verified,
    /// The platform accepted it; requests have not shown it.
    Requested,
    Failed,
}

/// A release became the base of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Promoted {
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
    pub(crate) digest: Option<Digest>,
    pub(crate) deployment: DeploymentId,
    /// The base it replaced: where "back" is.
    pub(crate) previous: DeploymentId,
    pub(crate) previous_commit: Option<CommitId>,
}

/// What came of an intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Done,
    Failed,
    /// Nobody knows: the process died between intent and outcome.
    Unknown,
}

impl Body {
    /// Every kind this orca knows, as `kind` is written.
    pub(crate) const KINDS: [&str; 24] = [
        "rc_tagged",
        "frozen",
        "unfrozen",
        "waived",
        "cleared",
        "rollout_started",
        "raise_intended",
        "promote_intended",
        "paused",
        "unpaused",
        "advanced",
        "final_tagged",
        "step_intended",
        "ruled",
        "lower_intended",
        "step_ended",
        "stage_began",
        "stage_decided",
        "rollout_ended",
        "rolled_back",
        "promoted",
        "stable",
        "pack_written",
        "reconciled",
    ];

    /// How `kind` is written.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::RcTagged(_) => "rc_tagged",
            Self::Frozen { .. } => "frozen",
            Self::Unfrozen { .. } => "unfrozen",
            Self::Waived { .. } => "waived",
            Self::Cleared { .. } => "cleared",
            Self::RolloutStarted(_) => "rollout_started",
            Self::RaiseIntended { .. } => "raise_intended",
            Self::PromoteIntended { .. } => "promote_intended",
            Self::Paused(_) => "paused",
            Self::Unpaused { .. } => "unpaused",
            Self::Advanced(_) => "advanced",
            Self::FinalTagged { .. } => "final_tagged",
            Self::StepIntended { .. } => "step_intended",
            Self::Ruled { .. } => "ruled",
            Self::LowerIntended { .. } => "lower_intended",
            Self::StepEnded { .. } => "step_ended",
            Self::StageBegan(_) => "stage_began",
            Self::StageDecided(_) => "stage_decided",
            Self::RolloutEnded { .. } => "rollout_ended",
            Self::RolledBack(_) => "rolled_back",
            Self::Promoted(_) => "promoted",
            Self::Stable { .. } => "stable",
            Self::PackWritten { .. } => "pack_written",
            Self::Reconciled { .. } => "reconciled",
        }
    }

    /// Whether it permits or announces more exposure: what an unsure ledger must refuse.
    pub(crate) const fn raises(&self) -> bool {
        matches!(
            self,
            Self::Cleared { .. }
                | Self::RolloutStarted(_)
                | Self::RaiseIntended { .. }
                | Self::PromoteIntended { .. }
                | Self::Unpaused { .. }
                | Self::Advanced(_)
                | Self::FinalTagged { .. }
        )
    }

    /// Whether it says something about one environment and means nothing without it.
    pub(crate) const fn needs_environment(&self) -> bool {
        matches!(
            self,
            Self::Cleared { .. }
                | Self::RolloutStarted(_)
                | Self::RaiseIntended { .. }
                | Self::PromoteIntended { .. }
                | Self::Paused(_)
                | Self::Unpaused { .. }
                | Self::Advanced(_)
                | Self::LowerIntended { .. }
                | Self::StageBegan(_)
                | Self::StageDecided(_)
                | Self::RolloutEnded { .. }
                | Self::RolledBack(_)
                | Self::Promoted(_)
                | Self::Stable { .. }
        )
    }

    /// Facts have happened: they are kept even when they lose a race.
    pub(crate) const fn is_fact(&self) -> bool {
        match self {
            Self::RcTagged(_)
            | Self::Frozen { .. }
            | Self::Unfrozen { .. }
            | Self::Waived { .. }
            | Self::Cleared { .. }
            | Self::RolloutStarted(_)
            | Self::RaiseIntended { .. }
            | Self::PromoteIntended { .. }
            | Self::Paused(_)
            | Self::Unpaused { .. }
            | Self::Advanced(_)
            | Self::FinalTagged { .. }
            | Self::StepIntended { .. } => false,
            Self::Ruled { .. }
            | Self::LowerIntended { .. }
            | Self::StepEnded { .. }
            | Self::StageBegan(_)
            | Self::StageDecided(_)
            | Self::RolloutEnded { .. }
            | Self::RolledBack(_)
            | Self::Promoted(_)
            | Self::Stable { .. }
            | Self::PackWritten { .. }
            | Self::Reconciled { .. } => true,
        }
    }
}

impl Entry {
    /// The digest of everything but its place in a chain.
    pub(crate) fn content(&self) -> Digest {
        Digest::of(&Self { prev_sha256: None, ..self.clone() }.bytes())
    }

    /// Canonical bytes of `entry.json`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        canonical_json(self).expect("an entry is plain data")
    }
}
