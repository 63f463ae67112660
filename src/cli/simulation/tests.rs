//! The schedules themselves. `ORCA_SEED` replays one and tells its story; `ORCA_SCHEDULES` and
//! `ORCA_SEED_FROM` say how many, from which seed on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::long::two_hours;
use super::schedule::{Outcome, run};
use super::shrink::{report, shrink};
use crate::cli::exit::Exit;

/// As many as an unoptimised build takes in its stride; `scripts/simulate.sh` runs more.
const SCHEDULES: u64 = 500;

#[expect(clippy::disallowed_methods, reason = "seeds are given to tests by the environment")]
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

#[expect(clippy::print_stdout, reason = "somebody asked for the story of this seed")]
fn tell(text: &str) {
    println!("{text}");
}

/// Runs seeds `from..from + count` on every core; the lowest seed that broke a rule, and how often
/// each exit was seen.
fn find(from: u64, count: u64) -> (Option<(u64, Outcome)>, BTreeMap<String, u64>) {
    let next = AtomicU64::new(from);
    let found: Mutex<Option<(u64, Outcome)>> = Mutex::new(None);
    let exits: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    let known = found.lock().unwrap().as_ref().map(|(seed, _)| *seed);
                    if seed >= from + count || known.is_some_and(|known| seed > known) {
                        return;
                    }
                    let outcome = run(seed, &BTreeSet::new(), false);
                    for (_, exit) in &outcome.exits {
                        *exits.lock().unwrap().entry(format!("{exit:?}")).or_default() += 1;
                    }
                    let mut found = found.lock().unwrap();
                    let is_lower = found.as_ref().is_none_or(|(known, _)| seed < *known);
                    if !outcome.broken.is_empty() && is_lower {
                        *found = Some((seed, outcome));
                    }
                }
            });
        }
    });
    (found.into_inner().unwrap(), exits.into_inner().unwrap())
}

#[test]
fn no_schedule_breaks_a_rule() {
    if let Some(seed) = number("ORCA_SEED") {
        let outcome = run(seed, &BTreeSet::new(), true);
        if outcome.broken.is_empty() {
            return tell(&report(seed, &outcome));
        }
        panic!("{}", report(seed, &shrink(seed, &outcome)));
    }
    let from = number("ORCA_SEED_FROM").unwrap_or(1);
    let count = number("ORCA_SCHEDULES").unwrap_or(SCHEDULES);
    let (found, exits) = find(from, count);
    if let Some((seed, outcome)) = found {
        let tried = seed - from + 1;
        panic!("schedule {tried} of {count}: {}", report(seed, &shrink(seed, &outcome)));
    }
    // The world is wild enough for every way in which a verb can end.
    if count >= SCHEDULES {
        for exit in ["Done", "Closed", "Inconclusive", "MovedBack", "TrafficWrong", "Interrupted"] {
            assert!(exits.contains_key(exit), "no schedule exits {exit}: {exits:?}");
        }
    }
    tell(&format!("{count} schedules from seed {from}: no rule broken; exits {exits:?}"));
}

/// A tick that found a stage passed long ago raised on it without a look at users; an abort forgot
/// the breach that a process was going back from when it died.
#[test]
fn schedules_that_broke_a_rule_once() {
    for seed in [1_753, 500_039, 13_470, 16_656] {
        let outcome = run(seed, &BTreeSet::new(), true);
        assert!(outcome.broken.is_empty(), "{}", report(seed, &outcome));
    }
}

/// What Vercel is asked in a canary of two hours. One look is at most one call of an endpoint (shown
/// in `tests/it/vercel_canary.rs`); the lowest limit that anybody tells of is 120 a minute for each.
#[test]
fn two_hours_on_vercel_stay_far_below_its_limits() {
    let (exit, calls) = two_hours();
    assert_eq!(exit, Some(Exit::Done));
    let of = |call: &str| calls.get(&format!("ana.{call}")).copied().unwrap_or(0);
    let asked = of("look") + of("identity");
    assert!((1_400..120 * 13).contains(&asked), "{calls:?}");
    assert_eq!((of("stage"), of("raise"), of("lower")), (1, 4, 0), "{calls:?}");
}

#[test]
fn a_schedule_repeats() {
    for seed in 1..40 {
        let of = || {
            let outcome = run(seed, &BTreeSet::new(), true);
            (outcome.broken, outcome.drawn, outcome.story)
        };
        assert_eq!(of(), of(), "seed {seed}");
    }
}
