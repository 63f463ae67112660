//! `orca freeze` and `orca unfreeze`: what CI reads of them, what they stop, and what they never do.

use crate::support::fleet::{ALL, DEADLINE};
use crate::support::{Fleet, Run, World, traffic, wait_until};

#[test]
fn a_freeze_by_hand_stops_candidates_until_it_is_lifted() {
    let world = World::repository();
    world.bare_remote();
    let open = world.orca(&["freeze", "status", "--json"]).expect_code(0).json();
    assert_eq!((&open["schema"], &open["frozen"]), (&"orca.freeze/v1".into(), &false.into()));

    let freeze = ["freeze", "--reason", "board meeting", "--until", "24h"];
    let planned = world.orca(&[&freeze[..], &["--dry-run"]].concat()).expect_code(0);
    assert!(planned.stdout.contains("would freeze"), "{}", planned.stdout);
    world.orca(&["freeze"]).expect_code(0);
    world.orca(&freeze).expect_code(0);
    let frozen = world.orca(&["freeze", "status", "--json"]).expect_code(1).json();
    assert_eq!((&frozen["frozen"], &frozen["reason"]), (&true.into(), &"board meeting".into()));
    let told = world.orca(&["freeze"]).expect_code(1);
    assert!(told.stdout.contains("board meeting"), "{}", told.stdout);

    let refused = world.orca(&["release", "tag", "--rc"]).expect_code(1);
    for part in ["ORCA-1201", "froze releases until"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    let lift = ["unfreeze", "--json", "--reason", "the board has met"];
    let planned = world.orca(&[&lift[..], &["--dry-run"]].concat()).expect_code(0).json();
    assert_eq!((&planned["frozen"], &planned["changed"]), (&true.into(), &false.into()));
    let lifted = world.orca(&lift).expect_code(0).json();
    assert_eq!((&lifted["frozen"], &lifted["changed"]), (&false.into(), &true.into()));
    let again = world.orca(&lift).expect_code(0).json();
    assert_eq!(again["changed"], false, "safe to repeat");
    world.orca(&["freeze", "status"]).expect_code(0);
    world.orca(&["release", "tag", "--rc"]).expect_code(0);
}

/// The candidate's own freeze ends by itself; one that admits a version admits its next candidate.
#[test]
fn a_freeze_ends_and_admits_fixes() {
    let world = World::repository();
    world.bare_remote();
    world.orca(&["release", "tag", "--rc"]).expect_code(0);
    let frozen = world.orca(&["freeze", "status", "--json"]).expect_code(1).json();
    assert_eq!(frozen["release"], "v1.1.0-rc.1");
    let other = ["freeze", "--reason", "x", "--until", "10s"];
    // A person stops also what is on its way, and lifts that alone.
    world.orca(&other).expect_code(0);
    let both = world.orca(&["freeze", "status", "--json"]).expect_code(1).json();
    assert_eq!(both["release"], "by-hand");
    world.orca(&["unfreeze", "--reason", "over"]).expect_code(0);
    let left = world.orca(&["freeze", "status", "--json"]).expect_code(1).json();
    assert_eq!(left["release"], "v1.1.0-rc.1");
    world.orca(&[&other[..], &["--admit", "v1.1.0-rc.2"]].concat()).expect_code(0);
    world.commit("fix(cart): count twice");
    world.git(&["push", "--quiet", "origin", "main"]);
    for _ in 0..10 {
        world.git(&["rev-parse", "HEAD"]);
    }
    world.orca(&["freeze", "status"]).expect_code(0);
    world.orca(&["release", "tag", "--rc"]).expect_code(0);
    for (more, said) in [
        (&["--until", "2020-01-01", "--reason", "x"][..], "is past"),
        (&["--until", "soon", "--reason", "x"], "'soon' is not a time"),
        (&["--until", "1h"], "--reason"),
        (&["--until", "1h", "--reason", " "], "needs a reason"),
    ] {
        let refused = world.orca(&[&["freeze"], more].concat()).expect_code(2);
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
}

/// A freeze by hand, and nobody who could lift it: users go back all the same.
#[test]
fn a_freeze_never_stops_a_rollback() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    fleet.promoted();
    let freeze = ["freeze", "--reason", "holidays", "--until", "30d"];
    fleet.orca(&freeze).expect_code(0);
    let back = fleet.command(&["rollback", "--json", "--reason", "checkout is down"]);
    let made = Run::of(back).expect_code(0).json();
    assert_eq!((&made["to"], &made["traffic"]), (&fleet.base.clone().into(), &"verified".into()));
    let frozen = fleet.orca(&["freeze", "status", "--json"]).expect_code(1).json();
    assert_eq!(frozen["reason"], "holidays", "the rollback of another release does not lift it");
}

/// A freeze by hand holds a canary where it is, and stops its promotion, until it is lifted.
#[test]
fn a_freeze_by_hand_holds_a_raise_and_stops_a_promotion() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 4s, max_hold: 40s}", ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    fleet.orca(&["unfreeze", "--reason", "its own freeze makes room"]).expect_code(0);
    let running = fleet.spawn(&Fleet::canary(&candidate));
    wait_until("the canary has 25 %", DEADLINE, || fleet.weight() == 2_500);
    let freeze = ["freeze", "--reason", "holidays", "--until", "30d"];
    let lift = ["unfreeze", "--reason", "the holidays are over"];
    fleet.orca(&freeze).expect_code(0);
    running.line_with("froze releases until");
    assert_eq!(fleet.weight(), 2_500, "it holds, and goes neither on nor back");
    fleet.orca(&lift).expect_code(0);
    let ended = running.end().expect_code(0);
    assert!(ended.stdout.contains("\"end\": \"complete\""), "{}", ended.stdout);

    fleet.orca(&freeze).expect_code(0);
    let promote = ["promote", "--rc", &candidate.release];
    let refused = fleet.orca(&promote).expect_code(1);
    for part in ["ORCA-1201", "froze releases until", "orca unfreeze"] {
        assert!(refused.stderr.contains(part), "{part}: {}", refused.stderr);
    }
    assert_eq!(fleet.platform()["base"], fleet.base.as_str());
    fleet.orca(&lift).expect_code(0);
    fleet.orca(&promote).expect_code(0);
}

/// Nobody gets more of a new version in a blackout window; users go back in it all the same.
#[test]
fn a_blackout_stops_raises_and_no_rollback() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    fleet.promoted();
    let config = std::fs::read_to_string(fleet.world.folder().join("orca.yaml")).unwrap();
    let window = "version: 1\nrelease:\n  blackouts:\n    - {reason: holidays, days: \
                  [mon, tue, wed, thu, fri, sat, sun], zone: Europe/Berlin}\n";
    fleet.world.write("orca.yaml", &config.replacen("version: 1\n", window, 1));
    let closed = fleet.orca(&["preflight", "--json"]).expect_code(1).json();
    let gates = closed["gates"].as_array().unwrap();
    let calendar = gates.iter().find(|gate| gate["gate"] == "calendar").expect("a ruling");
    assert_eq!(calendar["verdict"], "fail", "{calendar}");
    let headline = closed["headline"].as_str().unwrap();
    assert!(headline.contains("holidays"), "{headline}");
    let back = fleet.command(&["rollback", "--json", "--reason", "checkout is down"]);
    let made = Run::of(back).expect_code(0).json();
    assert_eq!((&made["to"], &made["traffic"]), (&fleet.base.clone().into(), &"verified".into()));
}
