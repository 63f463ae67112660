//! `orca canary status`: one screen that anybody may ask, from anywhere, whatever is broken.

use crate::support::fleet::DEADLINE;
use crate::support::{Fleet, Run, traffic, wait_until};
use crate::unattended::in_the_middle;

/// Sixty columns, except where one word (an address) is longer.
#[track_caller]
fn is_one_screen(text: &str) {
    let screen = text.split_once("\nNext:").map_or(text, |(screen, _)| screen);
    assert!(screen.lines().count() <= 24, "{screen}");
    for line in screen.lines().filter(|line| !line.contains("http://")) {
        assert!(line.chars().count() <= 60, "{line}");
    }
}

#[test]
fn without_a_canary_it_says_so_and_what_to_type() {
    let fleet = Fleet::start(&["{weight: 100%, bake: 2s}"]);
    let said = fleet.orca(&["canary", "status"]).expect_code(0);
    assert!(said.stdout.contains("no canary is under way in production"), "{}", said.stdout);
    assert!(said.stdout.contains("orca release tag --rc"), "{}", said.stdout);
    is_one_screen(&said.stdout);
    let json = fleet.orca(&["canary", "status", "--json"]).expect_code(0).json();
    assert_eq!(json["schema"], "orca.canary.status/v1");
    assert!(json["rollout"].is_null() && json["stage"].is_null(), "{json}");
    assert_eq!(json["platform"]["weight_bp"], 0);

    let schema = fleet.orca(&["schema", "orca.canary.status/v1"]).expect_code(0).json();
    let properties = schema["properties"].as_object().unwrap();
    for key in json.as_object().unwrap().keys().filter(|key| *key != "schema") {
        assert!(properties.contains_key(key), "{key} is not in the schema");
    }
}

/// In the middle of a stage, from three places; then with the router gone; then with nobody left.
#[test]
fn a_canary_under_way_is_on_one_screen_from_anywhere() {
    let _quiet = traffic();
    let (mut fleet, candidate, canary) =
        in_the_middle("p95_ratio_max_pct: 5000\n  grant: 60s\n  triggers: {throughput_pct: 50}");
    let status = |fleet: &Fleet| fleet.orca(&["canary", "status", "--json"]).json();
    wait_until("users enough to decide", DEADLINE, || {
        status(&fleet)["stage"]["verdict"]["would"] == "go_on"
    });
    wait_until("users enough to know whether they come", DEADLINE, || {
        let come = status(&fleet)["stage"]["throughput"].as_str().map(str::to_owned);
        come.is_some_and(|come| come.contains("% of the requests that its weight says"))
    });
    let seen = status(&fleet);
    assert_eq!(seen["rollout"]["release"], candidate.release.as_str());
    let stage = &seen["stage"];
    assert_eq!((&stage["number"], &stage["of"]), (&1.into(), &2.into()), "{stage}");
    assert_eq!((&stage["weight_bp"], &seen["platform"]["weight_bp"]), (&2500.into(), &2500.into()));
    let (left, bake) =
        (stage["bake_left_us"].as_u64().unwrap(), stage["bake_us"].as_u64().unwrap());
    assert!(0 < left && left < bake, "{stage}");
    assert_eq!(stage["users"]["canary"]["errors"], 0);
    assert_eq!(stage["verdict"]["would"], "go_on", "{stage}");
    assert_eq!(seen["driver"]["attends"], true);
    assert!(seen["driver"]["holder"].as_str().unwrap().starts_with("ada "), "{seen}");
    assert!(seen["platform"]["grant_left_us"].as_u64().unwrap() <= 60_000_000, "{seen}");
    let human = fleet.orca(&["canary", "status"]).expect_code(0).stdout;
    is_one_screen(&human);
    for part in [
        "stage 1 of 2 at 25 %",
        "left of 10 m",
        "arrived:",
        "it would go on",
        "driver:   ada",
        "grant:",
    ] {
        assert!(human.contains(part), "{part}: {human}");
    }

    // Another machine has the clone and asks the remote; one without a repository sees the traffic.
    let clone = fleet.cloned("another-machine");
    let there = fleet.orca(&["-C", &clone, "canary", "status", "--json"]).expect_code(0).json();
    assert_eq!(there["rollout"]["id"], seen["rollout"]["id"], "{there}");
    assert!(there["stage"]["users"]["canary"]["requests"].as_u64() > Some(50), "{there}");
    let bare = Run::of(fleet.elsewhere(&["canary", "status", "--json"])).expect_code(0).json();
    assert_eq!((&bare["platform"]["weight_bp"], &bare["rollout"]), (&2500.into(), &().into()));
    assert!(bare["ledger"]["unread"].as_str().unwrap().contains("repository"), "{bare}");

    canary.signal("KILL");
    assert_eq!(canary.end().code, None);
    fleet.lease_ends();
    let alone = fleet.orca(&["canary", "status", "--json"]).expect_code(0).json();
    assert_eq!(
        (&alone["driver"]["attends"], &alone["next"][0]),
        (&false.into(), &"orca canary resume".into())
    );

    fleet.kill_router();
    let blind = fleet.orca(&["canary", "status"]).expect_code(4);
    is_one_screen(&blind.stdout);
    for part in ["NOT SEEN", &candidate.release, "stage 1 of 2"] {
        assert!(blind.stdout.contains(part), "{part}: {}", blind.stdout);
    }
}

/// The remote is away: what is known here is shown, and said to be old.
#[test]
fn a_remote_that_is_away_is_said() {
    let fleet = Fleet::start(&["{weight: 100%, bake: 2s}"]);
    fleet.world.git(&["remote", "set-url", "origin", "../nothing.git"]);
    let said = fleet.orca(&["canary", "status"]).expect_code(0);
    assert!(said.stdout.contains("ledger:   may be old:"), "{}", said.stdout);
    is_one_screen(&said.stdout);
}
