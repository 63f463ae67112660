//! `orca canary pause` and `resume`: a person holds a canary that a process drives, or that ticks
//! carry on. Nothing is raised meanwhile, and a pause has an end.

use crate::support::fleet::{ALL, BY_USERS, Candidate, DEADLINE};
use crate::support::{Fleet, Run, traffic, wait_until};

const TICK: [&str; 3] = ["canary", "tick", "--json"];
const PAUSE: [&str; 4] = ["canary", "pause", "--reason", "the cart looks odd"];

fn fleet() -> (Fleet, Candidate) {
    let canary = "p95_ratio_max_pct: 5000\n  grant: 8s";
    let mut fleet = Fleet::start_with(canary, &[BY_USERS, ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    (fleet, candidate)
}

fn detached() -> Fleet {
    let (fleet, candidate) = fleet();
    let mut start = Fleet::canary(&candidate).to_vec();
    start.extend(["--detach", "--every", "20s", "--grant", "60s"]);
    fleet.orca(&start).expect_code(0);
    fleet
}

fn did(run: &Run) -> String {
    run.json()["did"].as_str().expect("a tick says what it did").to_owned()
}

/// A colleague pauses the canary that a process drives; it holds long past its bake time, and goes
/// on when it is resumed.
#[test]
fn a_driven_canary_holds_until_it_is_resumed() {
    let _quiet = traffic();
    let (fleet, candidate) = fleet();
    let canary = fleet.spawn(&Fleet::canary(&candidate));
    wait_until("the first stage", DEADLINE, || fleet.weight() == 2500);
    Run::of(fleet.colleague(&PAUSE)).expect_code(0);
    canary.line_with("paused by bob: the cart looks odd");
    let shown = fleet.orca(&["canary", "status"]).expect_code(0).stdout;
    assert!(shown.contains("paused:"), "{shown}");
    let grant = || fleet.platform()["grant_until"].clone();
    let first = grant();
    wait_until("a later grant, past the bake time", DEADLINE, || grant() != first);
    assert_eq!(fleet.weight(), 2500);
    fleet.orca(&["canary", "resume"]).expect_code(0);
    let ended = canary.end().expect_code(0);
    assert!(ended.stdout.contains("\"end\": \"complete\""), "{}", ended.stdout);
}

#[test]
fn ticks_hold_a_paused_canary_and_end_its_pause() {
    let _quiet = traffic();
    let fleet = detached();
    fleet.orca(&[&PAUSE[..], &["--dry-run"]].concat()).expect_code(0);
    fleet.orca(&PAUSE).expect_code(0);
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(4) {
        assert_eq!(did(&fleet.orca(&TICK).expect_code(0)), "paused");
    }
    assert_eq!(fleet.weight(), 2500, "its bake time of 2 s is over");

    // A pause that ends by itself goes on; nobody need be there.
    fleet.orca(&[&PAUSE[..], &["--for", "1ms", "--then", "resume"]].concat()).expect_code(0);
    wait_until("the second stage", DEADLINE, || did(&fleet.orca(&TICK)) == "raised");
    assert_eq!(fleet.weight(), 10_000);

    // Or brings users back, and that is no failed change.
    fleet.orca(&[&PAUSE[..], &["--for", "1ms", "--then", "withdraw"]].concat()).expect_code(0);
    let ended = fleet.orca(&TICK).expect_code(3).json();
    assert_eq!(ended["end"], "withdrawn", "{ended}");
    assert_eq!(fleet.weight(), 0);
    assert_eq!(fleet.status()["condemned"].as_array().map(Vec::len), Some(0));
    fleet.orca(&PAUSE).expect_code(1);
    fleet.orca(&["canary", "resume"]).expect_code(1);
}
