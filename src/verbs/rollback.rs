//! Going back. One changing call on the critical path, after at most one read when the ledger does
//! not know the target; verified by reading traffic back; the ledger is shared afterwards.
//! No lease, freeze, prompt, hook, remote or lock delays it.

use std::time::Duration;

use crate::base::clock;
use crate::base::ids::{CommitId, DeploymentId, OrcaId, ReleaseName};
use crate::base::units::Weight;
use crate::gate::clearance::{SeenLive, Warrant};
use crate::ledger::back::{Because, WayBack};
use crate::ledger::entry::{Body, Outcome, RolledBack, TrafficProof};
use crate::ledger::fold::State;
use crate::rollout::ports::{Arm, Known, Platform, PlatformError, PlatformState};
use crate::verbs::book::{Book, Note, Sync};
use crate::verbs::read_back;
use crate::verbs::ship::Tell;

use std::sync::Arc;

use crate::base::ids::Environment;

/// How long ledger and platform are asked before one call is made all the same.
const LOOK: Duration = Duration::from_secs(1);

/// What a rollback needs. There may be no repository at all.
#[derive(Clone)]
pub(crate) struct Rollback {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) book: Option<Arc<dyn Book>>,
    pub(crate) environment: Environment,
    pub(crate) reason: String,
    /// `--to`: a deployment that once served.
    pub(crate) to: Option<DeploymentId>,
    pub(crate) tell: Tell,
}

/// Where users go back to, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) deployment: DeploymentId,
    pub(crate) commit: Option<CommitId>,
    pub(crate) seen: SeenLive,
    /// What is taken back.
    pub(crate) release: Option<ReleaseName>,
    pub(crate) condemned: Option<CommitId>,
    pub(crate) from: Option<DeploymentId>,
    /// Whether a canary is under way: going to its base is one lowering.
    pub(crate) lowers: bool,
}

/// A rollback that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) target: Target,
    pub(crate) proof: TrafficProof,
    pub(crate) headline: String,
    pub(crate) moved_us: u64,
    pub(crate) verified_us: Option<u64>,
    pub(crate) ledger: Sync,
}

/// Why nothing was moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BackError {
    #[error("there is nothing to go back to: {0}")]
    NoWay(String),
    #[error("{0} never served here, so nobody knows that it works")]
    NeverServed(DeploymentId),
    #[error("{0}")]
    Platform(PlatformError),
}

impl Rollback {
    /// Where it would go: as the ledger knows, unless the platform shows that this ledger is old;
    /// then as the platform knows. Both are asked at once, and neither is waited for long.
    pub(crate) async fn target(&self) -> Result<Target, BackError> {
        let looked = tokio::time::timeout(LOOK, self.platform.look());
        let (state, looked) = tokio::join!(self.known(), looked);
        let seen = match looked {
            Ok(Ok(seen)) => Some(seen),
            Ok(Err(error)) if state.is_none() => return Err(BackError::Platform(error)),
            _ => None,
        };
        let by_ledger = state.map(|state| {
            let stale = seen.as_ref().is_some_and(|seen| is_stale(&state, &self.environment, seen));
            (self.by_ledger(&state), stale)
        });
        let platform = self.platform.capabilities().state_holder;
        match (by_ledger, seen) {
            (Some((Ok(target), false)), _) | (Some((Ok(target), _)), None) => Ok(target),
            (Some((Err(error @ BackError::NeverServed(_)), false)), _)
            | (Some((Err(error), _)), None) => Err(error),
            (said, Some(seen)) => Target::of_platform(&seen, self.to.as_ref(), &platform)
                .map_err(|error| both(said.and_then(|(result, _)| result.err()), error)),
            (None, None) => Err(BackError::NoWay("neither ledger nor platform answers".into())),
        }
    }

    /// The ledger's state, when it can be had in a moment.
    async fn known(&self) -> Option<Arc<State>> {
        let book = self.book.as_ref()?;
        match tokio::time::timeout(LOOK, book.state()).await {
            Ok(Ok(state)) => Some(state),
            Ok(Err(error)) => {
                (self.tell)(&format!("ledger: {error}; asking the platform instead"));
                None
            }
            Err(_) => {
                (self.tell)("ledger: no answer within a second; asking the platform instead");
                None
            }
        }
    }

    fn by_ledger(&self, state: &State) -> Result<Target, BackError> {
        let way = state.way_back(&self.environment);
        match (&self.to, way) {
            (Some(wanted), way) => self.named(state, wanted, way.ok().as_ref()),
            (None, Ok(way)) => Ok(Target::of_ledger(state, &self.environment, &way)),
            (None, Err(error)) => Err(BackError::NoWay(error.to_string())),
        }
    }

    /// `--to`: only a deployment that the ledger saw serving here.
    fn named(
        &self,
        state: &State,
        wanted: &DeploymentId,
        way: Option<&WayBack>,
    ) -> Result<Target, BackError> {
        if let Some(way) = way.filter(|way| way.deployment == *wanted) {
            return Ok(Target::of_ledger(state, &self.environment, way));
        }
        let served = state
            .environment(&self.environment)
            .and_then(|e| e.served().find(|base| base.deployment == *wanted));
        let base = served.ok_or_else(|| BackError::NeverServed(wanted.clone()))?;
        let way = WayBack {
            deployment: base.deployment.clone(),
            commit: base.commit.clone(),
            release: base.release.clone(),
            seen: base.by.entry.clone(),
            because: Because::NewestStable,
        };
        Ok(Target::of_ledger(state, &self.environment, &way))
    }

    /// Goes back to `target`.
    pub(crate) async fn run(&self, target: Target) -> Result<Back, BackError> {
        let started = clock::monotonic();
        let step = self.intend(&target).await;
        let warrant = Warrant::seen_live(
            target.deployment.clone(),
            target.commit.clone(),
            target.seen.clone(),
        );
        let moved = self.move_traffic(&target, &warrant).await;
        let moved_us = clock::elapsed_us(started);
        let (proof, headline) = match moved {
            // The answer itself must show it: another base is no success, whoever answers probes.
            Ok(state) if state.base != target.deployment || state.weight != Weight::ZERO => {
                let text =
                    format!("{} serves after the call, not {}", state.base, target.deployment);
                (TrafficProof::Failed, text)
            }
            Ok(_) => {
                let commit = target.commit.as_ref();
                let seen = read_back::all_on(self.platform.as_ref(), Arm::Base, commit).await;
                (seen.proof, seen.headline)
            }
            Err(error @ (PlatformError::Unavailable { .. } | PlatformError::Refused { .. })) => {
                return Err(BackError::Platform(error));
            }
            Err(error) => self.look_after(&target, &error).await,
        };
        let verified_us = (proof == TrafficProof::Verified).then(|| clock::elapsed_us(started));
        let back = Back { target, proof, headline, moved_us, verified_us, ledger: Sync::NoRemote };
        let ledger = self.record(&back, step).await;
        Ok(Back { ledger, ..back })
    }

    /// The step's id, by which its outcome is kept; nothing without a ledger.
    async fn intend(&self, target: &Target) -> Option<OrcaId> {
        let book = self.book.as_ref()?;
        let step = book.id("st");
        let intent = Body::LowerIntended {
            step: step.clone(),
            rollout: None,
            to: target.deployment.clone(),
            reason: self.reason.clone(),
        };
        if let Err(error) = book.keep_at_once(Note::of(&self.environment, intent)).await {
            (self.tell)(&format!("ledger: {error}; going back all the same"));
        }
        Some(step)
    }

    async fn move_traffic(
        &self,
        target: &Target,
        warrant: &Warrant,
    ) -> Result<PlatformState, PlatformError> {
        if target.lowers {
            return self.platform.lower_to_base().await;
        }
        self.platform.revert(warrant).await
    }

    /// The reply was lost: look before any second call, and say honestly what serves.
    async fn look_after(&self, target: &Target, error: &PlatformError) -> (TrafficProof, String) {
        match self.platform.look().await {
            Ok(state) if state.base == target.deployment && state.weight == Weight::ZERO => {
                let seen =
                    read_back::all_on(self.platform.as_ref(), Arm::Base, target.commit.as_ref())
                        .await;
                (seen.proof, seen.headline)
            }
            Ok(state) => (TrafficProof::Failed, format!("{error}; {} serves", state.base)),
            Err(second) => (TrafficProof::Requested, format!("{error}; then {second}")),
        }
    }

    async fn record(&self, back: &Back, step: Option<OrcaId>) -> Sync {
        let Some(book) = &self.book else { return Sync::NoLedger };
        let fact = Body::RolledBack(RolledBack {
            release: back.target.release.clone(),
            commit: back.target.condemned.clone(),
            from: back.target.from.clone(),
            to: back.target.deployment.clone(),
            seen: back.target.seen.clone(),
            reason: self.reason.clone(),
            verified: back.proof,
            moved_us: back.moved_us,
            verified_us: back.verified_us,
        });
        let kept = book.keep(Note::of(&self.environment, fact)).await;
        if let Some(step) = step {
            let outcome = match back.proof {
                TrafficProof::Verified => Outcome::Done,
                TrafficProof::Requested => Outcome::Unknown,
                TrafficProof::Failed => Outcome::Failed,
            };
            let ended = Body::StepEnded { step, outcome, detail: back.headline.clone() };
            if let Err(error) = book.keep(Note::of(&self.environment, ended)).await {
                (self.tell)(&format!("ledger: {error}"));
            }
        }
        if let Err(error) = kept {
            return Sync::Pending(error.to_string());
        }
        if let Err(error) = book.preempt_lease(&self.environment).await {
            (self.tell)(&format!("lease: {error}"));
        }
        book.share().await
    }
}

impl Target {
    fn of_ledger(state: &State, environment: &Environment, way: &WayBack) -> Self {
        let known = state.environment(environment);
        let rollout = known.and_then(|e| e.rollout.as_ref()).map(|r| &r.started);
        let base = known.and_then(|e| e.base.as_ref());
        let already = way.because == Because::AlreadyBack;
        let (release, condemned, from) = match (rollout, base) {
            (Some(canary), _) => (
                Some(canary.release.clone()),
                Some(canary.commit.clone()),
                Some(canary.canary.clone()),
            ),
            (None, Some(base)) if !already && base.deployment != way.deployment => {
                (base.release.clone(), base.commit.clone(), Some(base.deployment.clone()))
            }
            _ => (None, None, None),
        };
        Self {
            deployment: way.deployment.clone(),
            commit: way.commit.clone(),
            seen: SeenLive::Ledger { entry: way.seen.clone() },
            release,
            condemned,
            from,
            lowers: way.because == Because::RolloutBase,
        }
    }

    /// A canary's base, else the version before this one, as the platform remembers it. Once
    /// somebody went back, going back again stays.
    pub(crate) fn of_platform(
        seen: &PlatformState,
        to: Option<&DeploymentId>,
        platform: &str,
    ) -> Result<Self, BackError> {
        let seen_live = SeenLive::Platform { platform: platform.to_owned() };
        let canary = seen.canary.as_ref();
        let stays = canary.is_some() || seen.went_back;
        if stays && to.is_none_or(|wanted| *wanted == seen.base) {
            let live = canary.filter(|_| seen.weight != Weight::ZERO);
            return Ok(Self {
                deployment: seen.base.clone(),
                commit: seen.base_commit.clone(),
                seen: seen_live,
                release: None,
                condemned: live.and_then(|known| known.commit.clone()),
                from: live.map(|known| known.deployment.clone()),
                lowers: true,
            });
        }
        match (&seen.previous, to) {
            (Some(known), Some(wanted)) if known.deployment != *wanted => {
                Err(BackError::NeverServed(wanted.clone()))
            }
            (None, Some(wanted)) => Err(BackError::NeverServed(wanted.clone())),
            (Some(Known { deployment, commit }), _) => Ok(Self {
                deployment: deployment.clone(),
                commit: commit.clone(),
                seen: seen_live,
                release: None,
                condemned: seen.base_commit.clone(),
                from: Some(seen.base.clone()),
                lowers: false,
            }),
            (None, None) => Err(BackError::NoWay(format!(
                "{platform} remembers no version before {}",
                seen.base
            ))),
        }
    }
}

/// Whether the platform shows something that this ledger does not know: it was written elsewhere.
fn is_stale(state: &State, environment: &Environment, seen: &PlatformState) -> bool {
    let known = state.environment(environment);
    let base = known.and_then(|e| e.base.as_ref());
    if base.is_some_and(|base| base.deployment != seen.base) {
        return true;
    }
    let rollout = known.and_then(|e| e.rollout.as_ref()).map(|r| &r.started.canary);
    let live = seen.canary.as_ref().filter(|_| seen.weight != Weight::ZERO);
    live.is_some_and(|live| rollout != Some(&live.deployment))
}

/// What the ledger and the platform said, when neither knows a way.
fn both(ledger: Option<BackError>, platform: BackError) -> BackError {
    match (ledger, platform) {
        (Some(BackError::NoWay(ledger)), BackError::NoWay(platform)) => {
            BackError::NoWay(format!("{ledger}; {platform}"))
        }
        (_, platform) => platform,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> DeploymentId {
        DeploymentId::new(name).unwrap()
    }

    fn seen(weight: u32, canary: bool, previous: Option<&str>, went_back: bool) -> PlatformState {
        let known = |name: &str| Known { deployment: id(name), commit: None };
        PlatformState {
            base: id("base"),
            base_commit: None,
            canary: canary.then(|| known("canary")),
            previous: previous.map(known),
            went_back,
            lowered_by: None,
            weight: Weight::from_basis_points(weight).unwrap(),
            generation: 1,
            epoch: 1,
            grant_until: None,
        }
    }

    #[test]
    fn without_a_ledger_the_platform_says_where_back_is() {
        let of = |state: PlatformState, to: Option<&str>| {
            Target::of_platform(&state, to.map(id).as_ref(), "router")
                .map(|target| (target.deployment.to_string(), target.lowers))
                .map_err(|error| error.to_string())
        };
        let base = || Ok(("base".to_owned(), true));
        let old = || Ok(("old".to_owned(), false));
        assert_eq!(of(seen(500, true, None, false), None), base());
        assert_eq!(of(seen(500, true, Some("old"), false), Some("base")), base());
        assert_eq!(of(seen(0, false, Some("old"), false), None), old());
        assert_eq!(of(seen(0, false, Some("old"), false), Some("old")), old());
        let never = of(seen(0, false, Some("old"), false), Some("rc")).unwrap_err();
        assert!(never.contains("never served"));
        let none = of(seen(0, false, None, false), None).unwrap_err();
        assert!(none.contains("no version before base"));
    }

    /// Run twice, by two people, or after a grant ended by itself: never one release further.
    #[test]
    fn a_second_rollback_stays() {
        for state in [
            seen(0, true, Some("old"), true),
            seen(0, true, Some("old"), false),
            seen(0, false, None, true),
        ] {
            let target = Target::of_platform(&state, None, "router").unwrap();
            assert_eq!((target.deployment, target.condemned), (id("base"), None));
        }
    }
}
