//! Going back. One changing call on the critical path, after at most one read when the ledger does
//! not know the target; verified by reading traffic back; the ledger is shared afterwards.
//! No lease, freeze, prompt, hook, remote or lock delays it.

use crate::base::clock;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::gate::clearance::{SeenLive, Warrant};
use crate::ledger::back::{Because, NoWayBack, WayBack};
use crate::ledger::entry::{Body, RolledBack, TrafficProof};
use crate::ledger::fold::State;
use crate::rollout::ports::{Arm, Known, Platform, PlatformError, PlatformState};
use crate::verbs::book::{Book, Note, Sync};
use crate::verbs::read_back;
use crate::verbs::ship::Tell;

use std::sync::Arc;

use crate::base::ids::Environment;

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
    /// Where it would go. Reads the ledger, and the platform once when the ledger does not know.
    pub(crate) async fn target(&self) -> Result<Target, BackError> {
        let state = match &self.book {
            Some(book) => match book.state().await {
                Ok(state) => Some(state),
                Err(error) => {
                    (self.tell)(&format!("ledger: {error}; asking the platform instead"));
                    None
                }
            },
            None => None,
        };
        let Some(state) = state else { return self.ask_platform(None).await };
        match (&self.to, state.way_back(&self.environment)) {
            (Some(wanted), way) => self.named(&state, wanted, way.ok().as_ref()),
            (None, Ok(way)) => Ok(Target::of_ledger(&state, &self.environment, &way)),
            (None, Err(error @ (NoWayBack::NoHistory(_) | NoWayBack::NothingEarlier(_)))) => {
                self.ask_platform(Some(error.to_string())).await
            }
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

    async fn ask_platform(&self, ledger_said: Option<String>) -> Result<Target, BackError> {
        let seen = self.platform.look().await.map_err(BackError::Platform)?;
        let way = self.platform.previous().await.map_err(BackError::Platform)?;
        let platform = self.platform.capabilities().state_holder;
        Target::of_platform(&seen, way, self.to.as_ref(), &platform).map_err(|error| {
            match (error, ledger_said) {
                (BackError::NoWay(text), Some(said)) => BackError::NoWay(format!("{said}; {text}")),
                (error, _) => error,
            }
        })
    }

    /// Goes back to `target`.
    pub(crate) async fn run(&self, target: Target) -> Result<Back, BackError> {
        let started = clock::monotonic();
        self.intend(&target).await;
        let warrant = Warrant::seen_live(
            target.deployment.clone(),
            target.commit.clone(),
            target.seen.clone(),
        );
        let moved = self.move_traffic(&target, &warrant).await;
        let moved_us = clock::elapsed_us(started);
        let (proof, headline) = match moved {
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
        let ledger = self.record(&back).await;
        Ok(Back { ledger, ..back })
    }

    async fn intend(&self, target: &Target) {
        let Some(book) = &self.book else { return };
        let intent = Body::LowerIntended {
            step: book.id("st"),
            rollout: None,
            to: target.deployment.clone(),
            reason: self.reason.clone(),
        };
        if let Err(error) = book.keep_at_once(Note::of(&self.environment, intent)).await {
            (self.tell)(&format!("ledger: {error}; going back all the same"));
        }
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
            Ok(state) if state.base == target.deployment && state.weight.basis_points() == 0 => {
                let seen =
                    read_back::all_on(self.platform.as_ref(), Arm::Base, target.commit.as_ref())
                        .await;
                (seen.proof, seen.headline)
            }
            Ok(state) => (TrafficProof::Failed, format!("{error}; {} serves", state.base)),
            Err(second) => (TrafficProof::Requested, format!("{error}; then {second}")),
        }
    }

    async fn record(&self, back: &Back) -> Sync {
        let Some(book) = &self.book else { return Sync::NoRemote };
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
        if let Err(error) = book.keep(Note::of(&self.environment, fact)).await {
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

    /// A canary's base, else the version before this one, as the platform remembers it.
    pub(crate) fn of_platform(
        seen: &PlatformState,
        previous: Option<Known>,
        to: Option<&DeploymentId>,
        platform: &str,
    ) -> Result<Self, BackError> {
        let seen_live = SeenLive::Platform { platform: platform.to_owned() };
        if let Some(canary) = seen.canary.as_ref().filter(|_| seen.weight.basis_points() > 0)
            && to.is_none_or(|wanted| *wanted == seen.base)
        {
            return Ok(Self {
                deployment: seen.base.clone(),
                commit: seen.base_commit.clone(),
                seen: seen_live,
                release: None,
                condemned: canary.commit.clone(),
                from: Some(canary.deployment.clone()),
                lowers: true,
            });
        }
        match (previous, to) {
            (Some(known), Some(wanted)) if known.deployment != *wanted => {
                Err(BackError::NeverServed(wanted.clone()))
            }
            (None, Some(wanted)) => Err(BackError::NeverServed(wanted.clone())),
            (Some(Known { deployment, commit }), _) => Ok(Self {
                deployment,
                commit,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Weight;

    fn id(name: &str) -> DeploymentId {
        DeploymentId::new(name).unwrap()
    }

    fn seen(weight: u32) -> PlatformState {
        PlatformState {
            base: id("base"),
            base_commit: None,
            canary: Some(Known { deployment: id("canary"), commit: None }),
            weight: Weight::from_basis_points(weight).unwrap(),
            generation: 1,
            epoch: 1,
            grant_until: None,
        }
    }

    #[test]
    fn without_a_ledger_the_platform_says_where_back_is() {
        let of = |weight, previous: Option<&str>, to: Option<&str>| {
            let previous = previous.map(|p| Known { deployment: id(p), commit: None });
            Target::of_platform(&seen(weight), previous, to.map(id).as_ref(), "router")
                .map(|target| (target.deployment.to_string(), target.lowers))
                .map_err(|error| error.to_string())
        };
        assert_eq!(of(500, None, None), Ok(("base".into(), true)));
        assert_eq!(of(500, Some("old"), Some("base")), Ok(("base".into(), true)));
        assert_eq!(of(0, Some("old"), None), Ok(("old".into(), false)));
        assert_eq!(of(0, Some("old"), Some("old")), Ok(("old".into(), false)));
        assert!(of(0, Some("old"), Some("rc")).unwrap_err().contains("never served"));
        assert!(of(0, None, None).unwrap_err().contains("no version before base"));
    }
}
