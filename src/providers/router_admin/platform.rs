//! orca's own router as the platform of a rollout: the port's words become admin calls, and the
//! front door is asked who serves.

use async_trait::async_trait;
use serde::Deserialize;

use super::client::{RouterAdmin, RouterAdminError};
use crate::base::call_made::CallMade;
use crate::base::clock::{Entropy, Timestamp};
use crate::base::digest::Digest;
use crate::base::histogram::Histogram;
use crate::base::ids::{CommitId, DeploymentId};
use crate::base::limits;
use crate::gate::clearance::Warrant;
use crate::providers::http::{Call, HttpClient, HttpError};
use crate::rollout::ports::{
    Arm, ArmSamples, Capabilities, Door, Identity, Known, Platform, PlatformError, PlatformState,
    ProbeAnswer, PromoteOrder, Raise, Refused, Samples, SourceSamples, StageOrder, Weights,
};
use crate::router::api::{StageRequest, StateAnswer};
use crate::router::metrics::{ArmMetrics, RouterMetrics};
use crate::router::split::{Arm as RouterArm, Source};
use crate::router::state::{Audience, Expected, RouterState, Upstream};

/// By which the router tells testers' requests: the arm that must answer.
const ARM_HEADER: &str = "x-orca-arm";
/// How many probes of the front door are under way at once.
const PROBES_AT_ONCE: usize = 16;

/// A router, by its admin interface and its front door.
#[derive(Debug, Clone)]
pub(crate) struct RouterPlatform {
    admin: RouterAdmin,
    /// Where users come in; without a slash at the end.
    front: String,
    http: HttpClient,
    name: String,
    /// Makes the probes' keys differ from run to run.
    entropy: Entropy,
}

impl RouterPlatform {
    pub(crate) fn new(
        admin_url: &str,
        front: &str,
        admin: RouterAdmin,
        entropy: Entropy,
    ) -> Result<Self, HttpError> {
        let http = HttpClient::direct(entropy.clone())?;
        let front = front.trim_end_matches('/').to_owned();
        Ok(Self { admin, front, http, name: format!("the router at {admin_url}"), entropy })
    }

    fn state_of(&self, answer: Answered) -> Result<PlatformState, PlatformError> {
        let answer = answer.map_err(|error| self.failed(&error))?;
        self.state(&answer.state, answer.persisted)
    }

    fn state(&self, state: &RouterState, stored: bool) -> Result<PlatformState, PlatformError> {
        let base = self.known(&state.base)?;
        let canary = state.canary.as_ref().map(|up| self.known(up)).transpose()?;
        Ok(PlatformState {
            base: base.deployment,
            base_commit: base.commit,
            canary,
            previous: state.previous.as_ref().map(|up| self.known(up)).transpose()?,
            went_back: state.suspended,
            lowered_by: state.lowered_by.clone(),
            weight: state.weight,
            generation: state.generation,
            epoch: state.epoch,
            grant_until: state.grant_until,
            stored,
        })
    }

    fn known(&self, upstream: &Upstream) -> Result<Known, PlatformError> {
        let deployment = DeploymentId::new(upstream.deployment.clone())
            .map_err(|error| self.unavailable(&error))?;
        let commit = upstream.commit.clone().and_then(|c| CommitId::new(c).ok());
        Ok(Known { deployment, commit })
    }

    fn unavailable(&self, error: &dyn std::fmt::Display) -> PlatformError {
        PlatformError::Unavailable { platform: self.name.clone(), detail: error.to_string() }
    }

    fn refused(&self, refused: Refused) -> PlatformError {
        PlatformError::Refused { platform: self.name.clone(), refused }
    }

    /// Only a connection that never was proves that nothing changed.
    fn failed(&self, error: &RouterAdminError) -> PlatformError {
        match error {
            RouterAdminError::Http(
                HttpError::Connect { .. } | HttpError::Client { .. } | HttpError::Request { .. },
            ) => self.unavailable(error),
            RouterAdminError::Http(_) | RouterAdminError::NotARouter { .. } => {
                PlatformError::Uncertain { platform: self.name.clone(), detail: error.to_string() }
            }
            RouterAdminError::Unauthorized => self.refused(Refused::Denied(error.to_string())),
            RouterAdminError::Refused(answer) => {
                let found = answer.state.as_ref();
                self.refused(match answer.code.as_str() {
                    "stale_generation" => Refused::StaleGeneration {
                        expected: 0,
                        found: found.map_or(0, |s| s.generation),
                    },
                    "stale_epoch" | "reverted" => Refused::StaleEpoch {
                        ours: 0,
                        found: found.map_or(0, |s| s.epoch),
                        who: found
                            .and_then(|s| s.lowered_by.clone())
                            .unwrap_or_else(|| "another orca".to_owned()),
                    },
                    _ => Refused::Unsupported(answer.message.clone()),
                })
            }
        }
    }

    /// Puts in what was asked, which the router's answer does not repeat.
    fn expected(error: PlatformError, generation: u64, epoch: u64) -> PlatformError {
        match error {
            PlatformError::Refused { platform, refused } => {
                let refused = match refused {
                    Refused::StaleGeneration { found, .. } => {
                        Refused::StaleGeneration { expected: generation, found }
                    }
                    Refused::StaleEpoch { found, who, .. } => {
                        Refused::StaleEpoch { ours: epoch, found, who }
                    }
                    other => other,
                };
                PlatformError::Refused { platform, refused }
            }
            other => other,
        }
    }

    async fn version(&self, call: Call) -> Result<Option<Identity>, HttpError> {
        let answer = self.http.send(&call).await?;
        Ok((answer.status == 200).then(|| identity_in(&answer.body)).flatten())
    }

    async fn probe(&self, key: String) -> ProbeAnswer {
        let mut call = Call::get(format!("{}/version", self.front));
        call.timeout = limits::ADMIN_CALL;
        call.headers = vec![("x-user-id", key.clone()), ("x-orca-probe", "read-back".to_owned())];
        let Ok(answer) = self.http.send(&call).await else {
            return ProbeAnswer { key, arm: None, commit: None };
        };
        let arm = match answer.headers.get("x-orca-served-by").map(String::as_str) {
            Some("base") => Some(Arm::Base),
            Some("canary") => Some(Arm::Canary),
            _ => None,
        };
        let commit = identity_in(&answer.body).map(|identity| identity.commit);
        ProbeAnswer { key, arm, commit }
    }
}

type Answered = Result<StateAnswer, RouterAdminError>;

#[async_trait]
impl Platform for RouterPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            weights: Weights::Any,
            holds_grant: true,
            measures: true,
            stickiness: "user, tenant, session, else the router's own cookie".to_owned(),
            state_holder: self.name.clone(),
            abort_cost: "one call, at once for new requests".to_owned(),
        }
    }

    async fn look(&self) -> Result<PlatformState, PlatformError> {
        self.state_of(self.admin.state().await).map_err(|error| match error {
            // Reading changes nothing, so nothing is in doubt.
            PlatformError::Uncertain { platform, detail } => {
                PlatformError::Unavailable { platform, detail }
            }
            other => other,
        })
    }

    async fn stage(&self, order: &StageOrder) -> Result<PlatformState, PlatformError> {
        let request = StageRequest {
            canary: upstream(&order.canary, order.commit.as_ref()),
            release: order.salt.to_string(),
            audience: Audience { header_override: true, ..Audience::default() },
            expect_generation: order.expect_generation,
            epoch: order.epoch,
        };
        self.state_of(self.admin.stage(&request).await)
            .map_err(|error| Self::expected(error, order.expect_generation, order.epoch))
    }

    async fn raise(&self, raise: Raise) -> Result<PlatformState, PlatformError> {
        let terms = raise.terms();
        let expected = Expected { generation: terms.expect_generation, epoch: terms.epoch };
        let Some(until) = terms.grant_until else {
            let text = "a raise on the router needs a grant".to_owned();
            return Err(self.refused(Refused::Unsupported(text)));
        };
        self.state_of(self.admin.raise(terms.to, until, expected).await)
            .map_err(|error| Self::expected(error, terms.expect_generation, terms.epoch))
    }

    async fn renew(&self, until: Timestamp, epoch: u64) -> Result<PlatformState, PlatformError> {
        self.state_of(self.admin.renew(epoch, until).await)
            .map_err(|error| Self::expected(error, 0, epoch))
    }

    async fn lower_to_base(&self) -> Result<PlatformState, PlatformError> {
        self.state_of(self.admin.revert().await)
    }

    async fn promote(&self, order: PromoteOrder) -> Result<PlatformState, PlatformError> {
        let terms = order.terms();
        let expected = Expected { generation: terms.expect_generation, epoch: terms.epoch };
        self.state_of(self.admin.promote(expected).await)
            .map_err(|error| Self::expected(error, terms.expect_generation, terms.epoch))
    }

    async fn revert(&self, warrant: &Warrant) -> Result<PlatformState, PlatformError> {
        let to = upstream(warrant.deployment(), warrant.commit());
        self.state_of(self.admin.previous(Some(to)).await)
    }

    async fn samples(&self) -> Result<Samples, PlatformError> {
        let metrics = self.admin.metrics().await.map_err(|error| self.failed(&error))?;
        let arm = |arm| -> Result<ArmSamples, PlatformError> {
            let source = |source| {
                source_samples(&metrics, arm, source).map_err(|error| self.unavailable(&error))
            };
            Ok(ArmSamples { users: source(Source::Users)?, probes: source(Source::Probes)? })
        };
        Ok(Samples { at: metrics.at, base: arm(RouterArm::Base)?, canary: arm(RouterArm::Canary)? })
    }

    /// The front door, by the testers' header: what carries it counts as a probe.
    async fn door(&self, arm: Arm) -> Result<Door, PlatformError> {
        let name = match arm {
            Arm::Base => "base",
            Arm::Canary => "canary",
        };
        let headers = vec![(ARM_HEADER.to_owned(), name.to_owned())];
        Ok(Door { url: self.front.clone(), headers })
    }

    /// Asks the deployment itself, not through the front door.
    async fn identity(&self, arm: Arm) -> Result<Option<Identity>, PlatformError> {
        let answer = self.admin.state().await.map_err(|error| self.failed(&error))?;
        let upstream = match arm {
            Arm::Base => Some(answer.state.base),
            Arm::Canary => answer.state.canary,
        };
        let Some(upstream) = upstream else { return Ok(None) };
        let mut call = Call::get(format!("{}/version", upstream.url.trim_end_matches('/')));
        call.timeout = limits::ADMIN_CALL;
        self.version(call).await.map_err(|error| self.unavailable(&error))
    }

    async fn probe_keys(&self, count: u32) -> Result<Vec<ProbeAnswer>, PlatformError> {
        let run = self.entropy.next_u64();
        let mut answers = Vec::new();
        let mut waiting = tokio::task::JoinSet::new();
        for number in 0..count {
            let probe = self.clone();
            let key = format!("orca-probe-{run:x}-{number}");
            waiting.spawn(async move { probe.probe(key).await });
            if waiting.len() >= PROBES_AT_ONCE {
                answers.extend(waiting.join_next().await.and_then(Result::ok));
            }
        }
        while let Some(answer) = waiting.join_next().await {
            answers.extend(answer.ok());
        }
        Ok(answers)
    }

    fn calls(&self) -> Vec<CallMade> {
        self.admin.calls()
    }
}

/// A deployment that is a URL is its own address.
fn upstream(deployment: &DeploymentId, commit: Option<&CommitId>) -> Upstream {
    Upstream {
        deployment: deployment.to_string(),
        url: deployment.as_str().trim_end_matches('/').to_owned(),
        commit: commit.map(ToString::to_string),
        digest: None,
    }
}

#[derive(Deserialize)]
struct Version {
    commit: Option<String>,
    digest: Option<String>,
}

/// What `/version` says; a digest in another form than `sha256:...` is none.
fn identity_in(body: &[u8]) -> Option<Identity> {
    let version: Version = serde_json::from_slice(body).ok()?;
    let commit = CommitId::new(version.commit?).ok()?;
    Some(Identity { commit, digest: version.digest.as_deref().and_then(Digest::parse) })
}

fn source_samples(
    metrics: &RouterMetrics,
    arm: RouterArm,
    source: Source,
) -> Result<SourceSamples, crate::base::histogram::HistogramError> {
    let Some(row) = metrics.total.iter().find(|row| row.arm == arm && row.source == source) else {
        return Ok(SourceSamples::default());
    };
    Ok(SourceSamples {
        requests: row.requests,
        errors_by_kind: errors_by_kind(row),
        latency: Histogram::try_from(&row.latency)?,
        // Since the weight last changed: different keys cannot be counted by subtraction.
        sticky_keys: metrics.in_window(arm, source).map_or(0, |window| window.distinct_buckets),
    })
}

/// Failed requests by kind: faults that are the upstream's, and answers of class 5xx.
fn errors_by_kind(row: &ArmMetrics) -> std::collections::BTreeMap<String, u64> {
    let mut kinds: std::collections::BTreeMap<String, u64> = row
        .faults
        .iter()
        .filter(|(kind, count)| kind.as_str() != "abandoned" && **count > 0)
        .map(|(kind, count)| (kind.clone(), *count))
        .collect();
    let faults: u64 = kinds.values().sum();
    let answered = row.failed.saturating_sub(faults);
    if answered > 0 {
        kinds.insert("status_5xx".to_owned(), answered);
    }
    kinds
}
