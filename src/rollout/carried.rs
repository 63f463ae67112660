//! A rollout that another process carries on: where the ledger says it stands, as a state of the
//! machine. Pure. What it cannot say is asked of the platform first.

use super::machine::{At, Pause, State};
use crate::base::clock::Timestamp;
use crate::gate::verdict::Verdict;
use crate::ledger::environment::Rollout;

impl State {
    /// The rollout as the ledger tells it. A stage that was judged bad goes on holding; every other
    /// one asks the platform for its weight first.
    pub(crate) fn carried_on(rollout: &Rollout, now: Timestamp) -> Self {
        let (stage, began) = rollout.place();
        let decided = || {
            let about = |said: u32| usize::try_from(said) == Ok(stage + 1);
            rollout.stages.iter().filter(move |(said, _)| about(said.stage) && said.next == "hold")
        };
        let breached = rollout.breach().is_some();
        // Once every stage was decided, only a breach is still waited for.
        let held = decided().find(|(said, _)| !rollout.complete || said.verdict == Verdict::Fail);
        // Judged again after a further bake: every look more is a chance more to be wrong.
        let last_look = decided().next_back().map(|(_, at)| *at);
        let in_force = rollout.paused.as_ref().filter(|pause| pause.is_in_force(now));
        let lifted = rollout.paused.as_ref().and_then(|pause| pause.ended(now));
        Self {
            at: if breached {
                At::Holding { asked: now }
            } else if rollout.complete {
                At::Baking { since: now }
            } else {
                At::Looking
            },
            stage,
            exposed: began.is_some() || stage > 0 || rollout.is_raised(),
            breached,
            // Seen again at the next look, where it stands.
            shared: false,
            paused: in_force.map(|pause| Pause { until: pause.until, then: pause.then }),
            baking_since: began.map(|began| last_look.map_or(began.at, |at| at.max(began.at))),
            // The time of a pause does not count.
            held_since: held.map(|(_, at)| lifted.map_or(*at, |end| end.max(*at))),
            // Long ago: whoever looks once renews each time.
            renewed: Timestamp::from_us(0),
        }
    }

    /// Whether the ledger knows that it holds.
    pub(crate) fn is_held_by_ledger(&self) -> bool {
        self.held_since.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::super::machine::Event;
    use super::super::plan::tests::plan;
    use super::super::step::step;
    use super::*;
    use crate::base::units::Weight;
    use crate::ledger::entry::{Body, RolloutEnd, StageBegan, StageDecided};
    use crate::ledger::fixture::{Told, ended, environment, id, rollout};

    fn began(stage: u32) -> Body {
        let weight = plan().stages[stage as usize - 1].weight;
        Body::StageBegan(StageBegan { rollout: id("ro_4"), stage, weight, samples: None })
    }

    fn decided(stage: u32, next: &str, verdict: Verdict) -> Body {
        Body::StageDecided(StageDecided {
            rollout: id("ro_4"),
            stage,
            weight: plan().stages[stage as usize - 1].weight,
            verdict,
            next: next.into(),
            headline: String::new(),
            base_requests: 0,
            base_errors: 0,
            canary_requests: 0,
            canary_errors: 0,
        })
    }

    /// The state after these entries, one a second, and what it does when the platform gives the
    /// canary so much.
    fn told(entries: Vec<Body>) -> State {
        let mut told = Told::new();
        told.live(rollout("v1.4.0-rc.1", '4', "d3"));
        let count = i64::try_from(entries.len()).unwrap();
        for entry in entries {
            told.live(entry);
        }
        let state = told.state();
        let running = state.environments[&environment("production")].rollout.clone().unwrap();
        State::carried_on(&running, Timestamp::from_us((count + 60) * 1_000_000))
    }

    #[test]
    fn it_goes_on_where_the_ledger_ends() {
        let raise = || decided(1, "raise", Verdict::Pass);
        let hold = |stage| decided(stage, "hold", Verdict::Inconclusive);
        // (entries, stage, bakes since the nth entry after the start, held since the nth, weight
        // of the platform, where it then stands)
        for (entries, stage, baking, held, weight, at) in [
            (vec![], 0, None, None, 0, "Clearing"),
            (vec![began(1)], 0, Some(1), None, 100, "Baking"),
            (vec![began(1), hold(1)], 0, Some(2), Some(2), 100, "Baking"),
            (vec![began(1), hold(1), hold(1)], 0, Some(3), Some(2), 100, "Baking"),
            (vec![began(1), raise()], 1, None, None, 100, "Clearing"),
            (vec![began(1), raise()], 1, None, None, 500, "Baking"),
            (vec![began(1), raise(), hold(2)], 1, None, Some(3), 100, "Clearing"),
            (vec![began(1), raise(), began(2)], 1, Some(3), None, 500, "Baking"),
            (vec![began(1), raise(), began(2)], 1, Some(3), None, 0, "Lowering"),
            (vec![began(1), raise()], 1, None, None, 2_500, "Ended"),
        ] {
            let state = told(entries.clone());
            let told = format!("{entries:?}");
            let entry = |nth: i64| Timestamp::from_us((nth + 1) * 1_000_000);
            assert_eq!((state.stage, state.breached), (stage, false), "{told}");
            assert_eq!(state.baking_since, baking.map(entry), "{told}");
            assert_eq!(state.held_since, held.map(entry), "{told}");
            let weight = Weight::from_basis_points(weight).unwrap();
            let now = Timestamp::from_us(60_000_000);
            let (next, _) = step(&plan(), state, now, Event::Looked { weight });
            assert!(format!("{:?}", next.at).starts_with(at), "{told}: {:?}", next.at);
        }
    }

    /// The last stage once held undecided; now every tick only looks on. A breach after that still
    /// goes back, in its time.
    #[test]
    fn a_complete_rollout_holds_for_nothing_but_a_breach() {
        let last = u32::try_from(plan().stages.len()).unwrap();
        let raised = (1..last).flat_map(|n| [began(n), decided(n, "raise", Verdict::Pass)]);
        let mut entries: Vec<Body> = raised.collect();
        entries.push(began(last));
        entries.push(decided(last, "hold", Verdict::Inconclusive));
        entries.push(decided(last, "done", Verdict::Waived));
        entries.push(ended('4', RolloutEnd::Complete));
        let late = Timestamp::from_us(1_000_000_000_000);
        let state = told(entries.clone());
        assert_eq!((state.stage, state.held_since), (plan().stages.len() - 1, None));
        let by = "ana: we know it".to_owned();
        let asked = Event::Advanced { stage: state.stage, by };
        assert_eq!(step(&plan(), state.clone(), late, asked).1, [], "it was let go on before");
        let mut fresh = state;
        fresh.at = At::Baking { since: late };
        let (stays, _) = step(&plan(), fresh, late, Event::Tick);
        assert!(matches!(stays.at, At::Baking { .. }), "{:?}", stays.at);

        entries.push(decided(last, "hold", Verdict::Fail));
        let breached = told(entries);
        assert!(breached.breached && breached.is_held_by_ledger());
        let (back, _) = step(&plan(), breached, late, Event::Tick);
        assert!(matches!(back.at, At::Lowering { .. }), "{:?}", back.at);
    }

    /// A stage that was judged bad and holds for a person is not asked again: it goes back.
    #[test]
    fn a_breach_stays_one() {
        let state = told(vec![began(1), decided(1, "hold", Verdict::Fail)]);
        assert!(state.breached && state.is_held_by_ledger());
        let later = state.held_since.unwrap().plus_us(120_000_000);
        let (back, _) = step(&plan(), state, later, Event::Tick);
        assert!(matches!(back.at, At::Lowering { .. }), "{:?}", back.at);
    }
}
