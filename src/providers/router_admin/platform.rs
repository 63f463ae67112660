//! orca's own router as the platform of a rollout: the port's words become admin calls, and the
//! front door is asked who serves.

use async_trait::async_trait;

use super::client::{RouterAdmin, RouterAdminError};
use crate::base::call_made::CallMade;
use crate::base::clock::Entropy;
use crate::base::histogram::Histogram;
use crate::base::ids::{CommitId, DeploymentId};
use crate::base::units::Micros;
use crate::gate::clearance::Warrant;
use crate::providers::front::FrontDoor;
use crate::providers::http::own_name;
use crate::providers::http::{HttpClient, HttpError};
use crate::rollout::closing::{Closing, Manner};
use crate::rollout::ports::{
    Arm, ArmSamples, Capabilities, Door, Identity, Known, Lowered, Lowering, Measures, Platform,
    PlatformError, PlatformState, ProbeAnswer, PromoteOrder, Raise, Refused, Samples,
    SourceSamples, StageOrder, Weights,
};
use crate::router::api::{StageRequest, StateAnswer};
use crate::router::lowered::Lowering as RouterLowering;
use crate::router::metrics::{ArmMetrics, Fault, RouterMetrics};
use crate::router::split::{Arm as RouterArm, SERVED_BY_HEADER, Source};
use crate::router::state::{Audience, Expected, RouterState, Upstream};
use crate::router::testers::ARM_HEADER;

/// Of a router that wants to be told when a grant ends, by the clock of whoever asks.
const OLDER_ROUTER: &str = "the router is older than this orca and does not know how long a grant \
                            lasts, so nothing is raised: start it again with this orca";

/// A router, by its admin interface and its front door.
#[derive(Debug, Clone)]
pub(crate) struct RouterPlatform {
    admin: RouterAdmin,
    admin_url: String,
    front: FrontDoor,
    name: String,
}

impl RouterPlatform {
    pub(crate) fn new(
        admin_url: &str,
        front: &str,
        admin: RouterAdmin,
        entropy: Entropy,
    ) -> Result<Self, HttpError> {
        let front = FrontDoor::new(front, HttpClient::direct(entropy.clone())?, entropy)
            .proving(admin.tester_secret());
        let name = format!("the router at {admin_url}");
        Ok(Self { admin, admin_url: admin_url.to_owned(), front, name })
    }

    fn state_of(&self, answer: Answered) -> Result<PlatformState, PlatformError> {
        let answer = answer.map_err(|error| self.failed(&error))?;
        let state = self.state(&answer.state, answer.persisted)?;
        Ok(PlatformState { lowered: lowered(&answer), ..state })
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
            lowered: None,
            weight: state.weight,
            generation: state.generation,
            epoch: state.epoch,
            grant_until: state.grant_until,
            stored,
            closed: state.closed,
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
                    "bad_request" if answer.message.contains("unknown field `grant_us`") => {
                        Refused::Unsupported(OLDER_ROUTER.to_owned())
                    }
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
}

type Answered = Result<StateAnswer, RouterAdminError>;

#[async_trait]
impl Platform for RouterPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            weights: Weights::Any,
            holds_grant: true,
            measures: Measures::UsersAndProbes,
            stickiness: "user, tenant, session, else the router's own cookie".to_owned(),
            state_holder: self.name.clone(),
            abort_cost: "one call, at once for new requests".to_owned(),
        }
    }

    async fn own_name(&self) -> Result<Option<String>, PlatformError> {
        // Two clusters may call their routers alike; their users come in by different names.
        let admin = own_name::of_address(&self.admin_url);
        Ok(Some(format!("the router at {admin} for {}", own_name::of_address(self.front.url()))))
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
        let Some(grant) = terms.grant else {
            let text = "a raise on the router needs a grant".to_owned();
            return Err(self.refused(Refused::Unsupported(text)));
        };
        self.state_of(self.admin.raise(terms.to, grant, expected).await)
            .map_err(|error| Self::expected(error, terms.expect_generation, terms.epoch))
    }

    async fn renew(&self, grant: Micros, epoch: u64) -> Result<PlatformState, PlatformError> {
        self.state_of(self.admin.renew(epoch, grant).await)
            .map_err(|error| Self::expected(error, 0, epoch))
    }

    async fn lower_to_base(
        &self,
        _: Option<&DeploymentId>,
        how: Lowering,
    ) -> Result<PlatformState, PlatformError> {
        let how = match how {
            Lowering::RolledBack => RouterLowering::RolledBack,
            Lowering::Withdrawn => RouterLowering::Withdrawn,
            Lowering::GrantEnded => RouterLowering::GrantEnded,
        };
        self.state_of(self.admin.revert(how).await)
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
        let headers = vec![(ARM_HEADER.to_string(), self.front.proved(name))];
        let proof = Some((SERVED_BY_HEADER.to_string(), name.to_owned()));
        Ok(Door { url: self.front.url().to_owned(), headers, proof })
    }

    /// Asks the deployment itself, not through the front door.
    async fn identity(&self, arm: Arm) -> Result<Option<Identity>, PlatformError> {
        let answer = self.admin.state().await.map_err(|error| self.failed(&error))?;
        let upstream = match arm {
            Arm::Base => Some(answer.state.base),
            Arm::Canary => answer.state.canary,
        };
        let Some(upstream) = upstream else { return Ok(None) };
        self.front.version_at(&upstream.url).await.map_err(|error| self.unavailable(&error))
    }

    async fn probe_keys(&self, count: u32) -> Result<Vec<ProbeAnswer>, PlatformError> {
        Ok(self.front.probe_keys(count).await)
    }

    fn probe_headers(&self, tag: &str) -> Vec<(String, String)> {
        self.front.probe_headers(tag)
    }

    fn closing(&self) -> Option<&dyn Closing> {
        Some(self)
    }

    fn calls(&self) -> Vec<CallMade> {
        self.admin.calls()
    }
}

#[async_trait]
impl Closing for RouterPlatform {
    async fn is_closed(&self) -> Result<bool, PlatformError> {
        let answer = self.admin.state().await.map_err(|error| self.unavailable(&error))?;
        Ok(answer.state.closed)
    }

    async fn set_closed(&self, closed: bool) -> Result<bool, PlatformError> {
        let answer = self.admin.close(closed).await.map_err(|error| self.failed(&error))?;
        Ok(answer.persisted)
    }

    async fn front(&self) -> Option<u16> {
        self.front.status().await
    }

    fn manner(&self, closed: bool) -> Manner {
        let users = if closed {
            "a page of the router's own with status 503, from the next request on; probes get \
             through, and what is open already (a WebSocket) goes on"
        } else {
            "the version that serves them, from the next request on"
        };
        let call = format!("POST /close {{\"closed\":{closed}}}");
        Manner { call, users: users.to_owned(), note: None }
    }
}

/// What took users back last; an older router does not say it.
fn lowered(answer: &StateAnswer) -> Option<Lowered> {
    let (lowered, ago) = (answer.state.lowered?, answer.lowered_us_ago?);
    let how = match lowered.how {
        RouterLowering::RolledBack => Lowering::RolledBack,
        RouterLowering::Withdrawn => Lowering::Withdrawn,
        RouterLowering::GrantEnded => Lowering::GrantEnded,
    };
    Some(Lowered { how, ago: Micros(ago) })
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
        visits: metrics.in_window(arm, source).and_then(|window| window.visits.clone()),
    })
}

/// Failed requests by kind: faults that are the upstream's, and answers of class 5xx.
fn errors_by_kind(row: &ArmMetrics) -> std::collections::BTreeMap<String, u64> {
    let mut kinds: std::collections::BTreeMap<String, u64> = row
        .faults
        .iter()
        .filter(|(kind, count)| !Fault::NOT_FAILED.contains(&kind.as_str()) && **count > 0)
        .map(|(kind, count)| (kind.clone(), *count))
        .collect();
    let faults: u64 = kinds.values().sum();
    let answered = row.failed.saturating_sub(faults);
    if answered > 0 {
        kinds.insert("status_5xx".to_owned(), answered);
    }
    kinds
}
