//! A canary whose process ends: killed without a word, or told to stop.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::fleet::{ALL, Candidate, DEADLINE};
use crate::support::{Fleet, Running, traffic, wait_until};

/// Bakes longer than any test: the process is met in the middle of this stage.
const LONG: &str = "{weight: 25%, bake: 10m, max_hold: 20m}";

pub(crate) fn in_the_middle(canary: &str) -> (Fleet, Candidate, Running) {
    let mut fleet = Fleet::start_with(canary, &[LONG, ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    let canary = fleet.spawn(&Fleet::canary(&candidate));
    wait_until("25 % on the canary", DEADLINE, || {
        let status = fleet.status();
        status["platform"]["weight_bp"] == 2500 && status["canary"]["weight_bp"] == 2500
    });
    (fleet, candidate, canary)
}

/// Story I: nobody returns. The grant ends, users are on base, and `resume` writes down what became
/// of the canary once the dead process's lease is over; it raises nothing.
#[test]
fn story_i_nobody_returns() {
    let _quiet = traffic();
    let (fleet, candidate, canary) = in_the_middle("grant: 3s");
    canary.signal("KILL");
    assert_eq!(canary.end().code, None);
    wait_until("all traffic on base", DEADLINE, || fleet.weight() == 0);
    assert_eq!(fleet.served_by(&candidate.commit, 50), 0);
    let status = fleet.orca(&["release", "status"]).expect_code(0);
    for part in ["unattended:  the canary of", "nobody renewed its grant", "orca canary resume"] {
        assert!(status.stdout.contains(part), "{part}: {}", status.stdout);
    }

    let mut resumed = fleet.orca(&["canary", "resume", "--json"]);
    wait_until("the end of the lease", DEADLINE, || {
        let is_held = resumed.code == Some(1) && resumed.stderr.contains("holds the lease");
        if is_held {
            resumed = fleet.orca(&["canary", "resume", "--json"]);
        }
        !is_held
    });
    let resumed = resumed.expect_code(6).json();
    assert_eq!(resumed["end"], "grant_ended", "{resumed}");
    let status = fleet.status();
    assert_eq!((&status["platform"]["weight_bp"], &status["canary"]), (&0.into(), &Value::Null));
    assert!(status["unattended"].as_array().unwrap().is_empty(), "{status}");
    assert!(status["condemned"].as_array().unwrap().is_empty(), "it was not judged: {status}");
    fleet.orca(&["canary", "resume"]).expect_code(1);
}

/// Somebody returns at once: nobody takes the canary up while the dead process's lease lives, and
/// `abort` waits for no lease.
#[test]
fn after_sigkill_the_canary_is_known_and_can_be_ended() {
    let _quiet = traffic();
    let (fleet, candidate, canary) = in_the_middle("grant: 60s");
    canary.signal("KILL");
    assert_eq!(canary.end().code, None);
    let status = fleet.status();
    assert_eq!(status["canary"]["release"], candidate.release.as_str());
    assert_eq!(status["next"][0], "orca canary resume");

    let resumed = fleet.orca(&["canary", "resume"]).expect_code(1);
    assert!(resumed.stderr.contains("ada"), "names the holder: {}", resumed.stderr);
    assert!(fleet.weight() <= 2500, "resume never raises");

    let aborted = fleet.orca(&["canary", "abort", "--json", "--reason", "its job died"]);
    assert_eq!(aborted.expect_code(0).json()["end"], "aborted");
    let status = fleet.status();
    assert_eq!(status["platform"]["weight_bp"], 0);
    assert!(status["canary"].is_null(), "{status}");
    assert_eq!(fleet.served_by(&candidate.commit, 50), 0);
    // Safe to repeat: less exposure is never refused.
    fleet.orca(&["canary", "abort"]).expect_code(0);
}

/// Ctrl-C and the stop of a CI job bring users back before the process ends, and a remote that
/// does not answer keeps nobody waiting.
#[test]
fn a_signal_brings_users_back() {
    let _quiet = traffic();
    for signal in ["INT", "TERM"] {
        let (fleet, candidate, canary) = in_the_middle("grant: 60s");
        fleet.world.write("../hang.sh", "#!/bin/sh\nsleep 60\n");
        fleet.world.git(&["config", "core.sshCommand", "sh ../hang.sh"]);
        fleet.world.git(&["remote", "set-url", "origin", "ssh://nowhere.invalid/x.git"]);
        let sent = Instant::now();
        canary.signal(signal);
        let ended = canary.end().expect_code(6);
        assert!(sent.elapsed() < Duration::from_secs(7), "SIG{signal}: {:?}", sent.elapsed());
        assert!(ended.stdout.contains("signal"), "SIG{signal}: {}", ended.stdout);
        assert_eq!(fleet.weight(), 0, "SIG{signal}");
        assert!(fleet.status()["canary"].is_null());
        assert_eq!(fleet.served_by(&candidate.commit, 50), 0);
    }
}

/// `on_interrupt: hold` leaves the weight as it is; nobody renews its grant any more.
#[test]
fn a_held_canary_falls_back_when_its_grant_ends() {
    let _quiet = traffic();
    let (fleet, _, canary) = in_the_middle("on_interrupt: hold\n  grant: 5s");
    canary.signal("TERM");
    let ended = canary.end().expect_code(5);
    assert!(ended.stdout.contains("held as asked"), "{}", ended.stdout);
    assert!(fleet.status()["canary"].is_object());
    wait_until("the end of the grant", DEADLINE, || fleet.weight() == 0);
}
