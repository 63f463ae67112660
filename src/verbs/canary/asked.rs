//! What a person asked of a canary through the ledger, as events of the machine. Pure but for one
//! reading of the ledger here, which never keeps the watching waiting.

use std::time::Duration;

use super::acts::Acts;
use crate::base::clock::Timestamp;
use crate::base::ids::OrcaId;
use crate::gate::phase::{GateRequirement, Phase};
use crate::gate::ruling::Ruling;
use crate::gate::verdict::Verdict;
use crate::ledger::advance::{LetGo, stage_ruling};
use crate::ledger::environment::Rollout;
use crate::ledger::fold::{KeptRuling, State as Ledger};
use crate::rollout::advance::can_advance;
use crate::rollout::machine::{Event, Pause, State};

/// How long the ledger here may take; the next look asks again.
const AT_ONCE: Duration = Duration::from_millis(200);

/// A person's word about a stage, and the ruling for which it did not count: two entries.
pub(crate) type NotLetGo = (OrcaId, OrcaId);

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
        let Some(rollout) = ours else { return Vec::new() };
        if let Some(paused) = pause_of(rollout, state, self.now()) {
            return vec![paused];
        }
        self.advance_of(&ledger, rollout, state).await.into_iter().collect()
    }

    /// A stage that somebody let go on. Its ruling is recalled as it counts now, and is the proof
    /// for what comes next. Where it does not count, that is found out and said once.
    async fn advance_of(
        &mut self,
        ledger: &Ledger,
        rollout: &Rollout,
        state: &State,
    ) -> Option<Event> {
        if rollout.complete || !can_advance(state) {
            return None;
        }
        let ship = &self.fleet.ship;
        let number = u32::try_from(state.stage + 1).ok()?;
        let asked = rollout.advanced.iter().rev().find(|let_go| let_go.stage == number)?;
        let newest = stage_ruling(ledger, &ship.environment, rollout, number)?;
        let known = (asked.by.entry.clone(), newest.by.entry.clone());
        if self.not_let_go.as_ref() == Some(&known) {
            return None;
        }
        let subject = self.candidate.subject(&ship.environment);
        let recalled = ship.recall(ledger, &subject).await.ok()?;
        let gate = newest.record.gate.as_str();
        let ruling = recalled.into_iter().find(|ruling| ruling.record().gate == gate)?;
        if ruling.verdict() != Verdict::Waived {
            let who = format!("stage {number} is not let go on by {}", asked.by.name);
            ship.say(format!("{who}: {}", why_not(asked, newest, &ruling)));
            self.not_let_go = Some(known);
            return None;
        }
        self.decided.push((GateRequirement::recorded(Phase::Canary, ruling.record()), ruling));
        let by = format!("{}: {}", asked.by.name, asked.reason);
        Some(Event::Advanced { stage: state.stage, by })
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

/// Why a person's word does not count for the stage as it was judged last.
fn why_not(asked: &LetGo, newest: &KeptRuling, recalled: &Ruling) -> String {
    let headline = &recalled.record().headline;
    if !asked.is_about(newest) {
        return format!("it was judged otherwise since ({headline}); orca canary advance, again");
    }
    if *recalled.record() == *newest.record && newest.record.verdict == Verdict::Inconclusive {
        return "trust is required, and no key of a person signed that".to_owned();
    }
    headline.clone()
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
