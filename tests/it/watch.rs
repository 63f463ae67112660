//! `orca watch`: after a promotion a quiet window makes a release stable, and a breach brings users
//! back.

use serde_json::json;

use crate::support::fleet::fail;
use crate::support::{Fleet, traffic};

const ALL: &str = "{weight: 100%, bake: 1s, max_hold: 30s}";
const HALF: &str = "{weight: 50%, bake: 1s, max_hold: 30s}";

#[test]
fn a_quiet_window_makes_it_stable_and_a_breach_brings_users_back() {
    let _quiet = traffic();
    let mut fleet = Fleet::start_with("p95_ratio_max_pct: 5000", &[HALF, ALL]);
    let none = fleet.orca(&["watch", "--for", "1s"]).expect_code(1);
    assert!(none.stderr.contains("ORCA-1875"), "{none:?}");
    fleet.users("users");
    let candidate = fleet.promoted();
    let status = fleet.orca(&["release", "status"]).expect_code(0).stdout;
    assert!(status.contains("not yet: orca watch"), "{status}");

    fleet.orca(&["watch", "--dry-run"]).expect_code(0);
    let stable = fleet.orca(&["watch", "--for", "3s", "--json", "--rc", &candidate.release]);
    let stable = stable.expect_code(0).json();
    assert_eq!((&stable["outcome"], &stable["dry_run"]), (&json!("stable"), &json!(false)));
    assert!(fleet.status()["base"]["stable"].is_string(), "{}", fleet.status());

    fail(&candidate.url, &json!({"errors": 10000}));
    let told = fleet.orca(&["watch", "--for", "5m", "--report-only", "--json"]);
    let told = told.expect_code(1).json();
    assert_eq!(told["outcome"], "breach", "{told}");
    assert_eq!(fleet.platform()["base"], candidate.url, "users stay where they are");

    let back = fleet.orca(&["watch", "--for", "5m", "--json"]).expect_code(6).json();
    assert_eq!((&back["outcome"], &back["traffic"]), (&json!("rolled_back"), &json!("verified")));
    assert_eq!(fleet.platform()["base"], fleet.base);
    assert_eq!(fleet.status()["condemned"].as_array().map(Vec::len), Some(1));
    fleet.orca(&["watch", "--for", "1s"]).expect_code(1);
}

/// A canary that died before it had users stands beside the release that fails: users go back to
/// what that release replaced, and the canary, which failed nothing, ends with it.
#[test]
fn a_canary_beside_what_fails_keeps_nobody_there() {
    let _quiet = traffic();
    let mut fleet = Fleet::start_with("p95_ratio_max_pct: 5000", &[HALF, ALL]);
    fleet.users("users");
    let promoted = fleet.promoted();
    let next = fleet.candidate();
    let mut dying = fleet.command(&Fleet::canary(&next));
    dying.env("ORCA_TEST_CRASH", "StepAfterIntent:1");
    let died = crate::support::Run::of(dying);
    assert_ne!(died.code, Some(0), "{died:?}");
    assert_eq!(fleet.weight(), 0);
    fail(&promoted.url, &json!({"errors": 10000}));
    let back = fleet.orca(&["watch", "--for", "5m", "--json"]).expect_code(6);
    let document = back.json();
    assert_eq!(
        (&document["outcome"], &document["traffic"]),
        (&json!("rolled_back"), &json!("verified"))
    );
    let said = format!("the canary {} beside it is taken back with it", next.release);
    assert!(back.stderr.contains(&said), "{}", back.stderr);
    assert!(document["headline"].as_str().unwrap().contains(&said), "{document}");
    assert_eq!(fleet.platform()["base"], fleet.base);
    assert_eq!(fleet.platform()["canary"], json!(null));
    let status = fleet.status();
    let condemned = status["condemned"].as_array().unwrap();
    assert_eq!(condemned.len(), 1, "{status}");
    assert!(promoted.commit.starts_with(&condemned[0].as_str().unwrap()[..7]), "{status}");
    assert_eq!(status["canary"], json!(null), "{status}");
}
