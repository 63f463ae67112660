//! The proof for one raise: fresh rulings of every required gate, on the newest ledger, for what
//! is really at hand now.

use super::start::Candidate;
use crate::gate::clearance::{Clearance, RaiseSubject, Refusal};
use crate::gate::phase::{GateRequirement, Phase, gate_set_digest};
use crate::gate::ruling::{Ruling, Subject};
use crate::gate::verdict::{Cause, Verdict};
use crate::ledger::entry::Body;
use crate::rollout::machine::Denied;
use crate::rollout::ports::{PlatformError, PlatformState};
use crate::verbs::book::BookError;
use crate::verbs::ship::{Fleet, PhaseGate};
use crate::verbs::standing;

/// A granted clearance and what it was granted for.
#[derive(Debug)]
pub(crate) struct Granted {
    pub(crate) clearance: Clearance,
    pub(crate) at_hand: RaiseSubject,
    pub(crate) seen: PlatformState,
}

/// What a raise needs proved: the gates that were configured, and those of the stages before.
pub(crate) struct Proof<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) candidate: &'a Candidate,
    /// Gates of the phases before the canary.
    pub(crate) gates: &'a [PhaseGate],
    /// Gates that are run again right before the raise: the way back, and what runs.
    pub(crate) ready: &'a [PhaseGate],
    /// Requirements of the stages that were decided, with their rulings.
    pub(crate) stages: &'a [GateRequirement],
    pub(crate) rulings: &'a [Ruling],
    /// The phase that asks.
    pub(crate) phase: Phase,
}

impl Proof<'_> {
    /// Asks for a clearance now. `Denied` says whether running something again would help.
    pub(crate) async fn ask(&self) -> Result<Granted, Denied> {
        let ship = &self.fleet.ship;
        let subject = self.candidate.subject(&ship.environment);
        let ready =
            ship.judge_at_hand(self.ready, &subject).await.map_err(|e| denied_by_book(&e))?;
        let unread = |error: PlatformError| Denied::Expired {
            detail: format!("{error}; the canary waits for it"),
        };
        let seen = self.fleet.platform.look().await.map_err(unread)?;
        // The ledger last: what others judged meanwhile counts.
        let state = ship.book.synced().await.map_err(|error| denied_by_book(&error))?;
        let condemned = standing::condemned(&state, self.fleet, &subject.commit).await;
        if let Some(detail) = condemned.map_err(unread)? {
            return Err(Denied::Closed { detail });
        }
        let recalled = ship.recall(&state, &subject).await;
        let mut rulings = recalled.map_err(|error| denied_by_book(&error))?;
        rulings.extend(ready.into_iter().map(|r| r.ruling));
        rulings.extend(self.rulings.iter().cloned());
        let mut requirements: Vec<GateRequirement> =
            self.gates.iter().chain(self.ready).map(PhaseGate::requirement).collect();
        requirements.extend_from_slice(self.stages);
        let at_hand = RaiseSubject {
            subject: subject.clone(),
            gate_set: gate_set_digest(&requirements),
            serving: seen.base.clone(),
            platform: self.fleet.platform.own_name().await.map_err(unread)?,
        };
        let clearance = self.clear(&subject, &requirements, &rulings, &state, &at_hand)?;
        let cleared = Body::Cleared { clearance: clearance.record().clone(), phase: self.phase };
        ship.book.decide(ship.note(cleared)).await.map_err(|error| denied_by_book(&error))?;
        Ok(Granted { clearance, at_hand, seen })
    }

    fn clear(
        &self,
        subject: &Subject,
        requirements: &[GateRequirement],
        rulings: &[Ruling],
        state: &crate::ledger::fold::State,
        at_hand: &RaiseSubject,
    ) -> Result<Clearance, Denied> {
        let ship = &self.fleet.ship;
        let platform = at_hand.platform.as_deref();
        let before = state.applied_before(&ship.environment, platform);
        let phase = |p| ship.phase((p, subject), requirements, rulings, &before);
        let mut standing = phase(self.phase);
        for earlier in [Phase::Canary, Phase::Load, Phase::Preflight] {
            let wanted = earlier < self.phase && requirements.iter().any(|r| r.phase == earlier);
            if wanted || (earlier < Phase::Canary) {
                standing = standing.after(phase(earlier));
            }
        }
        let (verdict, cause) = (standing.verdict(), standing.cause());
        standing.clear(at_hand, ship.now(), &ship.entropy).map_err(|refusal| {
            let detail = refusal.to_string();
            match (verdict, cause, refusal) {
                (_, Some(Cause::Expired), _) | (_, _, Refusal::Expired(_)) => {
                    Denied::Expired { detail }
                }
                (Verdict::Inconclusive, _, _) => Denied::Undecided { detail },
                _ => Denied::Closed { detail },
            }
        })
    }
}

/// An unreachable remote may answer later; a rule of the ledger will not change by waiting.
pub(crate) fn denied_by_book(error: &BookError) -> Denied {
    let detail = error.to_string();
    match error {
        BookError::Refused(_) | BookError::Unsound(_) => Denied::Closed { detail },
        BookError::Expired(_)
        | BookError::Frozen(_)
        | BookError::Unsynced(_)
        | BookError::Unwritten(_)
        | BookError::Waiting { .. } => Denied::Expired { detail },
    }
}
