//! The loop: feed the machine what happened, do what it says, in that order, until it ends.
//! Everything decided here is in the machine; everything done is in [`super::acts`].

use std::collections::VecDeque;
use std::time::Duration;

use super::acts::Acts;
use super::waiting::Waiting;
use crate::ledger::entry::RolloutEnd;
use crate::rollout::machine::{Action, Event, ExitKind, State};
use crate::rollout::plan::RolloutPlan;
use crate::rollout::step::step;

/// How often the machine is told that time has passed.
pub(super) const TICK: Duration = Duration::from_millis(200);

pub(super) const SIGNAL: &str = "stopped by a signal";

/// How a canary ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) end: Option<RolloutEnd>,
    pub(crate) exit: ExitKind,
    pub(crate) reason: String,
}

/// Drives the machine from `first` to its end.
pub(crate) async fn drive(plan: &RolloutPlan, acts: &mut Acts<'_>, first: Event) -> Ending {
    let mut state = State::new(acts.now());
    let mut waiting = Waiting::of([first]);
    let mut interrupted = false;
    loop {
        if acts.cancel().is_cancelled() && !interrupted {
            interrupted = true;
            waiting.interrupt(Event::Interrupted { signal: SIGNAL.to_owned() });
        }
        let Some(event) = waiting.next() else {
            let cancel = acts.cancel();
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !interrupted => {}
                () = tokio::time::sleep(TICK) => {
                    waiting.add(acts.watch(&state).await);
                    waiting.add([Event::Tick]);
                }
            }
            continue;
        };
        let (next, actions) = step(plan, state, acts.now(), event);
        state = next;
        let mut answers = VecDeque::new();
        for action in actions {
            if let Action::End { end, exit, reason } = action {
                return acts.end(&state, Ending { end, exit, reason }).await;
            }
            answers.extend(acts.act(&state, action).await);
        }
        waiting.answer(answers);
    }
}
