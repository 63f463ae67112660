//! `orca rollback`: the way back needs nothing but the router, and can be repeated.

use crate::support::fleet::{ALL, DEADLINE};
use crate::support::{Fleet, Run, Running, traffic, wait_until};

/// One release is promoted; then every way back is tried on it, from the harmless to the last.
#[test]
fn a_promoted_release_goes_back_from_anywhere() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    let candidate = fleet.promoted();
    let promoted = fleet.platform();
    assert_eq!(promoted["base"], candidate.url.as_str());
    let back = ["rollback", "--json", "--reason", "checkout is down"];

    let planned = fleet.orca(&[&back[..], &["--dry-run"]].concat()).expect_code(0).json();
    assert_eq!(planned["to"], fleet.base.as_str());
    let titles: Vec<_> = planned["steps"].as_array().unwrap().iter().map(|s| &s["name"]).collect();
    assert_eq!(titles, ["traffic", "verify", "record", "share"]);
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
    // What moves users and proves it is the plan that was printed, repository or not.
    let moving = |document: &serde_json::Value| document["steps"].as_array().unwrap()[..2].to_vec();
    assert_eq!(moving(&made), moving(&planned));
    assert!(made["moved_us"].as_u64() <= made["verified_us"].as_u64(), "{made}");
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
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    let promoted = fleet.promoted();
    let back = ["rollback", "--json", "--reason", "checkout is down"];
    for round in 1..=2 {
        let made = fleet.orca(&back).expect_code(0).json();
        assert_eq!(made["to"], fleet.base.as_str(), "round {round}");
        let stayed = made["headline"].as_str().unwrap().starts_with("nothing moved: users were on");
        assert_eq!(stayed, round == 2, "{made}");
        assert_eq!(fleet.platform()["base"], fleet.base.as_str(), "round {round}");
    }
    let said = fleet.orca(&["rollback", "--reason", "once more"]).expect_code(0);
    assert!(!said.stdout.contains("traffic moved"), "{}", said.stdout);
    for part in ["nothing moved: users were on", "already: verified", "rollback --to DEPLOYMENT"] {
        assert!(format!("{}{}", said.stdout, said.stderr).contains(part), "{part}: {said:#?}");
    }
    let served = fleet.status()["served"].as_array().unwrap().clone();
    let places: Vec<_> = served.iter().map(|one| one["deployment"].as_str().unwrap()).collect();
    assert_eq!(places, [&fleet.base, &promoted.url], "{served:?}");
    assert_eq!((&served[0]["condemned"], &served[1]["stable"]), (&().into(), &false.into()));
    assert!(served[1]["condemned"].as_str().unwrap().contains("checkout is down"), "{served:?}");
    let shown = fleet.orca(&["release", "status"]).expect_code(0).stdout;
    assert!(shown.contains(&format!("\n{}  ", promoted.url)), "{shown}");
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
    let _quiet = traffic();
    let fleet = Fleet::start(&[ALL]);
    let before = fleet.platform();
    let back = ["rollback", "--reason", "no good"];
    for command in [fleet.command(&back), fleet.elsewhere(&back)] {
        let stuck = Run::of(command).expect_code(7);
        for part in ["ORCA-1605", "orca maintenance on"] {
            assert!(stuck.stderr.contains(part), "{part}: {}", stuck.stderr);
        }
    }
    assert_eq!(fleet.platform(), before);
}

/// A canary under way holds the lease, its candidate froze staging, and then everything but the
/// router and the base is gone: the remote, the new version, whoever watched it.
#[test]
fn a_rollback_waits_for_no_lease_freeze_or_remote() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 10m, max_hold: 20m}", ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    let canary = fleet.spawn(&Fleet::canary(&candidate));
    wait_until("25 % on the canary", DEADLINE, || fleet.weight() == 2500);
    assert!(fleet.status()["freeze"].is_string());
    fleet.world.git(&["remote", "set-url", "origin", "../gone.git"]);

    let made = fleet.orca(&["rollback", "--json", "--emergency", "--reason", "checkout is down"]);
    let made = made.expect_code(0).json();
    assert_eq!((&made["traffic"], &made["to"]), (&"verified".into(), &fleet.base.clone().into()));
    assert!(made["ledger"].as_str().unwrap().starts_with("pending"), "{made}");
    assert_eq!((fleet.weight(), fleet.served_by(&candidate.commit, 50)), (0, 0));

    let ended = canary.end().expect_code(1);
    // The reason is there too where the ledger had it when the canary noticed.
    for part in ["took over", "ada"] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    let again = fleet.orca(&["rollback", "--json", "--reason", "the remote is still away"]);
    assert!(again.expect_code(0).json()["ledger"].as_str().unwrap().starts_with("pending"));
    assert_eq!(fleet.platform()["base"], fleet.base.as_str());

    // The remote is back: one history, and the commit is condemned for everybody.
    fleet.world.git(&["remote", "set-url", "origin", "../origin.git"]);
    let refused = fleet.orca(&Fleet::canary(&candidate)).expect_code(1);
    assert!(refused.stderr.contains("ORCA-1304"), "{}", refused.stderr);
    let colleague =
        Run::of(fleet.colleague(&["release", "status", "--json"])).expect_code(0).json();
    assert_eq!(colleague["condemned"].as_array().unwrap().len(), 1, "{colleague}");
}

/// No file takes a byte any more, neither in the repository nor in the user's folder.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_stops_every_decision_and_no_rollback() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&[ALL]);
    fleet.users("users");
    let candidate = fleet.complete();
    let told = fleet.log(".").len();
    let on_full_disk = |args: &[&str]| {
        let typed = fleet.command(args);
        let mut shell = fleet.world.outside("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$0\" \"$@\""]);
        shell.arg(typed.get_program()).args(typed.get_args());
        for (name, value) in typed.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        Run::of(shell)
    };
    let refused = on_full_disk(&["promote", "--rc", &candidate.release]);
    assert!(refused.stderr.contains("ORCA-1204"), "{refused:#?}");
    assert_eq!(fleet.platform()["base"], fleet.base.as_str(), "{refused:#?}");

    let back = on_full_disk(&["rollback", "--json", "--reason", "the disk is full"]);
    assert_eq!(back.code, Some(5), "users are back, and nobody wrote it down: {back:#?}");
    assert_eq!(back.json()["traffic"], "verified", "{back:#?}");
    assert!(back.stderr.contains("going back all the same"), "{back:#?}");
    assert!(back.json()["ledger"].as_str().unwrap().starts_with("unwritten: "), "{back:#?}");
    assert_eq!((fleet.weight(), fleet.served_by(&candidate.commit, 50)), (0, 0));
    assert_eq!(fleet.log(".").len(), told, "nothing is half written");

    // There is room again: the next rollback stays where users are, and writes the commit down.
    let again = fleet.orca(&["rollback", "--json", "--reason", "there is room again"]);
    let again = again.expect_code(0).json();
    assert_eq!(again["ledger"], "synced", "{again}");
    let refused = fleet.orca(&Fleet::canary(&candidate)).expect_code(1);
    assert!(refused.stderr.contains("ORCA-1304"), "{}", refused.stderr);
}

/// Two people in two clones, at once; then one of them dies between the call and the last entry.
#[test]
fn two_people_at_once_and_one_that_dies_converge() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    let first = fleet.promoted();
    let back = ["rollback", "--json", "--reason", "checkout is down"];
    let both = [fleet.colleague(&back), fleet.command(&back)].map(Running::start);
    for person in both {
        person.end().expect_code(0);
    }
    assert_eq!(fleet.platform()["base"], fleet.base.as_str());
    assert_eq!(fleet.served_by(&first.commit, 50), 0);
    let condemned = |fleet: &Fleet| fleet.status()["condemned"].as_array().unwrap().len();
    assert_eq!(condemned(&fleet), 1);

    let second = fleet.promoted();
    let mut dying = fleet.command(&back);
    dying.env("ORCA_TEST_CRASH", "StepAfterApply");
    assert_eq!(Run::of(dying).code, None);
    assert_eq!(fleet.platform()["base"], fleet.base.as_str(), "traffic had moved");
    assert_eq!((condemned(&fleet), fleet.status()["unattended"].as_array().unwrap().len()), (1, 1));
    // The next verb that would ship it writes down what the dead process could not.
    let refused = fleet.orca(&Fleet::canary(&second)).expect_code(1);
    assert!(refused.stderr.contains("ORCA-1304"), "{}", refused.stderr);
    let status = fleet.status();
    assert_eq!(status["base"]["deployment"], fleet.base.as_str(), "{status}");
    assert!(status["unattended"].as_array().unwrap().is_empty(), "{status}");
    assert_eq!(condemned(&fleet), 2);
    let stays = fleet.orca(&back).expect_code(0).json();
    assert_eq!(stays["to"], fleet.base.as_str(), "never one release further");
}

/// A bad release was promoted, and the canary of the next one was aborted: somebody in an empty
/// folder wants the bad release gone. Right after the abort nobody can tell it from a rollback of the
/// canary, so users stay and the command that goes on is named; an hour later there is no doubt.
#[test]
fn an_abort_keeps_nobody_on_a_bad_base() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    let bad = fleet.promoted();
    let next = fleet.candidate();
    let canary = fleet.spawn(&Fleet::canary(&next));
    wait_until("users on the canary", DEADLINE, || fleet.weight() > 0);
    fleet.orca(&["canary", "abort", "--reason", "too slow"]).expect_code(0);
    canary.end();
    let back = ["rollback", "--json", "--reason", "checkout is down"];
    let planned = |fleet: &Fleet, command: std::process::Command| {
        let planned = Run::of(command).expect_code(0).json();
        let text = |key: &str| planned[key].as_str().unwrap_or_default().to_owned();
        assert_eq!(fleet.platform()["base"], bad.url.as_str());
        (text("to"), text("or_to"), text("because"))
    };
    let dry = [&back[..], &["--dry-run"]].concat();
    for command in [fleet.elsewhere(&dry), fleet.command(&dry)] {
        let (to, or_to, why) = planned(&fleet, command);
        assert_eq!((&to, &or_to), (&bad.url, &fleet.base));
        assert!(why.starts_with("ada took the canary back"), "{why}");
    }
    let typed = ["rollback", "--reason", "checkout is down"];
    let said = Run::of(fleet.elsewhere(&typed)).expect_code(0);
    let next = format!("orca rollback --to {} --reason R", fleet.base);
    assert!(format!("{}{}", said.stdout, said.stderr).contains(&next), "{said:#?}");

    // A state that an older router stored: nobody knows what was taken back.
    fleet.restart_router(|state| {
        assert_eq!(state["lowered"]["how"], "rolled_back", "the rollback that stayed counts");
        state.as_object_mut().unwrap().remove("lowered");
    });
    let (to, or_to, why) = planned(&fleet, fleet.elsewhere(&dry));
    assert_eq!((&to, &or_to), (&bad.url, &fleet.base));
    assert!(why.contains("does not tell whether from a canary"), "{why}");

    fleet.restart_router(|state| {
        let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_hours(1);
        let at = hour_ago.duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        state["lowered"] =
            serde_json::json!({"how": "withdrawn", "at": u64::try_from(at).unwrap()});
    });
    let (to, or_to, why) = planned(&fleet, fleet.elsewhere(&dry));
    assert_eq!((&to, &or_to), (&fleet.base, &bad.url));
    assert!(why.contains("60 min ago, so the base is meant"), "{why}");
    for because in ["so the base is meant", "a second rollback stays"] {
        let made = Run::of(fleet.elsewhere(&back)).expect_code(0).json();
        assert_eq!(
            (&made["to"], &made["traffic"]),
            (&fleet.base.clone().into(), &"verified".into())
        );
        assert!(made["because"].as_str().unwrap().contains(because), "{made}");
    }
    assert_eq!(fleet.served_by(&bad.commit, 50), 0);
}
