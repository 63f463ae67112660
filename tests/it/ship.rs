//! `orca ship`: a candidate to the end of its track, stopped on the way and gone on with.

use serde_json::{Value, json};

use crate::support::fleet::fail;
use crate::support::{Fleet, traffic};

const TRACK: &str = "p95_ratio_max_pct: 5000\n  track: quick\ntracks:\n  quick:\n    watch: 2s\n    \
                     stages:\n      - {weight: 50%, bake: 1s, max_hold: 30s}\n      \
                     - {weight: 100%, bake: 1s, max_hold: 30s}";

fn states(document: &Value) -> Vec<(String, String)> {
    let text = |step: &Value, key: &str| step[key].as_str().expect("a word").to_owned();
    let steps = document["steps"].as_array().expect("steps").iter();
    steps.map(|step| (text(step, "step"), text(step, "state"))).collect()
}

fn of(states: &[(String, String)], state: &str) -> Vec<String> {
    let is_it = states.iter().filter(|(_, found)| found == state);
    is_it.map(|(step, _)| step.clone()).collect()
}

#[test]
fn a_track_runs_to_its_end_and_goes_on_where_it_stopped() {
    let _quiet = traffic();
    let mut fleet = Fleet::on_track(TRACK);
    fleet.users("users");
    let candidate = fleet.candidate();
    let (rc, url) = (candidate.release.as_str(), candidate.url.as_str());
    let ship = ["ship", "--json", "--rc", rc, "--deployment-url", url];
    let planned = fleet.orca(&[&ship[..], &["--dry-run"]].concat()).expect_code(0).json();
    let found = states(&planned);
    assert_eq!(of(&found, "behind"), ["preflight", "load"], "{planned}");
    assert_eq!(of(&found, "would"), ["canary", "promote", "watch", "evidence"], "{planned}");
    assert_eq!(planned["track"], "quick");

    // The watch stops it: with its exit, and its next command.
    fleet.orca(&["canary", "start", "--rc", rc, "--deployment-url", url]).expect_code(0);
    fleet.orca(&["promote", "--rc", rc]).expect_code(0);
    fail(url, &json!({"errors": 10000}));
    let stopped = fleet.orca(&ship).expect_code(6).json();
    assert_eq!(stopped["stopped_at"], "watch", "{stopped}");
    assert_eq!(stopped["stopped"]["outcome"], "rolled_back", "{stopped}");
    assert_eq!(fleet.platform()["base"], fleet.base);
    fleet.orca(&ship).expect_code(1);

    // The next candidate goes all the way, and once more does only what is always done.
    let next = fleet.candidate();
    let again = ["ship", "--json", "--rc", &next.release, "--deployment-url", &next.url];
    let done = fleet.orca(&again).expect_code(0).json();
    assert_eq!(of(&states(&done), "ran"), ["canary", "promote", "watch", "evidence"], "{done}");
    assert!(fleet.status()["base"]["stable"].is_string(), "{}", fleet.status());
    let more = fleet.orca(&again).expect_code(0).json();
    assert_eq!(of(&states(&more), "ran"), ["evidence"], "{more}");
}
