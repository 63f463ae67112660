//! Story A: rollback from another clone while a canary holds the lease, the git remote takes
//! connections and says nothing, and a hook sleeps.

use std::time::Duration;

use crate::support::fleet::{ALL, DEADLINE, text};
use crate::support::trouble::{BlackHole, script};
use crate::support::{Fleet, Run, quiet, wait_until};

/// Bakes longer than any test: the canary is met in the middle of this stage.
const LONG: &str = "{weight: 25%, bake: 10m, max_hold: 20m}";

#[test]
fn story_a_back_in_seconds_whatever_the_remote_does() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&[LONG, ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    let other = fleet.cloned("other");
    let canary = fleet.spawn(&Fleet::canary(&candidate));
    wait_until("25 % on the canary", DEADLINE, || {
        let status = fleet.status();
        status["platform"]["weight_bp"] == 2500 && status["canary"]["weight_bp"] == 2500
    });
    fleet.orca(&["-C", &other, "ledger", "sync"]).expect_code(0);
    let cookie = fleet.canary_cookie(&candidate.commit);
    assert!(fleet.serves_canary(&candidate.commit, &cookie), "the cookie is of the canary");

    let remote = fleet.world.folder().join("../origin.git").canonicalize().unwrap();
    let unresolved = fleet.world.git(&["-C", &other, "remote", "get-url", "origin"]);
    let urls = ["../origin.git", unresolved.as_str(), remote.to_str().unwrap()];
    let hole = BlackHole::instead_of(&fleet.world, &urls);
    for folder in [".", &other] {
        let hook = fleet.world.folder().join(folder).join(".git/hooks/pre-push");
        script(&hook, "#!/bin/sh\nsleep 60\n");
    }

    let back = ["-C", &other, "rollback", "--json", "--reason", "checkout is down"];
    let mut command = fleet.command(&back);
    command.env("ORCA_ACTOR", "grace");
    let back = Run::of(command).expect_code(0).json();
    assert_eq!(back["traffic"], "verified", "{back}");
    assert!(back["headline"].as_str().unwrap().contains("200"), "{back}");
    assert!(text(&back, "ledger").starts_with("pending"), "{back}");
    // Two seconds are the promise; ten times that is a broken program on a busy machine.
    let verified = Duration::from_micros(back["verified_us"].as_u64().unwrap());
    assert!(verified < Duration::from_secs(20), "verified after {verified:?}");
    assert_eq!(fleet.served_by(&candidate.commit, 200), 0);
    assert!(!fleet.serves_canary(&candidate.commit, &cookie), "an old cookie goes to base too");
    assert_eq!(fleet.weight(), 0);

    // The canary's process notices, never raises again, and names who it was.
    let ended = canary.end();
    assert_ne!(ended.code, Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("grace"), "names who rolled back: {}", ended.stdout);
    assert_eq!(fleet.weight(), 0);

    drop(hole);
    fleet.orca(&["-C", &other, "ledger", "sync"]).expect_code(0);
    fleet.orca(&["ledger", "sync"]).expect_code(0);
    fleet.orca(&["-C", &other, "ledger", "sync"]).expect_code(0);
    let log = fleet.log(".");
    assert_eq!(fleet.log(&other), log, "one history");
    let backs: Vec<_> = log.iter().filter(|e| e["kind"] == "rolled_back").collect();
    assert_eq!(backs.len(), 1, "{backs:#?}");
    assert_eq!(backs[0]["who"], "grace");
    for args in [&Fleet::canary(&candidate)[..], &["canary", "resume"]] {
        let again = fleet.orca(args);
        assert_eq!(again.code, Some(1), "{args:?}: {again:#?}");
        assert_eq!(fleet.weight(), 0);
    }
    let why = fleet.orca(&["why", &candidate.release]).expect_code(0).stdout;
    assert!(why.contains("rolled back by grace") && why.contains("checkout is down"), "{why}");
}
