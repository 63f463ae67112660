//! `orca canary tick`: a canary without a process. Each look is a process of its own, which may die,
//! meet another one, or come too late.

use serde_json::Value;

use crate::support::fleet::{ALL, BY_USERS, Candidate, DEADLINE, PAIRED, fail};
use crate::support::{Fleet, Run, Running, traffic, wait_until};

const TICK: [&str; 3] = ["canary", "tick", "--json"];
/// Bakes longer than any test.
const LONG: &str = "{weight: 25%, bake: 10m, max_hold: 20m}";

fn start<'a>(candidate: &'a Candidate, every: &'a str, grant: &'a str) -> Vec<&'a str> {
    let mut args = Fleet::canary(candidate).to_vec();
    args.extend(["--detach", "--every", every, "--grant", grant]);
    args
}

/// A canary at its first stage, and nobody who drives it.
fn detached(stages: &[&str], every: &str, grant: &str) -> (Fleet, Candidate) {
    let mut fleet = Fleet::start_with("p95_ratio_max_pct: 5000", stages);
    fleet.users("users");
    let candidate = fleet.candidate();
    let started = fleet.orca(&start(&candidate, every, grant)).expect_code(0).json();
    assert!(started["end"].is_null(), "{started}");
    assert_eq!(fleet.weight(), 2500);
    (fleet, candidate)
}

/// Ticks, as a scheduled job does, until one did this; every one before it only baked or held.
fn tick_until(fleet: &Fleet, did: &str) -> Value {
    let mut last = Value::Null;
    wait_until(did, DEADLINE, || {
        let run = fleet.orca(&TICK);
        last = run.json();
        assert!(matches!(run.code, Some(0 | 3)), "{run:?}");
        last["did"] == did
    });
    last
}

fn count(fleet: &Fleet, kind: &str) -> usize {
    fleet.ledger().iter().filter(|entry| entry["body"]["kind"] == kind).count()
}

#[test]
fn ticks_carry_a_canary_to_its_end() {
    let _quiet = traffic();
    let (fleet, candidate) = detached(&[BY_USERS, ALL], "20s", "60s");
    let status = fleet.orca(&["canary", "status"]).expect_code(0).stdout;
    for part in ["stage 1 of 2", "canary tick, every 20 s", "orca canary tick"] {
        assert!(status.contains(part), "{part}: {status}");
    }
    fleet.orca(&["canary", "tick", "--dry-run"]).expect_code(0);
    let raised = tick_until(&fleet, "raised");
    assert_eq!((&raised["stage"], &raised["weight_bp"]), (&2.into(), &10_000.into()), "{raised}");
    let complete = tick_until(&fleet, "complete");
    assert_eq!(complete["end"], "complete", "{complete}");
    // It waits to be promoted, and is looked at meanwhile.
    assert_eq!(fleet.orca(&TICK).expect_code(0).json()["did"], "complete");
    fleet.orca(&["promote", "--rc", &candidate.release]).expect_code(0);
    assert_eq!(fleet.orca(&TICK).expect_code(0).json()["did"], "nothing");
    assert_eq!(count(&fleet, "raise_intended"), 2, "each stage was raised once");
}

/// What every stage let through may fail afterwards: it holds for a person, and nobody promotes it.
#[test]
fn a_breach_after_the_last_stage_is_not_promoted() {
    let _quiet = traffic();
    let held = "{weight: 100%, bake: 2s, max_hold: 10m, on_fail: hold}";
    let (fleet, candidate) = detached(&[BY_USERS, held], "20s", "60s");
    tick_until(&fleet, "complete");
    fail(&candidate.url, &serde_json::json!({"errors": 6000}));
    let mut last = Value::Null;
    wait_until("a tick that sees the failures", DEADLINE, || {
        let run = fleet.orca(&TICK);
        last = run.json();
        run.code == Some(1)
    });
    assert_eq!(last["did"], "held", "{last}");
    // Well again it is no better: what was seen was seen.
    fail(&candidate.url, &serde_json::json!({"errors": 0}));
    assert_eq!(fleet.orca(&TICK).expect_code(1).json()["did"], "held");
    let promote = fleet.orca(&["promote", "--rc", &candidate.release]).expect_code(1);
    assert!(promote.stderr.contains("stage 2 is breached"), "{}", promote.stderr);
    assert_eq!((count(&fleet, "promoted"), count(&fleet, "final_tagged")), (0, 0));
}

/// SIGKILL before the raise, and after it: the next tick finds which, and raises once.
#[test]
fn a_tick_that_dies_is_taken_up_by_the_next() {
    let _quiet = traffic();
    for (point, before) in [("StepAfterIntent", 2500), ("StepAfterApply", 10_000)] {
        let (fleet, _) = detached(&[BY_USERS, ALL], "20s", "60s");
        let dies = || {
            let mut command = fleet.command(&TICK);
            command.env("ORCA_TEST_CRASH", format!("{point}:1"));
            Run::of(command).code.is_none()
        };
        wait_until("a tick to die in its raise", DEADLINE, dies);
        assert_eq!(fleet.weight(), before, "{point}");
        let waiting = fleet.orca(&TICK).expect_code(0).json();
        assert_eq!(waiting["did"], "attended", "the dead one holds the lease: {waiting}");
        let until = waiting["lease_until"].as_str().expect("it says until when");
        let reason = waiting["reason"].as_str().unwrap();
        assert!(reason.contains("or died within the lease") && reason.contains(until), "{reason}");
        let said = fleet.orca(&["canary", "tick"]).expect_code(0);
        assert!(said.stdout.contains("orca canary abort --reason R"), "{said:#?}");
        fleet.lease_ends();
        let next = fleet.orca(&TICK).expect_code(0).json();
        assert_eq!(next["stage"], 2, "{point}: {next}");
        assert_eq!(next["did"], if before == 2500 { "raised" } else { "baking" }, "{next}");
        assert_eq!(fleet.weight(), 10_000, "{point}");
        tick_until(&fleet, "complete");
    }
}

#[test]
fn two_ticks_at_once_raise_once() {
    let _quiet = traffic();
    let (fleet, _) = detached(&[BY_USERS, ALL], "20s", "60s");
    wait_until("two ticks to have raised it", DEADLINE, || {
        let ticks = [(); 2].map(|()| fleet.spawn(&["canary", "tick"]));
        let ends = ticks.map(Running::end);
        assert!(ends.iter().all(|end| matches!(end.code, Some(0 | 3))), "{ends:?}");
        fleet.weight() == 10_000
    });
    assert_eq!(count(&fleet, "raise_intended"), 2, "each stage was raised once");
}

/// Somebody rolls back between two ticks: in a repository, or with nothing but the platform.
#[test]
fn a_tick_after_a_rollback_raises_nothing() {
    let _quiet = traffic();
    for in_repository in [true, false] {
        let (fleet, candidate) = detached(&[BY_USERS, ALL], "20s", "60s");
        let back = ["rollback", "--reason", "checkout is down"];
        if in_repository {
            Run::of(fleet.colleague(&back)).expect_code(0);
            let tick = fleet.orca(&TICK).expect_code(0).json();
            assert_eq!(tick["did"], "nothing", "{tick}");
            fleet.orca(&start(&candidate, "20s", "60s")).expect_code(1);
        } else {
            // Another machine, which leaves no note where this one would find it.
            let mut command = fleet.elsewhere(&back);
            command.env("XDG_STATE_HOME", fleet.world.folder().join("../another-state"));
            Run::of(command).expect_code(0);
            let tick = fleet.orca(&TICK).expect_code(1).json();
            assert_eq!((&tick["did"], &tick["end"]), (&"ended".into(), &"aborted".into()));
            assert!(tick["reason"].as_str().unwrap_or_default().contains("ada"), "{tick}");
            assert_eq!(fleet.orca(&TICK).expect_code(0).json()["did"], "nothing");
        }
        assert_eq!(fleet.weight(), 0);
        assert_eq!(fleet.served_by(&candidate.commit, 50), 0);
        assert_eq!(count(&fleet, "raise_intended"), 1);
    }
}

/// Nobody ticks in time: the router goes back by itself, and the late tick writes that down.
#[test]
fn a_late_tick_finds_users_on_base() {
    let _quiet = traffic();
    let (fleet, candidate) = detached(&[LONG, ALL], "1s", "4s");
    wait_until("the end of the grant", DEADLINE, || fleet.weight() == 0);
    let tick = fleet.orca(&TICK).expect_code(6).json();
    assert_eq!((&tick["did"], &tick["end"]), (&"ended".into(), &"grant_ended".into()), "{tick}");
    let status = fleet.status();
    assert!(status["canary"].is_null() && status["platform"]["weight_bp"] == 0, "{status}");
    assert!(status["condemned"].as_array().expect("a list").is_empty(), "it was not judged");
    // The same candidate may start again.
    fleet.orca(&start(&candidate, "20s", "60s")).expect_code(0);
}

/// A tick prolongs the grant; one that cannot reach the ledger's remote does not, and still brings
/// users back from a breach.
#[test]
fn a_breach_between_ticks_goes_back_even_without_the_remote() {
    let _quiet = traffic();
    let (fleet, candidate) = detached(&[LONG, ALL], "20s", "60s");
    let grant = |fleet: &Fleet| fleet.platform()["grant_until"].clone();
    let before = grant(&fleet);
    wait_until("a later grant", DEADLINE, || {
        assert_eq!(fleet.orca(&TICK).expect_code(0).json()["did"], "baking");
        grant(&fleet) != before
    });
    fleet.world.git(&["remote", "set-url", "origin", "../nothing.git"]);
    let before = grant(&fleet);
    let blind = fleet.orca(&["canary", "tick"]).expect_code(4);
    assert!(blind.stderr.contains("nothing was raised or prolonged"), "{}", blind.stderr);
    assert_eq!((fleet.weight(), grant(&fleet)), (2500, before));

    fail(&candidate.url, &serde_json::json!({"errors": 10000}));
    let mut tick = fleet.orca(&TICK);
    wait_until("a tick that sees the failures", DEADLINE, || {
        if tick.code == Some(4) {
            tick = fleet.orca(&TICK);
        }
        tick.code != Some(4)
    });
    let tick = tick.expect_code(6).json();
    assert_eq!(tick["end"], "rolled_back", "{tick}");
    assert_eq!(fleet.weight(), 0);
    fleet.world.git(&["remote", "set-url", "origin", "../origin.git"]);
    assert_eq!(fleet.orca(&TICK).expect_code(0).json()["did"], "nothing");
    assert_eq!(fleet.status()["condemned"].as_array().map(Vec::len), Some(1));
}

#[test]
fn what_cannot_be_left_to_ticks_is_refused_by_name() {
    let _quiet = traffic();
    let mut fleet = Fleet::start_with("p95_ratio_max_pct: 5000", &[PAIRED, ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    let paired = fleet.orca(&start(&candidate, "20s", "60s")).expect_code(2);
    assert!(paired.stderr.contains("ORCA-1871"), "{}", paired.stderr);
    for (every, grant, parts) in [
        ("15m", "60s", ["ORCA-1870", "--grant 45 m"]),
        ("15m", "15m", ["ORCA-1870", "canary.grant"]),
        ("15m", "25h", ["ORCA-1870", "between 1 s and 24 h"]),
        ("0s", "60s", ["ORCA-1870", "--every"]),
    ] {
        let refused = fleet.orca(&start(&candidate, every, grant)).expect_code(2);
        for part in parts {
            assert!(refused.stderr.contains(part), "{every} {grant}: {}", refused.stderr);
        }
    }
    assert_eq!(fleet.weight(), 0);
    let plain = fleet.orca(&["canary", "start", "--deployment-url", "http://x", "--detach"]);
    plain.expect_code(2);
}

/// A canary that ticks carry on is nobody's to end by the way.
#[test]
fn another_start_and_resume_leave_it_alone() {
    let _quiet = traffic();
    let (mut fleet, first) = detached(&[LONG, ALL], "20s", "60s");
    let resumed = fleet.orca(&["canary", "resume"]).expect_code(1);
    assert!(resumed.stderr.contains("ORCA-1872"), "{}", resumed.stderr);
    let second = fleet.candidate();
    let refused = fleet.orca(&Fleet::canary(&second)).expect_code(1);
    assert!(refused.stderr.contains("ORCA-1872"), "{}", refused.stderr);
    assert!(refused.stderr.contains(&first.release), "{}", refused.stderr);
    assert_eq!(fleet.weight(), 2500);
    fleet.orca(&["canary", "abort"]).expect_code(0);
    assert_eq!(fleet.orca(&TICK).expect_code(0).json()["did"], "nothing");
}
