//! The one call that makes a candidate the base: with a clearance, between its intent and its
//! outcome. Whoever promotes comes through here.

use super::book::{BookError, Held};
use super::canary::clear::Granted;
use super::canary::start::Candidate;
use super::lease;
use super::promote::PromoteError;
use super::ship::Fleet;
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::digest::canonical_json;
use crate::base::ids::{CommitId, Environment, OrcaId, ReleaseName};
use crate::gate::clearance::{Clearance, RaiseSubject};
use crate::gate::phase::Phase;
use crate::ledger::entry::{Body, Outcome, Promoted};
use crate::ledger::environment::Rollout;
use crate::ledger::fold::{KeptClearance, State};
use crate::rollout::machine::Denied;
use crate::rollout::ports::{PlatformError, PlatformState, PromoteOrder, PromoteTerms};

/// A promotion that is about to be made.
pub(super) struct Promoting<'a> {
    pub(super) fleet: &'a Fleet,
    pub(super) candidate: &'a Candidate,
    /// The version that it becomes, such as `v1.4.0`.
    pub(super) release: &'a ReleaseName,
}

/// The clearances to promote that were spent in this rollout and that no rollback voided.
pub(super) fn spent_clearances<'a>(
    state: &'a State,
    environment: &'a Environment,
    running: &'a Rollout,
) -> impl Iterator<Item = &'a KeptClearance> {
    let started = &running.started;
    state.clearances.values().filter(move |kept| {
        let cleared = &kept.record.subject;
        kept.phase == Phase::Promote
            && kept.spent.is_some()
            && kept.voided.is_none()
            && kept.by.at >= running.by.at
            && cleared.subject.commit == started.commit
            && cleared.subject.environment == *environment
    })
}

/// Whether the ledger took what was done, once traffic has moved: an error of it is no reason to say
/// that nothing changed.
pub(super) type Recorded = Result<(), BookError>;

impl Promoting<'_> {
    pub(super) async fn run(
        &self,
        granted: Granted,
        held: &Held,
        base_commit: Option<CommitId>,
    ) -> Result<Recorded, PromoteError> {
        let ship = &self.fleet.ship;
        let Granted { clearance, at_hand, seen } = granted;
        let step = self.intend(&clearance, held).await?;
        // The last moment at which a signal is heard: what was sent is read back and recorded.
        if ship.bench.cancel.is_cancelled() {
            let stopped = "stopped before the call".to_owned();
            self.say(self.ended(step, (Outcome::Failed, stopped)).await.err());
            return Err(PromoteError::Interrupted(self.candidate.deployment.clone()));
        }
        let terms = PromoteTerms {
            to: self.candidate.deployment.clone(),
            expect_generation: seen.generation,
            epoch: held.epoch,
        };
        let order = match PromoteOrder::new(clearance, &at_hand, terms, ship.now()) {
            Ok((order, _)) => order,
            Err(refusal) => {
                return Err(self.refused(step, refusal.to_string()).await);
            }
        };
        let answer = lease::prolonged(ship, held, self.fleet.platform.promote(order)).await;
        hit(CrashPoint::StepAfterApply);
        let outcome = match &answer {
            Ok(state) => (Outcome::Done, format!("generation {}", state.generation)),
            Err(error @ (PlatformError::Uncertain { .. } | PlatformError::InPart { .. })) => {
                (Outcome::Unknown, error.to_string())
            }
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        self.say(self.ended(step, outcome).await.err());
        answer?;
        // Traffic has moved: what the ledger does not take now is said, and found by the next run.
        let promoted = ship.book.keep(ship.note(self.fact(&seen, base_commit))).await;
        self.say(promoted.as_ref().err().cloned());
        hit(CrashPoint::StepAfterOutcome);
        Ok(promoted.map(drop))
    }

    /// The same where it is the base already: the clearance is spent on what is written, and nothing is
    /// called. `fact` is the promotion, where nobody recorded it.
    pub(super) async fn stands(
        &self,
        (clearance, at_hand): (Clearance, RaiseSubject),
        held: &Held,
        fact: Option<Body>,
    ) -> Result<Recorded, PromoteError> {
        let ship = &self.fleet.ship;
        let step = self.intend(&clearance, held).await?;
        if let Err(refusal) = clearance.spend(&at_hand, ship.now()) {
            return Err(self.refused(step, refusal.to_string()).await);
        }
        let detail = "it served everybody already".to_owned();
        self.say(self.ended(step, (Outcome::Done, detail)).await.err());
        let recorded = match fact {
            Some(fact) => ship.book.keep(ship.note(fact)).await.map(drop),
            None => Ok(()),
        };
        self.say(recorded.as_ref().err().cloned());
        hit(CrashPoint::StepAfterOutcome);
        Ok(recorded)
    }

    async fn intend(&self, clearance: &Clearance, held: &Held) -> Result<OrcaId, BookError> {
        let ship = &self.fleet.ship;
        let step = ship.book.id("st");
        let mut note = ship.note(Body::PromoteIntended {
            step: step.clone(),
            release: self.release.clone(),
            clearance: clearance.record().id.clone(),
            to: self.candidate.deployment.clone(),
        });
        note.epoch = Some(held.epoch);
        ship.book.decide(note).await?;
        hit(CrashPoint::StepAfterIntent);
        Ok(step)
    }

    /// The clearance does not hold any more.
    async fn refused(&self, step: OrcaId, detail: String) -> PromoteError {
        self.say(self.ended(step, (Outcome::Failed, detail.clone())).await.err());
        PromoteError::Denied(Denied::Expired { detail })
    }

    /// Writes what became of the step, and what was said to the platform.
    async fn ended(&self, step: OrcaId, (outcome, detail): (Outcome, String)) -> Recorded {
        let ship = &self.fleet.ship;
        let mut note = ship.note(Body::StepEnded { step, outcome, detail });
        note.exhibits.extend(self.calls());
        ship.book.keep(note).await.map(drop)
    }

    fn say(&self, error: Option<BookError>) {
        if let Some(error) = error {
            self.fleet.ship.say(format!("ledger: {error}"));
        }
    }

    pub(super) fn fact(&self, before: &PlatformState, base_commit: Option<CommitId>) -> Body {
        Body::Promoted(Promoted {
            release: self.release.clone(),
            commit: self.candidate.commit.clone(),
            digest: self.candidate.digest,
            deployment: self.candidate.deployment.clone(),
            previous: before.base.clone(),
            previous_commit: base_commit.or_else(|| before.base_commit.clone()),
        })
    }

    /// What was said to the platform, for whoever looks at the ledger later.
    fn calls(&self) -> Option<Vec<u8>> {
        let calls = self.fleet.platform.calls();
        (!calls.is_empty()).then(|| canonical_json(&calls).expect("calls are plain data"))
    }
}
