//! What orca writes to a command's standard input, what it reads from its standard output, and
//! what its exit code means. `orca schema exec.request` and `exec.answer` print both as JSON Schema.
//! A later version may add members to the request; the answer's members are fixed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::visits::Visits;

/// Version of this contract.
pub(crate) const VERSION: u32 = 1;

/// What a command is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Operation {
    /// Say what serves. Changes nothing.
    Current,
    /// Make `deployment` known as the canary, at weight zero. Doing it twice is doing it once.
    Deploy,
    /// Give the canary `weight_bp` of the traffic, if `expect` still holds.
    Weight,
    /// Make the canary the base, if `expect` still holds. The old base becomes `previous`.
    Promote,
    /// All traffic to the base, or to `deployment` where one is given. Never refused.
    Rollback,
    /// Say whether `deployment` runs, and what it is. Changes nothing.
    Health,
    /// Say what each version has answered to users since the canary was made known.
    Samples,
}

impl Operation {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Deploy => "deploy",
            Self::Weight => "weight",
            Self::Promote => "promote",
            Self::Rollback => "rollback",
            Self::Health => "health",
            Self::Samples => "samples",
        }
    }

    /// Whether it may change anything.
    pub(crate) const fn changes(self) -> bool {
        matches!(self, Self::Deploy | Self::Weight | Self::Promote | Self::Rollback)
    }
}

/// `exec.request`: one JSON object on standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Request {
    /// 1.
    pub(crate) version: u32,
    pub(crate) operation: Operation,
    /// The environment of `orca.yaml`, such as `production`.
    pub(crate) environment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
    /// The release, such as `v1.4.0-rc.2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) release: Option<String>,
    /// The canary's share in basis points: 500 is 5 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight_bp: Option<u16>,
    /// What the change counts on; absent when going back, which counts on nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expect: Option<Expectation>,
    /// After this the command and all it started are killed.
    pub(crate) deadline_ms: u64,
}

/// The state that orca read just before, and its place in the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Expectation {
    pub(crate) base: String,
    pub(crate) canary: Option<String>,
    pub(crate) weight_bp: u16,
    /// As `current` answered it, where it does.
    pub(crate) generation: Option<u64>,
    /// Of orca's lease. A command that keeps the highest one it saw refuses a lower one.
    pub(crate) epoch: u64,
}

/// `exec.answer`: one JSON object on standard output. `current` needs `state`, `health` needs
/// `health`, `samples` needs `samples`. The others may answer nothing: then `current` is asked.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    pub(crate) state: Option<State>,
    pub(crate) health: Option<Health>,
    pub(crate) samples: Option<SamplesAnswer>,
}

/// What serves.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct State {
    pub(crate) base: Version,
    pub(crate) canary: Option<Version>,
    /// The base before this one.
    pub(crate) previous: Option<Version>,
    /// The canary's share in basis points.
    pub(crate) weight_bp: u16,
    /// Grows with every change. Without it orca compares base, canary and weight.
    pub(crate) generation: Option<u64>,
    /// The highest epoch the command has obeyed; a rollback takes the next one.
    #[serde(default)]
    pub(crate) epoch: u64,
    /// Somebody went back since the last canary was made known.
    #[serde(default)]
    pub(crate) went_back: bool,
    /// Who, where that is known.
    pub(crate) lowered_by: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Version {
    pub(crate) deployment: String,
    pub(crate) commit: Option<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Health {
    pub(crate) healthy: bool,
    /// Why not.
    pub(crate) detail: Option<String>,
    /// The commit that runs, where that is known.
    pub(crate) commit: Option<String>,
    /// `sha256:...` of the artifact that runs.
    pub(crate) digest: Option<String>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SamplesAnswer {
    pub(crate) base: Counted,
    pub(crate) canary: Counted,
}

/// What users got from one version, counted from when the canary was made known.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counted {
    /// All requests, failed ones too.
    pub(crate) requests: u64,
    /// Failed requests by kind: `status_5xx`, `connect`, `timeout`, ...
    #[serde(default)]
    pub(crate) errors: BTreeMap<String, u64>,
    /// Cumulative, as Prometheus has it: how many took at most `le_us`. Ascending.
    pub(crate) latency: Vec<Bucket>,
    /// Different users seen since the weight last changed. Without it nobody notices by itself that
    /// no user reaches the canary.
    pub(crate) sticky_keys: Option<u64>,
    /// How many answered requests (no 5xx) these users made since then, as rows of (requests, users),
    /// ascending: `[[1, 520], [2, 310]]`. Without those who are on this version by name and not by its weight.
    /// Without it nobody notices by itself that users of the canary do not come back.
    pub(crate) visits: Option<Visits>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bucket {
    pub(crate) le_us: u64,
    pub(crate) count: u64,
}

/// Exit codes with a meaning. Any other says nothing about what happened.
pub(crate) mod exit {
    /// Done.
    pub(crate) const DONE: i32 = 0;
    /// Refused: `expect` does not hold. Nothing changed.
    pub(crate) const REFUSED: i32 = 3;
    /// What the command talks to cannot be reached. Nothing changed.
    pub(crate) const UNAVAILABLE: i32 = 4;
    /// It cannot be done here at all. Nothing changed.
    pub(crate) const UNSUPPORTED: i32 = 5;
}
