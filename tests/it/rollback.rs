//! `orca rollback`: the way back needs nothing but the router, and can be repeated.

use crate::support::fleet::ALL;
use crate::support::{Fleet, Run, quiet};

/// One release is promoted; then every way back is tried on it, from the harmless to the last.
#[test]
fn a_promoted_release_goes_back_from_anywhere() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    let candidate = fleet.promoted();
    let promoted = fleet.platform();
    assert_eq!(promoted["base"], candidate.url.as_str());
    let back = ["rollback", "--json", "--reason", "checkout is down"];

    let planned = fleet.orca(&[&back[..], &["--dry-run"]].concat()).expect_code(0).json();
    assert_eq!(planned["to"], fleet.base.as_str());
    assert_eq!(fleet.platform(), promoted, "a dry run changes nothing");

    let never = [&back[..], &["--to", "http://127.0.0.1:9"]].concat();
    for command in [fleet.command(&never), fleet.elsewhere(&never)] {
        let refused = Run::of(command).expect_code(1);
        assert!(refused.stderr.contains("never served"), "{}", refused.stderr);
        assert_eq!(fleet.platform(), promoted);
    }

    let mut nobody = fleet.elsewhere(&back);
    nobody.env_remove("ORCA_ROUTER_TOKEN");
    let refused = Run::of(nobody).expect_code(2);
    assert!(refused.stderr.contains("ORCA-1503"), "{}", refused.stderr);
    assert_eq!(fleet.platform(), promoted);

    let made = Run::of(fleet.elsewhere(&back)).expect_code(0).json();
    assert_eq!((&made["to"], &made["traffic"]), (&fleet.base.clone().into(), &"verified".into()));
    assert_eq!(fleet.platform()["base"], fleet.base.as_str());
    assert_eq!(fleet.served_by(&candidate.commit, 50), 0);

    fleet.kill_router();
    let lost = fleet.orca(&back).expect_code(7);
    assert!(lost.stderr.contains("run the rollback again"), "{}", lost.stderr);
}

/// Twice is once: the second run finds the same base, with the ledger and without any.
#[test]
fn a_rollback_converges() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    fleet.promoted();
    let back = ["rollback", "--json", "--reason", "checkout is down"];
    for round in 1..=2 {
        let made = fleet.orca(&back).expect_code(0).json();
        assert_eq!(made["to"], fleet.base.as_str(), "round {round}");
        assert_eq!(fleet.platform()["base"], fleet.base.as_str(), "round {round}");
    }
    for round in 1..=2 {
        let made = Run::of(fleet.elsewhere(&back)).expect_code(0).json();
        assert_eq!(made["to"], fleet.base.as_str(), "without a ledger, round {round}");
        let said = made["ledger"].as_str().unwrap();
        assert!(said.starts_with("pending") && said.contains("state/orca/pending"), "{said}");
    }
}

/// Before the first release there is nowhere to go, and nothing is touched.
#[test]
fn the_first_release_has_no_way_back() {
    let _quiet = quiet();
    let fleet = Fleet::start(&[ALL]);
    let before = fleet.platform();
    let back = ["rollback", "--reason", "no good"];
    for command in [fleet.command(&back), fleet.elsewhere(&back)] {
        let stuck = Run::of(command).expect_code(7);
        assert!(stuck.stderr.contains("ORCA-1605"), "{}", stuck.stderr);
    }
    assert_eq!(fleet.platform(), before);
}
