//! The switch: under the lease, with a clearance, through the one call that promotes. The way back
//! is in the ledger before the call is made, as a rollout of one stage.

use super::judging::Judged;
use super::run::{BlueGreen, BlueGreenError, Ended, interrupted, is_attended};
use crate::base::ids::{DeploymentId, Environment, OrcaId};
use crate::base::units::{Micros, Weight};
use crate::gate::phase::Phase;
use crate::ledger::entry::{Body, RolloutEnd, RolloutStarted};
use crate::ledger::environment::Rollout;
use crate::ledger::fold::State;
use crate::rollout::machine::Denied;
use crate::rollout::plan::{DecideBy, OnFail, OnInterrupt, RolloutPlan, Stage};
use crate::rollout::ports::{PlatformError, PlatformState, Refused};
use crate::rollout::triggers::Triggers;
use crate::verbs::book::Held;
use crate::verbs::canary::clear::Proof;
use crate::verbs::canary::start::Candidate;
use crate::verbs::promote::PromoteError;
use crate::verbs::promoting::{Promoting, Recorded, spent_clearances};
use crate::verbs::ship::PhaseGate;
use crate::verbs::{gates, lease, settle};

impl BlueGreen<'_> {
    /// Sends everybody to the candidate, unless somebody changed who serves since it was `adopted`.
    pub(super) async fn switch(
        &self,
        candidate: &Candidate,
        judged: &Judged,
        adopted: &PlatformState,
    ) -> Result<Recorded, BlueGreenError> {
        let ship = &self.fleet.ship;
        let seen = self.fleet.platform.look().await?;
        if (&seen.base, seen.generation) != (&adopted.base, adopted.generation) {
            let platform = self.fleet.platform.capabilities().state_holder;
            let refused = Refused::Busy(format!(
                "{} serves by somebody else's hand, and {} did when this began; nothing is \
                 overwritten",
                seen.base, adopted.base
            ));
            return Err(PlatformError::Refused { platform, refused }.into());
        }
        let held = ship.take_lease_above(seen.epoch).await?;
        let result = self.under_lease(candidate, judged, (&seen, &held)).await;
        lease::give_back(ship, &held).await;
        result
    }

    async fn under_lease(
        &self,
        candidate: &Candidate,
        judged: &Judged,
        (seen, held): (&PlatformState, &Held),
    ) -> Result<Recorded, BlueGreenError> {
        let ship = &self.fleet.ship;
        self.stopped(&candidate.deployment)?;
        settle::steps(&*ship.book, &ship.environment).await?;
        let state = ship.book.synced().await?;
        let rollout = self.begun_rollout(&state, candidate, (seen, held)).await?;
        let mut ready = gates::ready(self.fleet, candidate, &seen.base);
        ready.phase = Phase::Promote;
        let before: Vec<PhaseGate> = self.preflight.iter().chain(&judged.load).cloned().collect();
        let proof = Proof {
            fleet: self.fleet,
            candidate,
            gates: &before,
            ready: std::slice::from_ref(&ready),
            stages: std::slice::from_ref(&judged.criteria),
            rulings: &[],
            phase: Phase::Promote,
        };
        let granted = match proof.ask().await {
            Ok(granted) => granted,
            Err(denied) => {
                self.end_unmoved(rollout, "no clearance").await;
                return Err(BlueGreenError::Denied(denied));
            }
        };
        let promoting = Promoting { fleet: self.fleet, candidate, release: &self.version };
        match promoting.run(granted, held, seen.base_commit.clone()).await {
            Ok(recorded) => Ok(recorded),
            // Nobody knows whether they were moved: the rollout stays, and with it the way back.
            Err(PromoteError::Platform(
                error @ (PlatformError::Uncertain { .. } | PlatformError::InPart { .. }),
            )) => Err(error.into()),
            Err(error) => {
                self.end_unmoved(rollout, &error.to_string()).await;
                Err(of_promotion(error))
            }
        }
    }

    /// The rollout that a dead run of the same standby left, or a new one.
    async fn begun_rollout(
        &self,
        state: &State,
        candidate: &Candidate,
        (seen, held): (&PlatformState, &Held),
    ) -> Result<OrcaId, BlueGreenError> {
        let ship = &self.fleet.ship;
        let running = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
        if let Some(running) = running {
            // Somebody began it while this run built and judged.
            if is_attended(running) {
                return Err(self.under_way(running));
            }
            if is_same(running, candidate, &seen.base) {
                return Ok(running.started.rollout.clone());
            }
            // The lease was free and nobody has users on it: nobody attends it any more.
            self.end_unmoved(running.started.rollout.clone(), "its process was gone").await;
        }
        let rollout = ship.book.id("ro");
        let mut note = ship.note(Body::RolloutStarted(RolloutStarted {
            rollout: rollout.clone(),
            release: self.release.clone(),
            commit: self.commit.clone(),
            digest: candidate.digest,
            canary: candidate.deployment.clone(),
            base: seen.base.clone(),
            base_commit: seen.base_commit.clone(),
            plan: serde_json::to_value(at_once()).expect("a plan is plain data"),
        }));
        note.epoch = Some(held.epoch);
        if let Err(error) = ship.book.decide(note).await {
            self.end_unmoved(rollout, &error.to_string()).await;
            return Err(error.into());
        }
        Ok(rollout)
    }

    /// A rollout that moved nobody.
    async fn end_unmoved(&self, rollout: OrcaId, reason: &str) {
        let ship = &self.fleet.ship;
        let (end, reason) = (RolloutEnd::Aborted, reason.to_owned());
        let body = Body::RolloutEnded { rollout, end, reason };
        if let Err(error) = ship.book.keep(ship.note(body)).await {
            ship.say(format!("ledger: {error}"));
        }
    }

    /// An earlier run sent users there, and may have died before it could say so.
    pub(super) async fn found_moved(
        &self,
        deployment: DeploymentId,
        seen: &PlatformState,
    ) -> Result<Ended, BlueGreenError> {
        let ship = &self.fleet.ship;
        let state = ship.book.state().await?;
        let known = state.environment(&ship.environment);
        let is_recorded = known
            .and_then(|e| e.base.as_ref())
            .is_some_and(|base| base.deployment == deployment && base.release.is_some());
        let running = known
            .and_then(|e| e.rollout.as_ref())
            .filter(|running| running.started.canary == deployment)
            .filter(|running| was_cleared(&state, &ship.environment, running));
        let previous = match running {
            Some(running) => Some(running.started.base.clone()),
            None if is_recorded => seen.previous.as_ref().map(|known| known.deployment.clone()),
            None => return Err(BlueGreenError::ServesUnjudged(deployment)),
        };
        let recorded = if running.is_some() || settle::any_steps(&state, &ship.environment) {
            self.recorded(seen, running).await
        } else {
            Ok(())
        };
        let traffic = Some(self.verified(false, &deployment).await);
        let ledger = self.written(recorded).await;
        Ok(Ended { deployment, previous, judged: None, traffic, ledger })
    }

    /// Writes what the earlier run could not. While somebody holds the lease it is theirs to write.
    async fn recorded(&self, seen: &PlatformState, running: Option<&Rollout>) -> Recorded {
        let ship = &self.fleet.ship;
        let held = ship.take_lease_above(seen.epoch).await?;
        let recorded = self.recorded_under_lease(seen, running).await;
        lease::give_back(ship, &held).await;
        recorded
    }

    async fn recorded_under_lease(
        &self,
        seen: &PlatformState,
        running: Option<&Rollout>,
    ) -> Recorded {
        let ship = &self.fleet.ship;
        ship.book.synced().await?;
        settle::steps(&*ship.book, &ship.environment).await?;
        let state = ship.book.state().await?;
        let now = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
        // Somebody may have written it before the lease was ours.
        let still = now.zip(running).filter(|(now, r)| now.started.rollout == r.started.rollout);
        let Some((_, running)) = still else { return Ok(()) };
        let started = &running.started;
        let candidate = Candidate {
            release: self.release.clone(),
            commit: self.commit.clone(),
            digest: started.digest,
            deployment: started.canary.clone(),
        };
        let promoting =
            Promoting { fleet: self.fleet, candidate: &candidate, release: &self.version };
        let before = PlatformState { base: started.base.clone(), ..seen.clone() };
        let fact = promoting.fact(&before, started.base_commit.clone());
        ship.book.keep(ship.note(fact)).await.map(drop)
    }
}

/// Whether a clearance to promote was spent in this rollout: then orca itself sent users there, or
/// was about to.
fn was_cleared(state: &State, environment: &Environment, running: &Rollout) -> bool {
    spent_clearances(state, environment, running)
        .any(|kept| kept.record.subject.serving == running.started.base)
}

fn is_same(running: &Rollout, candidate: &Candidate, base: &DeploymentId) -> bool {
    let started = &running.started;
    started.canary == candidate.deployment
        && started.commit == candidate.commit
        && started.base == *base
}

/// Everybody, in one stage.
pub(super) fn at_once() -> RolloutPlan {
    RolloutPlan {
        stages: vec![Stage {
            weight: Weight::FULL,
            bake: Micros(1),
            on_fail: OnFail::Rollback,
            decide_by: DecideBy::Paired,
            paired_rate: None,
            max_hold: Micros(1),
        }],
        grant: Micros::from_secs(60),
        renewal: Micros::from_secs(15),
        on_interrupt: OnInterrupt::Hold,
        every: None,
        track: None,
        triggers: Triggers::default(),
    }
}

fn of_promotion(error: PromoteError) -> BlueGreenError {
    let text = error.to_string();
    match error {
        PromoteError::OffCandidate { .. } | PromoteError::TagTaken(_) => {
            BlueGreenError::Denied(Denied::Closed { detail: text })
        }
        PromoteError::Book(error) => BlueGreenError::Book(error),
        PromoteError::Platform(error) => BlueGreenError::Platform(error),
        PromoteError::Condemned(text) => BlueGreenError::Condemned(text),
        PromoteError::Denied(denied) => BlueGreenError::Denied(denied),
        PromoteError::Interrupted(standby) => interrupted(&standby),
        PromoteError::NotComplete(release, environment) => {
            let detail = format!("{release} is not complete in {environment}");
            BlueGreenError::Denied(Denied::Closed { detail })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fixture::{
        Told, cleared, commit, deployment, environment, id, release, rollout,
    };

    /// Somebody promotes a standby by hand whose rollout was begun: that is no promotion of orca's.
    #[test]
    fn only_a_spent_clearance_of_the_rollout_says_that_orca_sent_users() {
        let began = rollout("v1.4.0-rc.1", '4', "d0");
        let clears = |digit: char, phase| match cleared("cl_1", digit, 1_000) {
            Body::Cleared { clearance, .. } => Body::Cleared { clearance, phase },
            other => other,
        };
        let intends = || Body::PromoteIntended {
            step: id("st_1"),
            release: release("v1.4.0"),
            clearance: id("cl_1"),
            to: deployment("d4"),
        };
        let promotes = |digit| clears(digit, Phase::Promote);
        for (told_of, expected) in [
            (vec![began.clone()], false),
            (vec![began.clone(), promotes('4')], false),
            (vec![began.clone(), promotes('4'), intends()], true),
            (vec![began.clone(), clears('4', Phase::Canary), intends()], false),
            (vec![began.clone(), promotes('5'), intends()], false),
            (vec![promotes('4'), intends(), began.clone()], false),
        ] {
            let mut told = Told::new();
            for body in &told_of {
                told.live(body.clone());
            }
            let state = told.state();
            let at = environment("production");
            let running = state.environments[&at].rollout.clone().unwrap();
            assert_eq!(running.started.commit, commit('4'));
            assert_eq!(was_cleared(&state, &at, &running), expected, "{told_of:?}");
        }
    }
}
