//! Story K: every verb that changes something, killed by SIGKILL after everything it writes, and
//! run again, ends where an undisturbed run ends.
//!
//! An undisturbed run records the points it passes; then it is killed once at each of them. Points
//! between which nothing is written are one state, so those that follow a write stand for all.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::fleet::{BY_USERS, Candidate};
use crate::support::{Fleet, Run, World, keeping_up, traffic};

/// Points that something was written before: the ledger, the platform, the repository, a file. What
/// was pushed or not is the same to a run in the same clone.
const WRITES: [&str; 4] = ["LedgerAfterCommit", "StepAfterApply", "TagPushed", "PackWritten"];

/// The points that the command passes when nothing disturbs it, as they are armed, and its answer.
fn recorded(world: &World, command: impl Fn() -> Command) -> (Vec<String>, Run) {
    let file = world.folder().join("../points");
    let run = keeping_up(|| {
        let _ = fs::remove_file(&file);
        let mut command = command();
        command.env("ORCA_TEST_CRASH", format!("record:{}", file.display()));
        Run::of(command)
    });
    let run = run.expect_code(0);
    let mut counts = BTreeMap::new();
    let met = fs::read_to_string(&file).expect("points are met");
    let points = met.lines().filter(|name| WRITES.contains(name)).map(|name| {
        let count = counts.entry(name.to_owned()).or_insert(0);
        *count += 1;
        format!("{name}:{count}")
    });
    (points.collect(), run)
}

fn killed_at(point: &str, mut command: Command) {
    command.env("ORCA_TEST_CRASH", point);
    let run = Run::of(command);
    assert_eq!(run.code, None, "{point} was not met: {run:#?}");
}

/// The first four entries that a run writes.
const COMMITS: [&str; 4] =
    ["LedgerAfterCommit:1", "LedgerAfterCommit:2", "LedgerAfterCommit:3", "LedgerAfterCommit:4"];

/// Killed again and again, each time a little further, until a run has nothing left to die of: at
/// every entry, at every push, after every step.
#[test]
fn story_k_release_tag() {
    let tag = ["release", "tag", "--rc", "--json"];
    for (points, least) in [
        (&COMMITS[..], 8),
        // What is pushed first is the intent of the step at hand: the second push gets further.
        (&["LedgerAfterPush:1", "LedgerAfterPush:2"], 2),
        // A file that is written and not committed is written again: the second step gets further.
        (&["StepAfterApply:1", "StepAfterApply:2"], 5),
    ] {
        let world = World::repository();
        world.git(&["init", "--quiet", "--bare", "--initial-branch=main", "../origin.git"]);
        world.git(&["remote", "add", "origin", "../origin.git"]);
        world.git(&["push", "--quiet", "--follow-tags", "origin", "main"]);
        let made =
            || world.git(&["for-each-ref", "--format=%(objectname)", "refs/tags/v1.1.0-rc.1"]);
        let mut tags = Vec::new();
        let mut deaths = 0;
        for point in points.iter().cycle() {
            let mut command = world.command(&tag);
            command.env("ORCA_TEST_CRASH", point);
            let run = Run::of(command);
            tags.push(made());
            if run.code.is_some() {
                run.expect_code(0);
                break;
            }
            deaths += 1;
            assert!(deaths < 40, "{points:?}: it gets no further");
        }
        assert!(deaths >= least, "{points:?}: died only {deaths} times");
        tags.retain(|tag| !tag.is_empty());
        tags.dedup();
        assert_eq!(tags.len(), 1, "{points:?}: the tag was made twice");
        as_undisturbed(&world, &tag);
    }
}

/// One tag object here and there, one commit, one changelog section, nothing left open.
fn as_undisturbed(world: &World, tag: &[&str]) {
    let again = world.orca(tag).expect_code(0);
    assert_eq!(again.json()["release"], "v1.1.0-rc.1");
    let head = world.git(&["rev-parse", "HEAD"]);
    let seen = |folder: &[&str]| {
        let names = ["rev-parse", "v1.1.0-rc.1^{commit}", "main", "v1.1.0-rc.1"];
        world.git(&[folder, &names].concat())
    };
    let here = seen(&[]);
    assert!(here.starts_with(&format!("{head}\n{head}\n")), "{here}");
    assert_eq!(seen(&["--git-dir", "../origin.git"]), here, "the remote");
    assert_eq!(world.git(&["tag"]), "v1.0.0\nv1.1.0-rc.1");
    assert_eq!(world.git(&["status", "--short"]), "", "a dirty tree");
    let changelog = world.git(&["show", "HEAD:CHANGELOG.md"]);
    assert_eq!(changelog.matches("\n## [1.1.0]").count(), 1, "{changelog}");
    let status = world.orca(&["release", "status", "--json"]).expect_code(0).json();
    assert_eq!(status["unattended"].as_array().map(Vec::len), Some(0), "{status}");
    let releases = world.git(&["log", "--format=%s", "--grep=^chore(release)"]);
    assert_eq!(releases.lines().count(), 1, "{releases}");
}

/// One release goes all the way; each verb is killed at its points before it may go on.
#[test]
fn story_k_from_preflight_to_rollback() {
    let _quiet = traffic();
    let all = "{weight: 100%, bake: 1s, max_hold: 30s}";
    let mut fleet = Fleet::start(&[&BY_USERS.replace("2s", "1s"), all]);
    fleet.users("users");
    let candidate = gates(&mut fleet);
    canary(&fleet, &candidate);
    fleet.no_users();

    let promote = ["promote", "--json", "--rc", &candidate.release];
    verb(&mut fleet, &promote, |fleet, _| {
        let tag = candidate.release.split("-rc.").next().expect("a version").to_owned();
        let object = |folder: &str| fleet.world.git(&["--git-dir", folder, "rev-parse", &tag]);
        assert_eq!(object(".git"), object("../origin.git"));
        json!({"tags": fleet.world.git(&["tag"])})
    });
    let tag = candidate.release.split("-rc.").next().expect("a version").to_owned();
    verb(&mut fleet, &["evidence", "generate", "--json", "--tag", &tag], |fleet, made| {
        let pack = made["pack"].as_str().expect("a pack");
        let key = made["public_key"].as_str().expect("a key");
        fleet.orca(&["evidence", "verify", pack, "--key", key]).expect_code(0);
        json!({"pack": pack, "verdict": made["verdict"]})
    });
    verb(&mut fleet, &["rollback", "--json", "--reason", "checkout is down"], |fleet, made| {
        assert_eq!(fleet.served_by(&candidate.commit, 20), 0);
        json!({"to": made["to"], "traffic": made["traffic"]})
    });
}

/// Preflight and load: a killed gate is run again, and its ruling counts as if nothing had been.
fn gates(fleet: &mut Fleet) -> Candidate {
    fleet.world.commit("fix(cart): count twice");
    fleet.push();
    let tagged = fleet.orca(&["release", "tag", "--rc", "--json"]).expect_code(0).json();
    let text = |key: &str| tagged[key].as_str().expect("a text").to_owned();
    let (release, commit) = (text("release"), text("commit"));
    let url = fleet.service(&commit);
    let load = ["load", "--json", "--rc", &release, "--target", &url];
    for verb in [&["preflight", "--json"][..], &load] {
        let before = keeping_up(|| fleet.orca(verb)).expect_code(0).json()["verdict"].clone();
        let (points, _) = recorded(&fleet.world, || fleet.command(verb));
        assert!(!points.is_empty(), "{verb:?}");
        for point in points {
            killed_at(&point, fleet.command(verb));
            let again = keeping_up(|| fleet.orca(verb)).expect_code(0).json();
            assert_eq!(again["verdict"], before, "{point}");
        }
    }
    Candidate { release, commit, url }
}

/// The next canary starts anew at stage 1 wherever the one before was killed, so each gets as far
/// as the next point; what is left by all of them must not show in the last.
fn canary(fleet: &Fleet, candidate: &Candidate) {
    let start = [&Fleet::canary(candidate)[..], &["--allow-undecidable"]].concat();
    let (points, _) = recorded(&fleet.world, || fleet.command(&start));
    assert!(points.len() >= 12, "{points:?}");
    let undisturbed = standing(fleet);
    fleet.orca(&["canary", "abort"]).expect_code(0);
    for point in points {
        killed_at(&point, fleet.command(&start));
        let status = fleet.status();
        let weight = status["platform"]["weight_bp"].as_u64().expect("a weight");
        assert!([0, 2500, 10_000].contains(&weight), "{point}: {status}");
        assert!(weight == 0 || status["platform"]["grant_until"].is_string(), "{point}: {status}");
        fleet.lease_ends();
    }
    fleet.orca(&start).expect_code(0);
    assert_eq!(standing(fleet), undisturbed);
}

/// Runs a verb undisturbed, then from the same start killed at each of its points and again.
fn verb(fleet: &mut Fleet, args: &[&str], look: impl Fn(&Fleet, &Value) -> Value) {
    fleet.save();
    let (points, run) = recorded(&fleet.world, || fleet.command(args));
    assert!(points.len() >= 2, "{args:?}: {points:?}");
    let undisturbed = (standing(fleet), look(fleet, &run.json()));
    for point in points {
        fleet.restore();
        killed_at(&point, fleet.command(args));
        let lease = ["--git-dir", "../origin.git", "for-each-ref", LEASE];
        if !fleet.world.git(&lease).is_empty() {
            fleet.lease_ends();
        }
        let again = fleet.orca(args);
        assert_eq!(again.code, Some(0), "{args:?} at {point}: {again:#?}");
        let seen = (standing(fleet), look(fleet, &again.json()));
        assert_eq!(seen, undisturbed, "{args:?} at {point}");
    }
}

const LEASE: &str = "refs/orca/lease/production";

/// What anybody sees of it, without times, ids and counts of changes.
fn standing(fleet: &Fleet) -> Value {
    let status = fleet.status();
    let (base, canary, platform) = (&status["base"], &status["canary"], &status["platform"]);
    json!({
        "base": [base["deployment"], base["release"], base["commit"]],
        "canary": [canary["release"], canary["weight_bp"], canary["complete"]],
        "candidate": status["candidate"],
        "frozen": status["freeze"].is_string(),
        "condemned": status["condemned"],
        "unattended": status["unattended"],
        "drift": status["drift"],
        "next": status["next"],
        "platform": [platform["base"], platform["canary"], platform["weight_bp"]],
    })
}
