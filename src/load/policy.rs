//! What a load result is judged by, and whose fault each kind of failure is.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recorder::Failure;
use crate::gate::phase::Phase;
use crate::slo::judge_objectives::ObjectivesPolicy;
use crate::slo::manifest::{ErrorKind, Manifest};
use crate::slo::objective::{Limit, Objective};

/// What a load result is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Policy {
    /// Of all endpoints together.
    pub(crate) overall: Vec<Objective>,
    /// Of each endpoint, by its name.
    pub(crate) endpoints: BTreeMap<String, Vec<Objective>>,
    /// Two-sided, in basis points.
    pub(crate) confidence_bp: u32,
    pub(crate) min_samples: u64,
    /// Kinds of `errors_by_kind` that count as failed.
    pub(crate) errors: BTreeSet<String>,
}

impl Policy {
    /// What the manifest asks of load.
    pub(crate) fn of(manifest: &Manifest) -> Self {
        let of = |endpoint| manifest.objectives(endpoint, Phase::Load);
        let counted = Failure::ALL
            .iter()
            .filter(|kind| of_kind(**kind).is_some_and(|kind| manifest.errors.contains(&kind)));
        Self {
            overall: manifest.overall_objectives(Phase::Load),
            endpoints: manifest.endpoints.iter().map(|e| (e.name.clone(), of(e))).collect(),
            confidence_bp: manifest.confidence.0,
            min_samples: manifest.min_samples,
            errors: counted.map(|kind| kind.as_str().to_owned()).collect(),
        }
    }

    /// The strictest limit on a latency.
    pub(crate) fn latency_us_min(&self) -> Option<u64> {
        let all = self.overall.iter().chain(self.endpoints.values().flatten());
        all.filter_map(|objective| match objective.limit() {
            Limit::Latency(limit) => Some(limit.0),
            Limit::Ratio(_) | Limit::Rate(_) => None,
        })
        .min()
    }

    /// Without the objectives on throughput: they ask for a rate, and whoever looks for the highest
    /// rate begins below it.
    #[must_use]
    pub(crate) fn without_throughput(mut self) -> Self {
        let keeps = |objective: &Objective| !matches!(objective.limit(), Limit::Rate(_));
        self.overall.retain(keeps);
        self.endpoints.values_mut().for_each(|objectives| objectives.retain(keeps));
        self
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.overall.is_empty() && self.endpoints.values().all(Vec::is_empty)
    }

    pub(super) fn failed(&self, by_kind: &BTreeMap<String, u64>) -> u64 {
        by_kind.iter().filter(|(kind, _)| self.errors.contains(*kind)).map(|(_, n)| n).sum()
    }

    pub(super) fn of_scope(&self, objectives: &[Objective]) -> ObjectivesPolicy {
        ObjectivesPolicy {
            objectives: objectives.to_vec(),
            confidence_bp: self.confidence_bp,
            min_samples: self.min_samples,
        }
    }
}

/// A failure of load in the words of the manifest; nothing for one of this machine.
const fn of_kind(kind: Failure) -> Option<ErrorKind> {
    Some(match kind {
        Failure::Connect => ErrorKind::Connect,
        Failure::Timeout => ErrorKind::Timeout,
        Failure::Reset | Failure::ClosedEarly => ErrorKind::Reset,
        Failure::Malformed
        | Failure::TooLarge
        | Failure::StatusOther
        | Failure::Assertion
        | Failure::NoHttp2 => ErrorKind::Protocol,
        Failure::TlsExpired | Failure::TlsWrongHost | Failure::TlsUntrusted | Failure::Tls => {
            ErrorKind::Connect
        }
        Failure::Status4xx => ErrorKind::ClientError,
        Failure::Status5xx => ErrorKind::ServerError,
        Failure::Generator => return None,
    })
}
