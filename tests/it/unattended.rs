//! A canary whose process ends: killed without a word, or told to stop.

use crate::support::fleet::{ALL, Candidate, DEADLINE};
use crate::support::{Fleet, Running, quiet, wait_until};

/// Bakes longer than any test: the process is met in the middle of this stage.
const LONG: &str = "{weight: 25%, bake: 10m, max_hold: 20m}";

fn in_the_middle() -> (Fleet, Candidate, Running) {
    let mut fleet = Fleet::start(&[LONG, ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    let canary = fleet.spawn(&Fleet::canary(&candidate));
    wait_until("25 % on the canary", DEADLINE, || {
        let status = fleet.status();
        status["platform"]["weight_bp"] == 2500 && status["canary"]["weight_bp"] == 2500
    });
    (fleet, candidate, canary)
}

/// Story I as far as a test can wait: the grant ends the exposure after a minute, which the router's
/// own tests prove with their own clock. Here: the ledger keeps the open canary, nobody takes it up
/// while the dead process's lease lives, and `abort` waits for no lease.
#[test]
fn story_i_after_sigkill_the_canary_is_known_and_can_be_ended() {
    let _quiet = quiet();
    let (fleet, candidate, canary) = in_the_middle();
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

/// Ctrl-C and the stop of a CI job bring users back before the process ends.
#[test]
fn a_signal_brings_users_back() {
    let _quiet = quiet();
    for signal in ["INT", "TERM"] {
        let (fleet, candidate, canary) = in_the_middle();
        canary.signal(signal);
        let ended = canary.end().expect_code(6);
        assert!(ended.stdout.contains("signal"), "SIG{signal}: {}", ended.stdout);
        assert_eq!(fleet.weight(), 0, "SIG{signal}");
        assert!(fleet.status()["canary"].is_null());
        assert_eq!(fleet.served_by(&candidate.commit, 50), 0);
    }
}
