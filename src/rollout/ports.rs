//! What a rollout needs from a platform, in a rollout's words. Providers implement [`Platform`].
//!
//! A call that gains exposure takes a [`Raise`] or a [`PromoteOrder`], which are made only by
//! spending a [`Clearance`]; a call that goes back takes nothing, or a [`Warrant`], and is never
//! conditional on state, epoch or lock.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;

pub(crate) use super::capabilities::{Capabilities, Measures, Weights};
pub(crate) use super::lowered::{Lowered, Lowering};

use super::board::Board;
use super::bypass::Pushes;
use super::closing::Closing;
use super::deployer::Deployer;
use crate::base::call_made::CallMade;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::histogram::Histogram;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::base::units::{Micros, Weight};
use crate::base::visits::Visits;
use crate::gate::clearance::{Clearance, ClearanceRecord, RaiseSubject, Refusal, Warrant};

/// Something that splits traffic between a base and a canary.
#[async_trait]
pub(crate) trait Platform: Send + Sync {
    fn capabilities(&self) -> Capabilities;

    /// What this platform and no other is called, whatever the environment is called.
    async fn own_name(&self) -> Result<Option<String>, PlatformError> {
        Ok(None)
    }

    /// The deployment that people mean: a platform may know it by an id of its own, and its commit.
    async fn resolve(&self, named: &DeploymentId) -> Result<Known, PlatformError> {
        Ok(Known { deployment: named.clone(), commit: None })
    }

    /// Where a deployment is asked directly.
    async fn address(&self, deployment: &DeploymentId) -> Result<String, PlatformError> {
        Ok(deployment.to_string())
    }

    /// How often it may be looked at while a canary has traffic.
    fn look_every(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// What people must know of the platform once users went back, and how to undo it.
    fn after_back(&self) -> Option<String> {
        None
    }

    /// What serves now. Changes nothing.
    async fn look(&self) -> Result<PlatformState, PlatformError>;

    /// Makes a deployment known as the canary, at weight zero. Repeating it changes nothing.
    async fn stage(&self, order: &StageOrder) -> Result<PlatformState, PlatformError>;

    /// Gives the canary more traffic, once, if the platform is still in the expected state.
    async fn raise(&self, raise: Raise) -> Result<PlatformState, PlatformError>;

    /// Lets the present weight stand for `grant` from now, by the platform's clock. Never changes the weight; a lapsed grant stays
    /// lapsed, and an older epoch is refused.
    async fn renew(&self, grant: Micros, epoch: u64) -> Result<PlatformState, PlatformError>;

    /// All traffic to the base: one call, whatever the state, under the platform's next epoch.
    /// `base` is the base as the caller knows it, for a platform that keeps none once a canary has
    /// everything; `how` is remembered by those that can.
    async fn lower_to_base(
        &self,
        base: Option<&DeploymentId>,
        how: Lowering,
    ) -> Result<PlatformState, PlatformError>;

    /// Makes the canary the base.
    async fn promote(&self, order: PromoteOrder) -> Result<PlatformState, PlatformError>;

    /// All traffic to the warrant's deployment: one call, whatever the state.
    async fn revert(&self, warrant: &Warrant) -> Result<PlatformState, PlatformError>;

    /// What each arm has answered since the canary was staged. Asked only where
    /// [`Capabilities::measures`] is more than nothing.
    async fn samples(&self) -> Result<Samples, PlatformError>;

    /// How a request reaches this arm and no other, for load that compares both.
    async fn door(&self, arm: Arm) -> Result<Door, PlatformError>;

    /// What an arm says it runs (`/version`), or what the platform says of it; nothing when
    /// neither knows.
    async fn identity(&self, arm: Arm) -> Result<Option<Identity>, PlatformError>;

    /// Sends one request for each of `count` different sticky keys through the front door and
    /// says who answered each.
    async fn probe_keys(&self, count: u32) -> Result<Vec<ProbeAnswer>, PlatformError>;

    /// The headers that mark a request at the front door as a probe with this tag.
    fn probe_headers(&self, tag: &str) -> Vec<(String, String)> {
        vec![("x-orca-probe".to_owned(), tag.to_owned())]
    }

    /// The calls made to the platform's own interface so far, where it keeps a record.
    fn calls(&self) -> Vec<CallMade> {
        Vec::new()
    }

    /// The calls of a change, as a plan shows them; none where it keeps no such list.
    fn calls_of(&self, _change: Change) -> Vec<String> {
        Vec::new()
    }

    /// How it builds deployments, where it does.
    fn deployer(&self) -> Option<&dyn Deployer> {
        None
    }

    /// What a push does by itself, where it can tell.
    fn pushes(&self) -> Option<&dyn Pushes> {
        None
    }

    /// How the whole service is closed for users, where the platform can answer them by itself.
    fn closing(&self) -> Option<&dyn Closing> {
        None
    }

    /// Where decisions are shown beside deployments, where somebody asked for it.
    fn board(&self) -> Option<&dyn Board> {
        None
    }
}

/// What a plan may ask of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Stage,
    Raise,
    Promote,
    /// To the place that a plan names `BASE`.
    Back,
}

/// A deployment, with its commit where that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) deployment: DeploymentId,
    pub(crate) commit: Option<CommitId>,
}

/// The two versions that share traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Arm {
    Base,
    Canary,
}

/// Where one arm is asked, and what makes it that arm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Door {
    pub(crate) url: String,
    /// Sent with every request.
    pub(crate) headers: Vec<(String, String)>,
    /// A header that an answer of this arm carries, and its value, where the platform gives one.
    pub(crate) proof: Option<(String, String)>,
}

/// What serves, as the platform says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlatformState {
    pub(crate) base: DeploymentId,
    pub(crate) base_commit: Option<CommitId>,
    pub(crate) canary: Option<Known>,
    /// The base before this one, as far as the platform remembers.
    pub(crate) previous: Option<Known>,
    /// Somebody went back since the last canary was staged.
    pub(crate) went_back: bool,
    /// Who went back, where the platform was told.
    pub(crate) lowered_by: Option<String>,
    /// What took users back last, where the platform remembers it.
    pub(crate) lowered: Option<Lowered>,
    /// The canary's share now, after a lapsed grant.
    pub(crate) weight: Weight,
    /// Grows with every change of who gets what: the compare value of a raise.
    pub(crate) generation: u64,
    /// The highest lease epoch the platform has obeyed.
    pub(crate) epoch: u64,
    /// When the weight falls back to base by itself.
    pub(crate) grant_until: Option<Timestamp>,
    /// False when this is served and could not be stored: a restart of the platform undoes it.
    pub(crate) stored: bool,
    /// Nobody is served: the whole service is closed by [`Closing`].
    pub(crate) closed: bool,
}

impl PlatformState {
    /// What people must know of a change that is served and not stored.
    pub(crate) fn unstored(&self) -> Option<&'static str> {
        const TEXT: &str = "the platform serves this and could not store it: until its disk takes \
                            it, a restart brings back what was before";
        (!self.stored).then_some(TEXT)
    }
}

/// A canary to be made known, at weight zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StageOrder {
    pub(crate) canary: DeploymentId,
    pub(crate) commit: Option<CommitId>,
    /// Salt of the sticky buckets, so that each release has other first users.
    pub(crate) salt: ReleaseName,
    pub(crate) expect_generation: u64,
    pub(crate) epoch: u64,
    /// Every weight that will be asked for, in order: some platforms are told before.
    pub(crate) weights: Vec<Weight>,
}

/// The terms of a raise, before it is cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RaiseTerms {
    pub(crate) canary: DeploymentId,
    pub(crate) from: Weight,
    pub(crate) to: Weight,
    pub(crate) expect_generation: u64,
    pub(crate) epoch: u64,
    /// How long the weight stands unless renewed; nothing on a platform without grants.
    pub(crate) grant: Option<Micros>,
}

/// One cleared raise. Made by spending a clearance, used up by the call.
#[derive(Debug)]
#[must_use]
pub(crate) struct Raise {
    terms: RaiseTerms,
}

impl Raise {
    /// Spends `clearance` on raising what is `at_hand`, at `now`.
    pub(crate) fn new(
        clearance: Clearance,
        at_hand: &RaiseSubject,
        terms: RaiseTerms,
        now: Timestamp,
    ) -> Result<(Self, ClearanceRecord), Refusal> {
        if terms.to <= terms.from {
            let text = format!("{} to {} is not a raise", terms.from, terms.to);
            return Err(Refusal::NotOpen(text));
        }
        if at_hand.serving == terms.canary {
            let text = format!("{} already serves as the base", terms.canary);
            return Err(Refusal::NotOpen(text));
        }
        let clearance = clearance.spend(at_hand, now)?;
        Ok((Self { terms }, clearance))
    }

    pub(crate) fn terms(&self) -> &RaiseTerms {
        &self.terms
    }
}

/// The terms of a promotion, before it is cleared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PromoteTerms {
    pub(crate) to: DeploymentId,
    pub(crate) expect_generation: u64,
    pub(crate) epoch: u64,
}

/// One cleared promotion. Made by spending a clearance, used up by the call.
#[derive(Debug)]
#[must_use]
pub(crate) struct PromoteOrder {
    terms: PromoteTerms,
}

impl PromoteOrder {
    /// Spends `clearance` on making what is `at_hand` the base, at `now`.
    pub(crate) fn new(
        clearance: Clearance,
        at_hand: &RaiseSubject,
        terms: PromoteTerms,
        now: Timestamp,
    ) -> Result<(Self, ClearanceRecord), Refusal> {
        let clearance = clearance.spend(at_hand, now)?;
        Ok((Self { terms }, clearance))
    }

    pub(crate) fn terms(&self) -> &PromoteTerms {
        &self.terms
    }
}

/// Cumulative since the canary was staged; a stage is the difference between two of them.
#[derive(Debug, Clone)]
pub(crate) struct Samples {
    pub(crate) at: Timestamp,
    pub(crate) base: ArmSamples,
    pub(crate) canary: ArmSamples,
}

/// Users and probes apart: they are never pooled.
#[derive(Debug, Clone, Default)]
pub(crate) struct ArmSamples {
    pub(crate) users: SourceSamples,
    pub(crate) probes: SourceSamples,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct SourceSamples {
    pub(crate) requests: u64,
    /// Failed requests by kind: `status_5xx`, `connect`, `timeout`, ...
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    pub(crate) latency: Histogram,
    /// Different sticky keys seen since the weight last changed.
    pub(crate) sticky_keys: u64,
    /// How many requests each key made since then, of those alone that the weight sent to this arm;
    /// absent where the platform does not tell.
    pub(crate) visits: Option<Visits>,
}

/// What runs, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) commit: CommitId,
    pub(crate) digest: Option<Digest>,
}

/// Who answered one sticky key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbeAnswer {
    pub(crate) key: String,
    /// The arm by the platform's own mark, where it leaves one.
    pub(crate) arm: Option<Arm>,
    /// The commit by `/version`, where the service says so.
    pub(crate) commit: Option<CommitId>,
}

/// Why a call did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlatformError {
    /// The call never had an effect.
    #[error("{platform} is unavailable: {detail}")]
    Unavailable { platform: String, detail: String },
    /// The platform said no; nothing changed.
    #[error("{platform} refused: {refused}")]
    Refused { platform: String, refused: Refused },
    /// The reply was lost: the call may have had its effect. Look before any second call.
    #[error("{platform} did not answer, and the change may have happened: {detail}")]
    Uncertain { platform: String, detail: String },
    /// The change ended before all of it was made: some users are where it leads, others are not.
    #[error("{platform} made the change in part: {detail}")]
    InPart { platform: String, detail: String },
}

/// Why a platform said no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("generation {found} is in force, not {expected}")]
    StaleGeneration { expected: u64, found: u64 },
    #[error("epoch {found} is in force, held by {who}; ours was {ours}")]
    StaleEpoch { ours: u64, found: u64, who: String },
    #[error("access denied: {0}")]
    Denied(String),
    #[error("it cannot do that: {0}")]
    Unsupported(String),
    #[error("{0}")]
    NoAccess(String),
    #[error("{0}")]
    NotInPlan(String),
    #[error("{0}")]
    Busy(String),
    #[error("{0}")]
    WrongDeployment(String),
    #[error("{0}")]
    CannotBuild(String),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Entropy;
    use crate::base::ids::Environment;
    use crate::gate::phase::{Phase, PhaseRuling};
    use crate::gate::ruling::Subject;

    #[test]
    fn the_port_is_object_safe() {
        fn takes(_: Option<&dyn Platform>) {}
        takes(None);
    }

    /// Nothing but an open phase makes a clearance, so nothing else makes a raise.
    #[test]
    fn a_closed_phase_gives_nothing_to_spend() {
        let subject = Subject {
            commit: CommitId::new("a".repeat(40)).unwrap(),
            digest: None,
            environment: Environment::new("production").unwrap(),
        };
        let at = RaiseSubject {
            subject: subject.clone(),
            gate_set: Digest::of(b"gates"),
            serving: DeploymentId::new("base").unwrap(),
            platform: None,
        };
        let now = Timestamp::from_us(1);
        let ruling = PhaseRuling::assemble(
            (Phase::Canary, subject),
            &[],
            &[],
            &std::collections::BTreeSet::new(),
            now,
        );
        assert!(ruling.clear(&at, now, &Entropy::seeded(1)).is_err());
    }
}
