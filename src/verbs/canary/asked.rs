//! What a person asked of a canary through the ledger, as events of the machine. Pure but for one
//! reading of the ledger here, which never keeps the watching waiting.

use std::time::Duration;

use super::acts::Acts;
use crate::base::clock::Timestamp;
use crate::gate::verdict::Verdict;
use crate::ledger::environment::Rollout;
use crate::rollout::advance::can_advance;
use crate::rollout::machine::{Event, Pause, State};
use crate::verbs::promote::requirement_of;

/// How long the ledger here may take; the next look asks again.
const AT_ONCE: Duration = Duration::from_millis(200);

impl Acts<'_> {
    /// What the ledger here says since the last look.
    pub(super) async fn asked(&mut self, state: &State) -> Vec<Event> {
        if state.is_past() {
            return Vec::new();
        }
        let ship = &self.fleet.ship;
        let Ok(Ok(ledger)) = tokio::time::timeout(AT_ONCE, ship.book.state()).await else {
            return Vec::new();
        };
        let known = ledger.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
        let ours = known.filter(|r| r.started.rollout == self.started.rollout);
        let Some(rollout) = ours.cloned() else { return Vec::new() };
        if let Some(paused) = pause_of(&rollout, state, self.now()) {
            return vec![paused];
        }
        self.advance_of(&rollout, state).await.into_iter().collect()
    }

    /// A stage that somebody let go on. Its ruling is recalled as it counts now, and is the proof
    /// for what comes next.
    async fn advance_of(&mut self, rollout: &Rollout, state: &State) -> Option<Event> {
        let number = u32::try_from(state.stage + 1).ok()?;
        let asked = rollout.advanced.iter().rev().find(|(stage, _, _)| *stage == number)?;
        if !can_advance(state) {
            return None;
        }
        let ship = &self.fleet.ship;
        let subject = self.candidate.subject(&ship.environment);
        let ledger = ship.book.state().await.ok()?;
        let gate = format!("stage-{number}");
        let recalled = ship.recall(&ledger, &subject).await.ok()?;
        let ruling = recalled.into_iter().find(|ruling| ruling.record().gate == gate)?;
        if ruling.verdict() != Verdict::Waived {
            return None;
        }
        self.decided.push((requirement_of(ruling.record()), ruling));
        let (_, reason, by) = asked;
        Some(Event::Advanced { stage: state.stage, by: format!("{}: {reason}", by.name) })
    }

    /// Brings here what was asked elsewhere, beside everything else.
    pub(super) fn fetch_aside(&self) {
        let book = self.fleet.ship.book.clone();
        tokio::spawn(async move {
            if let Err(error) = book.synced().await {
                tracing::debug!(%error, "the ledger was not synced");
            }
        });
    }
}

fn pause_of(rollout: &Rollout, state: &State, now: Timestamp) -> Option<Event> {
    let pause = rollout.paused.as_ref().filter(|pause| pause.is_in_force(now));
    let asked = pause.map(|pause| Pause { until: pause.until, then: pause.then });
    match (asked, state.paused) {
        (Some(asked), known) if known != Some(asked) => {
            let by = pause.map_or_else(String::new, |p| format!("{}: {}", p.by.name, p.reason));
            Some(Event::Paused { pause: asked, by })
        }
        (None, Some(_)) => Some(Event::Unpaused),
        _ => None,
    }
}
