//! The end of a canary: what became of it is written, the lease is given back, the ledger shared.
//! Users are where they belong by then, so nothing here may keep a signal waiting for long.

use std::time::Duration;

use super::acts::Acts;
use super::drive::Ending;
use crate::base::clock;
use crate::base::limits;
use crate::base::units::Micros;
use crate::gate::clearance::SeenLive;
use crate::ledger::entry::{Body, RolledBack, RolloutEnd, TrafficProof};
use crate::rollout::machine::{Event, ExitKind, StageNext, State};
use crate::verbs::book::Sync;
use crate::verbs::notice;

/// How long giving the lease back may take.
const RELEASE: Duration = Duration::from_secs(2);
/// How long all of it may take after a signal: whoever sent it kills in a few seconds. What was
/// not written then is found by the next orca, as after a crash.
const SIGNALLED: Duration = Duration::from_secs(3);

impl Acts<'_> {
    /// Writes the end, gives the lease back and shares the ledger under its deadline.
    pub(crate) async fn end(&mut self, state: &State, mut ending: Ending) -> Ending {
        let is_signalled = self.cancel().is_cancelled();
        let written = self.write_end(state, &ending);
        let shared = if is_signalled {
            let shared = tokio::time::timeout(SIGNALLED, written).await;
            shared.unwrap_or_else(|_| Sync::Pending("stopped by a signal".to_owned()))
        } else {
            written.await
        };
        if let Sync::Pending(why) = shared {
            let text = format!("ledger: pending ({why}); it is shared with the next orca command");
            self.fleet.ship.say(text);
        }
        if let (None, ExitKind::Closed, Some(who)) =
            (ending.end, ending.exit, self.taken_over().await)
        {
            ending.reason = format!("{}; {who}", ending.reason);
        }
        if let Some(end) = ending.end.filter(|_| !is_signalled) {
            let of = &self.candidate.deployment;
            notice::show(self.fleet, of, notice::of_end(end, &ending.reason)).await;
        }
        ending
    }

    async fn write_end(&mut self, state: &State, ending: &Ending) -> Sync {
        if ending.end == Some(RolloutEnd::RolledBack) {
            self.keep_live_breach(state.stage).await;
            let body = Body::RolledBack(self.rolled_back(ending));
            self.keep(body).await;
        }
        for (step, outcome) in std::mem::take(&mut self.unwritten) {
            let detail = ending.reason.clone();
            self.keep(Body::StepEnded { step, outcome, detail }).await;
        }
        if ending.end == Some(RolloutEnd::Complete) {
            self.hold_complete().await;
        }
        if let Some(end) = ending.end {
            let rollout = self.started.rollout.clone();
            self.keep(Body::RolloutEnded { rollout, end, reason: ending.reason.clone() }).await;
        }
        let ship = &self.fleet.ship;
        let shared = ship.book.share().await;
        let released = ship.book.release_lease(&ship.environment, &self.held);
        let _ = tokio::time::timeout(RELEASE, released).await;
        shared
    }

    /// Who ended this rollout, where the ledger knows it by now.
    async fn taken_over(&self) -> Option<String> {
        let state = self.fleet.ship.book.state().await.ok()?;
        let ended = &state.environment(&self.fleet.ship.environment)?.ended;
        let mine =
            ended.iter().rev().find(|e| e.rollout.started.rollout == self.started.rollout)?;
        Some(format!("ended by {}: {}", mine.by, mine.reason))
    }

    /// A live limit went back before the stage was judged; what was seen is judged and kept now.
    async fn keep_live_breach(&mut self, stage: usize) {
        if self.recorded == Some(stage) || !self.watch.measures(stage) {
            return;
        }
        for event in self.judge(stage).await {
            if let Event::StageJudged { judged, .. } = event {
                self.record_stage(stage, StageNext::Abort, &judged).await;
            }
        }
    }

    /// Every stage was judged, so the new version may keep its traffic until it is promoted.
    pub(super) async fn hold_complete(&self) {
        if !self.fleet.platform.capabilities().holds_grant {
            self.fleet.ship.say("the new version keeps all traffic; promote it");
            return;
        }
        let grant = Micros::from_secs(limits::GRANT_COMPLETE.as_secs()).max(self.plan.grant);
        match self.fleet.platform.renew(grant, self.held.epoch).await {
            Ok(_) => self.fleet.ship.say(format!(
                "the new version keeps all traffic for {grant}; promote it before then"
            )),
            Err(error) => self.fleet.ship.say(format!("the grant ends soon: {error}")),
        }
    }

    fn rolled_back(&self, ending: &Ending) -> RolledBack {
        let verified = match (ending.exit, self.proof) {
            (ExitKind::BackOnBase, Some(proof)) => proof,
            (_, proof) => proof.unwrap_or(TrafficProof::Requested),
        };
        let verified_us = (verified == TrafficProof::Verified)
            .then(|| self.lowering_since.map(clock::elapsed_us))
            .flatten();
        RolledBack {
            release: Some(self.candidate.release.clone()),
            commit: Some(self.candidate.commit.clone()),
            from: Some(self.candidate.deployment.clone()),
            to: self.started.base.clone(),
            seen: SeenLive::Platform { platform: self.fleet.platform.capabilities().state_holder },
            reason: ending.reason.clone(),
            verified,
            moved_us: self.moved_us.unwrap_or(0),
            verified_us,
        }
    }
}
