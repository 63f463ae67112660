//! Where users go back to: as the ledger knows, unless the platform shows that this ledger is old;
//! then as the platform knows. Both are asked at once, and neither is waited for long.

use std::sync::Arc;
use std::time::Duration;

use super::run::Rollback;
use crate::base::ids::{CommitId, DeploymentId, Environment, ReleaseName};
use crate::base::units::Weight;
use crate::gate::clearance::SeenLive;
use crate::ledger::back::{Because, WayBack};
use crate::ledger::environment::Reached;
use crate::ledger::fold::State;
use crate::rollout::ports::{Known, PlatformError, PlatformState};

/// How long ledger and platform are asked before one call is made all the same, where one of them
/// knows the way.
const LOOK: Duration = Duration::from_secs(1);

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
    /// Whether the base stays and only a canary, if any, is taken back: one lowering.
    pub(crate) lowers: bool,
    /// The platform showed everybody there before anything was called.
    pub(crate) is_reached: bool,
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
    /// Where it would go.
    pub(crate) async fn target(&self) -> Result<Target, BackError> {
        let mut look = self.platform.look();
        let (state, looked) = tokio::join!(self.known(), tokio::time::timeout(LOOK, &mut look));
        let platform = self.platform.capabilities().state_holder;
        let (state, seen) = match (state, looked) {
            (Some(state), Ok(Ok(seen))) => (state, seen),
            (Some(state), looked) => {
                return match (self.by_ledger(&state), looked) {
                    // The ledger has nothing to say, and the platform said why it says nothing.
                    (Err(BackError::NoWay(_)), Ok(Err(error))) => Err(BackError::Platform(error)),
                    (known, _) => known,
                };
            }
            (None, looked) => {
                // Nobody else knows the way: a slow platform is waited for, by its own deadline.
                let seen = match looked {
                    Ok(seen) => seen,
                    Err(_) => look.await,
                };
                let seen = seen.map_err(BackError::Platform)?;
                return Target::of_platform(&seen, self.to.as_ref(), &platform)
                    .map(|target| target.noticing(&seen));
            }
        };
        let said = self.by_ledger(&state);
        let is_old = is_stale(&state, &self.environment, said.as_ref().ok(), &seen);
        let target = match (said, &self.to) {
            (Ok(target), _) if !is_old => Ok(target),
            // It served once: that is all a named target needs.
            (Ok(target), Some(_)) => Ok(target.taking_back(&seen)),
            (Err(error @ BackError::NeverServed(_)), _) if !is_old => Err(error),
            (said, to) => Target::of_platform(&seen, to.as_ref(), &platform)
                .and_then(|target| self.past_condemned(&state, target, &seen))
                .map_err(|error| both(said.err(), error)),
        };
        target.map(|target| target.noticing(&seen))
    }

    /// A ledger that is old still knows what was rolled back: nobody is sent to that again unless
    /// it was named.
    fn past_condemned(
        &self,
        state: &State,
        target: Target,
        seen: &PlatformState,
    ) -> Result<Target, BackError> {
        let known = state.environment(&self.environment);
        let served = known.and_then(|e| e.served().find(|b| b.deployment == target.deployment));
        let commit = target.commit.as_ref().or_else(|| served.and_then(|b| b.commit.as_ref()));
        let rolled_back = known.zip(commit).and_then(|(e, c)| e.condemned.get_key_value(c));
        let Some((commit, why)) = rolled_back.filter(|_| self.to.is_none() && !target.lowers)
        else {
            return Ok(target);
        };
        match state.newest_stable(&self.environment, &seen.base) {
            Some(way) => Ok(Target::of_ledger(state, &self.environment, &way).taking_back(seen)),
            None => Err(BackError::NoWay(format!(
                "{} at commit {} was rolled back ({}), and no other stable release is known",
                target.deployment,
                commit.short(),
                why.reason
            ))),
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
            is_reached: false,
        }
    }

    /// Whether users were there before, and nothing is taken back.
    pub(crate) fn is_no_move(&self) -> bool {
        self.is_reached && self.from.is_none()
    }

    fn noticing(self, seen: &PlatformState) -> Self {
        let is_reached = seen.base == self.deployment && seen.weight == Weight::ZERO;
        Self { is_reached, ..self }
    }

    /// The same place, taking back what the platform shows instead of what an old ledger believes.
    fn taking_back(self, seen: &PlatformState) -> Self {
        let live = seen.canary.as_ref().filter(|_| seen.weight != Weight::ZERO);
        let stays = seen.base == self.deployment;
        let (condemned, from) = match live {
            Some(known) => (known.commit.clone(), Some(known.deployment.clone())),
            None if stays => (None, None),
            None => (seen.base_commit.clone(), Some(seen.base.clone())),
        };
        Self { release: None, condemned, from, lowers: stays, ..self }
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
                is_reached: false,
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
                is_reached: false,
            }),
            (None, None) => Err(BackError::NoWay(format!(
                "{platform} remembers no version before {}",
                seen.base
            ))),
        }
    }
}

/// Whether the platform shows something that this ledger does not know: it was written elsewhere.
fn is_stale(
    state: &State,
    environment: &Environment,
    said: Option<&Target>,
    seen: &PlatformState,
) -> bool {
    let known = state.environment(environment);
    let base = known.and_then(|e| e.base.as_ref());
    let rollout = known.and_then(|e| e.rollout.as_ref()).map(|r| &r.started.canary);
    if seen.went_back && seen.weight == Weight::ZERO {
        // Traffic is where the ledger would send it: somebody went back and could not write it.
        if said.is_some_and(|target| target.deployment == seen.base) {
            return false;
        }
        // Traffic went back to what this ledger still believes to be new: it misses a release
        // and its rollback, and would go one release further.
        let is_new = |reached: &Reached| matches!(reached, Reached::Promoted { .. });
        if rollout.is_none()
            && seen.previous.is_none()
            && base.is_some_and(|b| b.deployment == seen.base && is_new(&b.reached))
        {
            return true;
        }
    }
    if base.is_some_and(|base| base.deployment != seen.base) {
        return true;
    }
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
            stored: true,
            closed: false,
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
