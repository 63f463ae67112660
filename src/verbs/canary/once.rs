//! One look and one act: the same machine and the same acts as a canary that is driven to its end,
//! until it comes to rest. On the way back it stays until users are safe.

use std::collections::VecDeque;

use super::acts::Acts;
use super::drive::{Ending, SIGNAL, TICK};
use super::waiting::Waiting;
use crate::base::clock::Timestamp;
use crate::gate::verdict::Verdict;
use crate::rollout::decision::StageJudgement;
use crate::rollout::machine::{Action, At, Event, StageNext, State};
use crate::rollout::plan::RolloutPlan;
use crate::rollout::step::step;
use crate::verbs::book::Sync;

/// Where one look left the canary.
#[derive(Debug)]
pub(crate) enum Rest {
    Ended(Ending),
    GoesOn(Stands),
}

/// A canary that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stands {
    /// From 0.
    pub(crate) stage: usize,
    /// Whether this look gave it more traffic.
    pub(crate) raised: bool,
    /// Why it holds, where it does.
    pub(crate) held: Option<String>,
    /// Whether it holds after a breach: from here it only goes back.
    pub(crate) breached: bool,
    pub(crate) paused: Option<Timestamp>,
}

/// From `state` and what happened first to the next rest.
pub(crate) async fn once(
    plan: &RolloutPlan,
    acts: &mut Acts<'_>,
    mut state: State,
    first: Vec<Event>,
) -> Rest {
    let mut waiting = Waiting::of(first);
    let before = state.clone();
    let (mut looked, mut interrupted, mut raised) = (false, false, false);
    let mut said = String::new();
    loop {
        if acts.cancel().is_cancelled() && !interrupted {
            interrupted = true;
            waiting.interrupt(Event::Interrupted { signal: SIGNAL.to_owned() });
        }
        let Some(event) = waiting.next() else {
            if state.is_past() {
                tokio::time::sleep(TICK).await;
            } else if looked {
                break;
            } else {
                looked = true;
                waiting.add(acts.watch(&state).await);
            }
            waiting.add([Event::Tick]);
            continue;
        };
        raised |= matches!(event, Event::Raised { .. });
        let (next, actions) = step(plan, state, acts.now(), event);
        state = next;
        let mut answers = VecDeque::new();
        for action in actions {
            if let Action::End { end, exit, reason } = action {
                return Rest::Ended(acts.end(&state, Ending { end, exit, reason }).await);
            }
            if let Action::Say(text) = &action {
                said.clone_from(text);
            }
            answers.extend(acts.act(&state, action).await);
        }
        waiting.answer(answers);
    }
    let held = matches!(state.at, At::Holding { .. });
    if held && state.paused.is_none() {
        acts.remember_hold(&before, &state, &said).await;
    }
    acts.rest().await;
    let held = held.then_some(said);
    Rest::GoesOn(Stands {
        stage: state.stage,
        raised,
        held,
        breached: state.breached,
        paused: state.paused.map(|pause| pause.until),
    })
}

impl Acts<'_> {
    /// A hold that no judgement recorded is written down: the next look knows since when it holds.
    async fn remember_hold(&mut self, before: &State, state: &State, said: &str) {
        let is_told = before.is_held_by_ledger() && before.stage == state.stage;
        if self.recorded == Some(state.stage) || (is_told && before.breached == state.breached) {
            return;
        }
        let judged = StageJudgement {
            users: if state.breached { Verdict::Fail } else { Verdict::Inconclusive },
            probes: None,
            cause: None,
            headline: said.to_owned(),
            both_arms_breach: None,
        };
        self.record_stage(state.stage, StageNext::Hold, &judged).await;
    }

    /// Shares what was written and gives the lease back: the next look takes it again.
    async fn rest(&self) {
        let ship = &self.fleet.ship;
        if let Sync::Pending(why) = ship.book.share().await {
            ship.say(format!("ledger: pending ({why}); it is shared with the next orca command"));
        }
        ship.book.release_lease(&ship.environment, &self.held).await;
    }
}
