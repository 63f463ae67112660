//! A person lets a stage go on that the data could not decide. Pure; part of the machine. What
//! failed, what bakes for the first time, what both versions share and what is paused never goes on
//! by this.

use super::decision::StageJudgement;
use super::machine::{Action, At, State};
use super::plan::RolloutPlan;
use super::step::{Next, go_on};
use crate::gate::verdict::Verdict;

/// Only a stage that has its weight, was judged and holds undecided, with nobody who paused it and
/// nothing that both versions breach.
pub(crate) fn can_advance(state: &State) -> bool {
    let holds = state.held_since.is_some() && state.baking_since.is_some();
    let at = matches!(state.at, At::Holding { .. } | At::Baking { .. });
    holds && at && !state.breached && !state.shared && state.paused.is_none()
}

/// As if it had passed, but told as what it is.
pub(super) fn advanced(plan: &RolloutPlan, state: State, by: &str) -> Next {
    let judged = StageJudgement {
        users: Verdict::Waived,
        probes: None,
        cause: None,
        headline: format!("let go on undecided by {by}"),
        both_arms_breach: None,
    };
    let index = state.stage;
    let (next, (state, mut actions)) = go_on(plan, state);
    actions.insert(0, Action::RecordStage { stage: index, next, judged });
    (state, actions)
}

#[cfg(test)]
mod tests {
    use super::super::machine::{Event, ExitKind, Pause, StageNext};
    use super::super::plan::tests::plan;
    use super::super::step::step;
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::ledger::entry::{AfterPause, RolloutEnd};

    const NOW: Timestamp = Timestamp::from_us(1_000_000_000);

    fn holding(stage: usize) -> State {
        State::held(stage, NOW)
    }

    /// It stands from the moment that it was seen until the stage is judged without it.
    #[test]
    fn what_both_versions_share_stands_until_it_is_judged_again() {
        let limit = |both: Option<&str>| Event::HardLimit {
            headline: "30 of 100 failed".to_owned(),
            both_arms_breach: both.map(str::to_owned),
        };
        let judged = |both: Option<&str>| Event::StageJudged {
            stage: 0,
            judged: StageJudgement {
                users: Verdict::Inconclusive,
                probes: None,
                cause: None,
                headline: "too few".to_owned(),
                both_arms_breach: both.map(str::to_owned),
            },
        };
        let judging = |state: State| State { at: At::Judging, ..state };
        let after = |state, event| step(&plan(), state, NOW, event).0;
        let seen = after(holding(0), limit(Some("the database")));
        assert!(!can_advance(&seen), "seen while it held");
        assert!(!can_advance(&after(judging(seen.clone()), judged(Some("the database")))));
        assert!(can_advance(&after(judging(seen), judged(None))), "judged without it");
    }

    #[test]
    fn only_a_hold_that_is_no_failure_goes_on() {
        let until = NOW.plus_us(60_000_000);
        let paused = Some(Pause { until, then: AfterPause::Resume });
        let last = plan().stages.len() - 1;
        for (what, state, stage, goes_on) in [
            ("it holds", holding(0), 0, true),
            ("the last stage", holding(last), last, true),
            ("it is judged again", State { at: At::Baking { since: NOW }, ..holding(0) }, 0, true),
            ("it failed", State { breached: true, ..holding(0) }, 0, false),
            ("both versions breach", State { shared: true, ..holding(0) }, 0, false),
            ("it is paused", State { paused, ..holding(0) }, 0, false),
            ("another stage", holding(1), 0, false),
            ("it bakes for the first time", State { held_since: None, ..holding(0) }, 0, false),
            ("it waits for a proof", State { baking_since: None, ..holding(0) }, 0, false),
            ("a raise is on its way", State { at: At::Raising, ..holding(0) }, 0, false),
            ("nobody knows its weight", State { at: At::Looking, ..holding(0) }, 0, false),
        ] {
            let asked = Event::Advanced { stage, by: "ana: we know it".to_owned() };
            let (next, actions) = step(&plan(), state.clone(), NOW, asked);
            if !goes_on {
                assert_eq!((next, actions), (state, Vec::new()), "{what}");
                continue;
            }
            let Action::RecordStage { next: word, judged, .. } = &actions[0] else {
                panic!("{what}: {actions:?}");
            };
            assert_eq!(judged.users, Verdict::Waived, "{what}");
            assert!(judged.headline.ends_with("ana: we know it"), "{what}");
            if stage == last {
                assert_eq!(*word, StageNext::Done);
                let end = Some(RolloutEnd::Complete);
                assert_eq!(next.at, At::Ended { end, exit: ExitKind::Done }, "{what}");
            } else {
                assert_eq!(*word, StageNext::Raise);
                assert_eq!(actions[1], Action::RequestClearance { stage: stage + 1 }, "{what}");
                assert_eq!(next.held_since, None, "{what}");
            }
        }
    }
}
