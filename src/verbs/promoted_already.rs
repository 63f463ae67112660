//! A promotion that finds its candidate serving everybody: an earlier run sent users there, or the
//! platform did once the canary had everything (Vercel does), or a person by hand.
//!
//! The final tag says that the promote phase held, so it needs the clearance of that phase, as the
//! promotion does: one clearance for both. It follows without asking again only where this very
//! promotion spent one and nobody rolled back since: it is recorded, or its intent was left open by
//! a process that died. Anything else is asked now; traffic is moved in neither case.

use super::book::Held;
use super::canary::clear::Granted;
use super::promote::{PromoteError, Promotion};
use super::promoting::{Recorded, spent_clearances};
use super::{gates, lease, settle};
use crate::gate::phase::Phase;
use crate::ledger::entry::Body;
use crate::ledger::environment::{EnvironmentState, Reached, Rollout};
use crate::ledger::fold::State;
use crate::rollout::machine::Denied;
use crate::rollout::ports::{Arm, PlatformState};

impl Promotion<'_> {
    /// Records the promotion where nobody did, with a clearance.
    pub(super) async fn found_moved(
        &self,
        state: &State,
        seen: &PlatformState,
    ) -> Result<Recorded, PromoteError> {
        let ship = &self.fleet.ship;
        let known = state.environment(&ship.environment);
        let rollout = known.and_then(|known| self.rollout(known));
        let recorded = known.is_some_and(|known| self.is_recorded(known));
        let Some(rollout) = rollout.filter(|rollout| recorded || rollout.complete) else {
            let (release, environment) =
                (self.candidate.release.clone(), ship.environment.to_string());
            return Err(PromoteError::NotComplete(release, environment));
        };
        let before = (!recorded).then(|| self.before(rollout, seen));
        if self.is_tagged(state) || self.was_cleared(state, rollout, recorded) {
            let kept = match before {
                Some(body) => ship.book.keep(ship.note(body)).await.map(drop),
                None => Ok(()),
            };
            kept?;
            settle::steps(&*ship.book, &ship.environment).await?;
            return Ok(Ok(()));
        }
        let held = ship.take_lease_above(seen.epoch).await?;
        let result = self.cleared_now(state, &held, before).await;
        lease::give_back(ship, &held).await;
        result
    }

    fn is_recorded(&self, known: &EnvironmentState) -> bool {
        known.base.as_ref().is_some_and(|base| base.deployment == self.candidate.deployment)
    }

    /// The rollout that this candidate came by, under way, complete or ended by its promotion.
    fn rollout<'a>(&self, known: &'a EnvironmentState) -> Option<&'a Rollout> {
        let ended = known.ended.iter().rev().map(|ended| &ended.rollout);
        known.rollout.iter().chain(ended).find(|rollout| {
            let started = &rollout.started;
            started.canary == self.candidate.deployment && started.commit == self.candidate.commit
        })
    }

    /// The fact that nobody wrote.
    fn before(&self, rollout: &Rollout, seen: &PlatformState) -> Body {
        let before = PlatformState { base: rollout.started.base.clone(), ..seen.clone() };
        self.promoting().fact(&before, rollout.started.base_commit.clone())
    }

    /// A tag that stands is only pushed again.
    pub(super) fn is_tagged(&self, state: &State) -> bool {
        state.finals.get(&self.tag).is_some_and(|tagged| tagged.commit == self.candidate.commit)
    }

    /// Whether a clearance was spent on this promotion, which was made or may have been.
    fn was_cleared(&self, state: &State, rollout: &Rollout, recorded: bool) -> bool {
        let environment = &self.fleet.ship.environment;
        let deployment = &self.candidate.deployment;
        let promoted = || {
            let base = state.environment(environment).and_then(|known| known.base.as_ref());
            base.is_some_and(|base| matches!(base.reached, Reached::Promoted { .. }))
        };
        let is_open = || {
            state.dangling.values().any(|left| {
                let intent = &left.intent;
                left.environment.as_ref() == Some(environment)
                    && matches!(intent, Body::PromoteIntended { to, .. } if to == deployment)
            })
        };
        let made = if recorded { promoted() } else { is_open() };
        made && spent_clearances(state, environment, rollout).next().is_some()
    }

    /// Asks the promote phase about what serves.
    async fn cleared_now(
        &self,
        state: &State,
        held: &Held,
        fact: Option<Body>,
    ) -> Result<Recorded, PromoteError> {
        let ship = &self.fleet.ship;
        settle::steps(&*ship.book, &ship.environment).await?;
        let deployment = &self.candidate.deployment;
        // It serves, so it is the platform's base that must say what it is.
        let mut ready = gates::ready_on(self.fleet, &self.candidate, (deployment, Arm::Base));
        ready.phase = Phase::Promote;
        let granted = self.ask(&ready, state).await.map_err(|denied| self.untagged(denied))?;
        let Granted { clearance, at_hand, seen } = granted;
        if seen.base != *deployment {
            let found = format!("{} serves", seen.base);
            return Err(PromoteError::OffCandidate {
                release: self.candidate.release.clone(),
                found,
            });
        }
        self.promoting().stands((clearance, at_hand), held, fact).await
    }

    /// Nothing moved and nothing will: only the tag waits.
    fn untagged(&self, denied: Denied) -> PromoteError {
        let of = |detail: String| {
            let (deployment, tag) = (&self.candidate.deployment, &self.tag);
            format!("{deployment} serves everybody already, and {tag} needs a clearance: {detail}")
        };
        PromoteError::Denied(match denied {
            Denied::Expired { detail } => Denied::Expired { detail: of(detail) },
            Denied::Undecided { detail } => Denied::Undecided { detail: of(detail) },
            Denied::Closed { detail } => Denied::Closed { detail: of(detail) },
        })
    }
}
