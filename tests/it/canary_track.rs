//! `orca canary start --track`: a ramp by name, printed before it runs, kept in the ledger with what
//! sends users back by itself; and two such triggers, through the binary.

use serde_json::{Value, json};

use crate::support::fleet::{ALL, DEADLINE, fail};
use crate::support::{Fleet, traffic, wait_until};

/// Bakes longer than any test.
const LONG: &str = "{weight: 25%, bake: 10m, max_hold: 20m}";

fn entry(fleet: &Fleet, kind: &str) -> Value {
    let ledger = fleet.ledger();
    let found = ledger.iter().find(|entry| entry["body"]["kind"] == kind);
    found.unwrap_or_else(|| panic!("no {kind}"))["body"]["says"].clone()
}

#[test]
fn a_track_is_printed_and_its_triggers_bring_users_back() {
    let _quiet = traffic();
    let canary =
        "p95_ratio_max_pct: 5000\n  triggers: {critical: [/api/trust], throughput_pct: 40}";
    let mut fleet = Fleet::start_with(canary, &[LONG, ALL]);
    let candidate = fleet.candidate();
    let start = |more: &[&'static str]| [&Fleet::canary(&candidate)[..], more].concat();

    let planned = fleet.orca(&start(&["--track", "hotfix", "--dry-run"])).expect_code(0).json();
    let weights: Vec<&Value> =
        planned["stages"].as_array().expect("stages").iter().map(|s| &s["weight_bp"]).collect();
    assert_eq!(weights, [&json!(500), &json!(2500), &json!(10_000)], "{planned}");
    assert_eq!((&planned["track"], &planned["dry_run"]), (&json!("hotfix"), &json!(true)));
    let triggers = planned["triggers"].to_string();
    for part in
        ["p95 is beyond 200 %", "fewer than 40 %", "for 5 m", "/api/trust fails three times"]
    {
        assert!(triggers.contains(part), "{part}: {triggers}");
    }
    let unknown = fleet.orca(&start(&["--track", "weekend"])).expect_code(2);
    assert!(unknown.stdout.contains("high-risk, hotfix, standard"), "{unknown:?}");

    // Nobody comes, so only what is asked by itself can show it.
    let running = fleet.spawn(&start(&["--allow-undecidable"]));
    wait_until("the first stage", DEADLINE, || fleet.weight() == 2500);
    fail(&candidate.url, &json!({"errors": 10000}));
    let ended = running.end().expect_code(6);
    assert!(ended.stdout.contains("/api/trust failed 3 times in a row"), "{}", ended.stdout);
    assert_eq!(fleet.weight(), 0);
    let started = entry(&fleet, "rollout_started");
    assert_eq!(started["plan"]["triggers"]["critical"], json!(["/api/trust"]), "{started}");
    assert_eq!(entry(&fleet, "rolled_back")["verified"], "verified");
    // The ruling says so, with what was seen.
    let ruling = entry(&fleet, "ruled")["ruling"].clone();
    assert_eq!(ruling["verdict"], "fail", "{ruling}");
    assert!(ruling["headline"].as_str().is_some_and(|h| h.contains("/api/trust")), "{ruling}");

    // The next one answers well, and whoever meets it once does not come back.
    let candidate = fleet.candidate();
    let running = fleet.spawn(&[&Fleet::canary(&candidate)[..], &["--allow-undecidable"]].concat());
    wait_until("the first stage", DEADLINE, || fleet.weight() == 2500);
    let arrived = || {
        let status = fleet.orca(&["canary", "status", "--json"]).expect_code(0).json();
        status["stage"]["throughput"].as_str().map(str::to_owned)
    };
    wait_until("its beginning", DEADLINE, || arrived().is_some());
    assert!(arrived().is_some_and(|said| said.starts_with("not judged: 0 requests")));
    for user in 0..300 {
        let stays = !fleet.meets(&candidate.commit, user);
        (0..if stays { 7 } else { 0 }).for_each(|_| _ = fleet.meets(&candidate.commit, user));
    }
    let ended = running.end().expect_code(6);
    let said = "of the requests by users that its weight of 25 % says";
    assert!(ended.stdout.contains(said), "{}", ended.stdout);
    assert_eq!(fleet.weight(), 0);
    let ruling = entry(&fleet, "ruled")["ruling"].clone();
    assert!(ruling["headline"].as_str().is_some_and(|h| h.contains(said)), "{ruling}");
}
