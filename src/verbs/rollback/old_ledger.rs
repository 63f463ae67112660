//! A ledger that is older than what the platform shows: how it is recognised, and what it still
//! knows. Pure.

use super::meant;
use super::run::Rollback;
use super::target::{BackError, Target};
use crate::base::units::Weight;
use crate::ledger::environment::{Base, Reached};
use crate::ledger::fold::State;
use crate::rollout::ports::PlatformState;

impl Rollback {
    /// Whether the platform shows something that this ledger does not know: it was written elsewhere.
    pub(super) fn is_stale(
        &self,
        state: &State,
        said: Option<&Target>,
        seen: &PlatformState,
    ) -> bool {
        let known = state.environment(&self.environment);
        let base = known.and_then(|e| e.base.as_ref());
        let rollout = known.and_then(|e| e.rollout.as_ref()).map(|r| &r.started.canary);
        if seen.went_back && seen.weight == Weight::ZERO {
            // Traffic is where the ledger would send it: somebody went back and could not write it.
            if said.is_some_and(|target| target.deployment == seen.base) {
                return false;
            }
            // Traffic went back, nobody knows from what, to what this ledger still believes to be
            // new, and it knows no canary that was taken back since: it misses a release and its
            // rollback.
            let is_new = |reached: &Reached| matches!(reached, Reached::Promoted { .. });
            let is_told = |b: &Base| known.is_some_and(|e| meant::withdrawn(e, b).is_some());
            if seen.lowered.is_none()
                && rollout.is_none()
                && seen.previous.is_none()
                && base
                    .is_some_and(|b| b.deployment == seen.base && is_new(&b.reached) && !is_told(b))
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

    /// A ledger that is old still knows what was rolled back: nobody is sent to that again unless
    /// it was named.
    pub(super) fn past_condemned(
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
}

impl Target {
    /// The same place, taking back what the platform shows instead of what an old ledger believes.
    pub(super) fn taking_back(self, seen: &PlatformState) -> Self {
        let live = seen.canary.as_ref().filter(|_| seen.weight != Weight::ZERO);
        let stays = seen.base == self.deployment;
        let (condemned, from) = match live.filter(|_| stays || seen.weight == Weight::FULL) {
            Some(known) => (known.commit.clone(), Some(known.deployment.clone())),
            None if stays => (None, None),
            None => (seen.base_commit.clone(), Some(seen.base.clone())),
        };
        Self { release: None, condemned, from, lowers: stays, ..self }
    }
}
