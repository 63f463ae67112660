//! Where users go back to: as the ledger knows, unless the platform shows that this ledger is old;
//! then as the platform knows. Both are asked at once, and neither is waited for long.

use std::sync::Arc;
use std::time::Duration;

use super::meant::{self, Meant};
use super::run::Rollback;
use crate::base::ids::{CommitId, DeploymentId, Environment, ReleaseName};
use crate::base::units::Weight;
use crate::gate::clearance::SeenLive;
use crate::ledger::back::{Because, WayBack};
use crate::ledger::environment::{Base, EnvironmentState};
use crate::ledger::fold::State;
use crate::rollout::ports::{Known, Lowering, PlatformError, PlatformState};

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
    /// Why here, where something else could have been meant.
    pub(crate) because: Option<String>,
    /// Where `--to` leads then.
    pub(crate) or_to: Option<DeploymentId>,
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
                return self.by_platform(&seen, &platform).map(|target| target.noticing(&seen));
            }
        };
        let said = self.by_ledger_and(&state, &seen, &platform);
        let is_old = self.is_stale(&state, said.as_ref().ok(), &seen);
        let target = match (said, &self.to) {
            (Ok(target), _) if !is_old => Ok(self.unless_it_stays(&state, target, &seen)),
            // It served once: that is all a named target needs.
            (Ok(target), Some(_)) => Ok(target.taking_back(&seen)),
            (Err(error @ BackError::NeverServed(_)), _) if !is_old => Err(error),
            (said, _) => self
                .by_platform(&seen, &platform)
                .and_then(|target| self.past_condemned(&state, target, &seen))
                .map_err(|error| both(said.err(), error)),
        };
        target.map(|target| self.or_to(&state, target, &seen).noticing(&seen))
    }

    fn by_platform(&self, seen: &PlatformState, platform: &str) -> Result<Target, BackError> {
        let meant =
            if self.is_failing(&seen.base) { Meant::Base(None) } else { Meant::of(seen, platform) };
        Target::of_platform(seen, self.to.as_ref(), (meant, platform))
    }

    /// Whether it is known that this base is what fails.
    fn is_failing(&self, base: &DeploymentId) -> bool {
        self.fails.as_ref() == Some(base)
    }

    /// By the ledger. A canary that it still believes to be under way, and that the platform shows
    /// to have been taken back long ago, keeps nobody on its base.
    fn by_ledger_and(
        &self,
        state: &State,
        seen: &PlatformState,
        platform: &str,
    ) -> Result<Target, BackError> {
        let withdrawn = seen.lowered.is_some_and(|lowered| lowered.how == Lowering::Withdrawn);
        let is_over = withdrawn && matches!(Meant::of(seen, platform), Meant::Base(_));
        let known = state.environment(&self.environment);
        let base = known.and_then(|e| e.base.as_ref()).filter(|base| base.deployment == seen.base);
        match base.filter(|_| is_over && self.to.is_none()) {
            Some(base) => self.past_base(state, base),
            None => self.by_ledger(state),
        }
    }

    /// Somebody rolled back, which this ledger never heard of, or a canary of this base was taken back a
    /// moment ago, and it may be what is meant: users stay.
    fn unless_it_stays(&self, state: &State, target: Target, seen: &PlatformState) -> Target {
        let known = state.environment(&self.environment);
        let base = known.zip(known.and_then(|e| e.base.as_ref()));
        let moves = target.deployment != seen.base && seen.weight == Weight::ZERO;
        if self.to.is_some() || self.is_failing(&seen.base) || !moves {
            return target;
        }
        let shown = match (seen.lowered, Meant::of(seen, "the platform")) {
            (Some(_), Meant::Stay(why)) => Some(why),
            _ => None,
        };
        let told = || meant::lately(base?.0, base?.1, self.now);
        match shown.or_else(told) {
            Some(why) => {
                let platform = self.platform.capabilities().state_holder;
                Target::staying(seen, &platform, Some(why))
            }
            None => target,
        }
    }

    /// Where users stay for a reason, a person is told the one command that goes on.
    fn or_to(&self, state: &State, target: Target, seen: &PlatformState) -> Target {
        if target.because.is_none() || target.deployment != seen.base {
            return target;
        }
        let known = state.environment(&self.environment);
        let is_sound = |known_before: &&Known| {
            let commit = known_before.commit.as_ref();
            !commit.is_some_and(|c| known.is_some_and(|e| e.condemned.contains_key(c)))
        };
        let by_platform = seen.previous.as_ref().filter(is_sound).map(|k| k.deployment.clone());
        let by_ledger = state.other_way(&self.environment, &seen.base);
        Target { or_to: by_ledger.or(by_platform), ..target }
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
        let base = state.environment(&self.environment).and_then(|e| e.base.as_ref());
        if let Some(base) = base.filter(|base| self.is_failing(&base.deployment)) {
            return self.past_base(state, base);
        }
        let way = state.way_back(&self.environment);
        match (&self.to, way) {
            (Some(wanted), way) => self.named(state, wanted, way.ok().as_ref()),
            (None, Ok(way)) => Ok(Target::of_ledger(state, &self.environment, &way)),
            (None, Err(error)) => Err(BackError::NoWay(error.to_string())),
        }
    }

    /// The base is what fails, whatever canary stands beside it.
    fn past_base(&self, state: &State, base: &Base) -> Result<Target, BackError> {
        let way = state.way_past_base(&self.environment);
        let way = way.map_err(|error| BackError::NoWay(error.to_string()))?;
        let left = Some(base).filter(|base| base.deployment != way.deployment);
        let known = state.environment(&self.environment);
        let beside = left.and_then(|_| known?.rollout.as_ref()).map(|rollout| &rollout.started);
        let target = Target::of_ledger(state, &self.environment, &way);
        Ok(Target {
            because: beside.map(meant::beside).or(target.because),
            release: left.and_then(|base| base.release.clone()),
            condemned: left.and_then(|base| base.commit.clone()),
            from: left.map(|base| base.deployment.clone()),
            ..target
        })
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
        let known = state.environment(&self.environment);
        Ok(Target::of_ledger(state, &self.environment, &way).past_base(known))
    }
}

impl Target {
    pub(super) fn of_ledger(state: &State, environment: &Environment, way: &WayBack) -> Self {
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
            because: known.zip(base).filter(|_| already).map(|(e, base)| meant::already(e, base)),
            or_to: already.then(|| state.other_way(environment, &way.deployment)).flatten(),
        }
    }

    /// Named past the base of a canary: as long as the base has users, it is what is left.
    fn past_base(self, known: Option<&EnvironmentState>) -> Self {
        let running = known.and_then(|e| Some((e.base.as_ref()?, e.rollout.as_ref()?)));
        let Some((base, rollout)) = running.filter(|(_, r)| r.weight != Weight::FULL) else {
            return self;
        };
        Self {
            release: base.release.clone(),
            condemned: base.commit.clone(),
            from: Some(base.deployment.clone()),
            because: Some(meant::past(rollout)),
            ..self
        }
    }

    /// Users are kept on the base, or brought to it from a canary that has some.
    fn staying(seen: &PlatformState, platform: &str, because: Option<String>) -> Self {
        let live = seen.canary.as_ref().filter(|_| seen.weight != Weight::ZERO);
        Self {
            deployment: seen.base.clone(),
            commit: seen.base_commit.clone(),
            seen: SeenLive::Platform { platform: platform.to_owned() },
            release: None,
            condemned: live.and_then(|known| known.commit.clone()),
            from: live.map(|known| known.deployment.clone()),
            lowers: true,
            is_reached: false,
            or_to: seen
                .previous
                .as_ref()
                .filter(|_| because.is_some())
                .map(|k| k.deployment.clone()),
            because,
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

    /// As the platform alone knows it: see [`Meant`].
    fn of_platform(
        seen: &PlatformState,
        to: Option<&DeploymentId>,
        (meant, platform): (Meant, &str),
    ) -> Result<Self, BackError> {
        let because = match (meant, to) {
            (_, Some(wanted)) if *wanted == seen.base => {
                return Ok(Self::staying(seen, platform, None));
            }
            (Meant::Canary, None) => return Ok(Self::staying(seen, platform, None)),
            (Meant::Stay(why), None) => return Ok(Self::staying(seen, platform, Some(why))),
            (Meant::Base(before), None) => before,
            (_, Some(_)) => None,
        };
        match (&seen.previous, to) {
            (Some(known), Some(wanted)) if known.deployment != *wanted => {
                Err(BackError::NeverServed(wanted.clone()))
            }
            (None, Some(wanted)) => Err(BackError::NeverServed(wanted.clone())),
            (Some(Known { deployment, commit }), _) => Ok(Self {
                deployment: deployment.clone(),
                commit: commit.clone(),
                seen: SeenLive::Platform { platform: platform.to_owned() },
                release: None,
                condemned: seen.base_commit.clone(),
                from: Some(seen.base.clone()),
                lowers: false,
                is_reached: false,
                or_to: because.as_ref().map(|_| seen.base.clone()),
                because,
            }),
            (None, None) => Err(BackError::NoWay(format!(
                "{platform} remembers no version before {}",
                seen.base
            ))),
        }
    }
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
            lowered: None,
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
            let meant = Meant::of(&state, "router");
            Target::of_platform(&state, to.map(id).as_ref(), (meant, "router"))
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
            let meant = Meant::of(&state, "router");
            let target = Target::of_platform(&state, None, (meant, "router")).unwrap();
            assert_eq!((target.deployment, target.condemned), (id("base"), None));
        }
    }
}
