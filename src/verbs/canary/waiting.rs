//! What happened and was not dealt with yet. A breach comes before everything else that waits, so
//! nothing is raised and nothing ends well while one is known.

use std::collections::VecDeque;

use crate::rollout::machine::Event;

pub(super) struct Waiting(VecDeque<Event>);

impl Waiting {
    pub(super) fn of(first: impl IntoIterator<Item = Event>) -> Self {
        Self(first.into_iter().collect())
    }

    /// What is dealt with next.
    pub(super) fn next(&mut self) -> Option<Event> {
        let breach = self.0.iter().position(Event::is_breach).unwrap_or(0);
        self.0.remove(breach)
    }

    /// A signal: before whatever else is waiting, but not before a breach.
    pub(super) fn interrupt(&mut self, event: Event) {
        self.0.push_front(event);
    }

    /// What came of an event that was dealt with, before time goes on: a lowering that was accepted
    /// is not called again because a moment passed.
    pub(super) fn answer(&mut self, mut answers: VecDeque<Event>) {
        answers.append(&mut self.0);
        self.0 = answers;
    }

    pub(super) fn add(&mut self, events: impl IntoIterator<Item = Event>) {
        self.0.extend(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::rollout::machine::{Action, At, State};
    use crate::rollout::plan::tests::plan;
    use crate::rollout::step::step;

    fn breach() -> Event {
        Event::HardLimit { headline: "30 of 100 failed".to_owned(), both_arms_breach: None }
    }

    #[test]
    fn a_breach_comes_first_and_the_rest_in_order() {
        let raised = |stage| Event::Raised { stage };
        let signal = || Event::Interrupted { signal: String::new() };
        let unreachable = || Event::Unreachable { headline: String::new() };
        let mut waiting = Waiting::of([raised(1), raised(2), breach(), unreachable()]);
        waiting.interrupt(signal());
        waiting.answer(VecDeque::from([Event::Lowered, raised(3)]));
        waiting.add([Event::Tick]);
        let order: Vec<Event> = std::iter::from_fn(|| waiting.next()).collect();
        assert_eq!(
            order,
            [
                breach(),
                unreachable(),
                Event::Lowered,
                raised(3),
                signal(),
                raised(1),
                raised(2),
                Event::Tick
            ]
        );
    }

    /// However a person's word, a clearance and a breach come in: users go back, nothing is raised
    /// and nothing is complete.
    #[test]
    fn nothing_goes_on_while_a_breach_waits() {
        let now = Timestamp::from_us(1_000_000_000);
        let last = plan().stages.len() - 1;
        for stage in [0, last] {
            let let_go = Event::Advanced { stage, by: "ana".to_owned() };
            for (at, events) in [
                (At::Holding { asked: now }, [let_go, breach(), Event::Tick]),
                (At::Clearing, [Event::ClearanceGranted { stage }, Event::Tick, breach()]),
            ] {
                let mut state = State::held(stage, now);
                state.at = at;
                let mut waiting = Waiting::of(events);
                let mut done = Vec::new();
                while let Some(event) = waiting.next() {
                    let (next, actions) = step(&plan(), state, now, event);
                    state = next;
                    done.extend(actions);
                }
                let goes_on = |action: &Action| {
                    matches!(action, Action::RaiseTo { .. } | Action::RequestClearance { .. })
                        || matches!(action, Action::End { .. })
                };
                assert!(!done.iter().any(goes_on), "{done:?}");
                assert!(matches!(done[0], Action::LowerToBase { .. }), "{done:?}");
            }
        }
    }
}
