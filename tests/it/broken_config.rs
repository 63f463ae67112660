//! Whoever is on call at three in the morning meets an `orca.yaml` that somebody broke: the ways back
//! go on with what is still known, tell what is wrong, and never act on something else.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::support::fleet::{ALL, DEADLINE};
use crate::support::{Fleet, Run, World, traffic, wait_until};

const BACK: [&str; 4] = ["rollback", "--json", "--reason", "checkout is down"];
const ABORT: [&str; 3] = ["canary", "abort", "--json"];
const CLOSE: [&str; 4] = ["maintenance", "on", "--reason", "orders are charged twice"];
const OPEN: [&str; 4] = ["maintenance", "off", "--reason", "right again"];
/// As git leaves a file that two people changed.
const CONFLICT: &str = "<<<<<<< HEAD\nnotes: mine\n=======\nnotes: theirs\n>>>>>>> feature\n";

/// Should anything be asked that must not be.
const NOWHERE: (&str, &str) = ("VERCEL_API_URL", "http://127.0.0.1:9");

/// As somebody has it whose shell knows the token and nothing else.
fn bare(fleet: &Fleet, args: &[&str]) -> Run {
    let mut command = fleet.command(args);
    command.env_remove("ORCA_ROUTER_ADMIN").env_remove("ORCA_ROUTER_URL");
    Run::of(command)
}

#[track_caller]
fn says(run: &Run, parts: &[&str]) {
    for part in parts {
        assert!(run.stderr.contains(part), "no '{part}' in {}", run.stderr);
    }
}

#[test]
fn what_is_wrong_elsewhere_in_the_file_is_told_and_stops_no_way_back() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 2s, max_hold: 30s}", ALL]);
    fleet.users("users");
    fleet.promoted();
    let path = fleet.world.folder().join("orca.yaml");
    let sound = std::fs::read_to_string(&path).expect("the file of the fleet");
    let broken = format!("{sound}surprise: true\ndeploy: {{p95: 61s}}\n");
    fleet.world.write("orca.yaml", &broken);
    let last = broken.lines().count();
    let places = [format!("orca.yaml:{}:1: surprise", last - 1), format!("orca.yaml:{last}:10")];

    for strict in [&["preflight"][..], &["promote", "--rc", "v1.1.0-rc.1"], &["canary", "resume"]] {
        let refused = bare(&fleet, strict).expect_code(2);
        says(&refused, &["ORCA-1002", "unknown field `surprise`"]);
    }
    let closed = bare(&fleet, &CLOSE).expect_code(0);
    says(&closed, &[&places[0], &places[1], "deploy.p95", "nothing is raised until"]);
    bare(&fleet, &OPEN).expect_code(0);
    let aborted = bare(&fleet, &ABORT).expect_code(0);
    says(&aborted, &[&places[0]]);
    let status = bare(&fleet, &["release", "status", "--json"]).expect_code(0);
    says(&status, &[&places[0], &places[1], "nothing is raised until"]);
    let status = status.json();
    assert_eq!(status["faults"].as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!(status["base"]["deployment"], status["platform"]["base"], "{status}");
    let shown = bare(&fleet, &["release", "status"]).expect_code(0);
    assert!(shown.stdout.contains("broken, nothing is raised: orca.yaml:"), "{}", shown.stdout);
    says(&bare(&fleet, &["ledger", "sync"]).expect_code(0), &[&places[0]]);

    let mut unreadable = fleet.command(&["rollback", "--json", "--reason"]);
    unreadable.env_remove("ORCA_ROUTER_ADMIN").env_remove("ORCA_ROUTER_URL");
    unreadable.arg(OsStr::from_bytes(b"caf\xe9 is down"));
    let back = Run::of(unreadable).expect_code(0);
    says(&back, &[&places[0]]);
    assert_eq!(back.json()["to"], fleet.base.as_str());
    assert_eq!(back.json()["ledger"], "synced", "the ledger is found by what is readable");
    let told: Vec<String> = fleet.ledger().iter().map(ToString::to_string).collect();
    assert!(told.iter().any(|entry| entry.contains("caf\u{fffd} is down")), "{told:?}");
    for rest in [&["canary", "abort", "--reason"][..], &["maintenance", "off", "--reason"]] {
        let mut command = fleet.command(rest);
        command.arg(OsStr::from_bytes(b"\xff"));
        Run::of(command).expect_code(0);
    }
}

#[test]
fn a_file_that_nobody_can_read_leaves_flags_and_environment() {
    let _quiet = traffic();
    let mut fleet = Fleet::start(&["{weight: 25%, bake: 10m, max_hold: 20m}", ALL]);
    fleet.users("users");
    let candidate = fleet.candidate();
    let canary = fleet.spawn(&Fleet::canary(&candidate));
    wait_until("25 % on the canary", DEADLINE, || fleet.weight() == 2500);
    let sound = std::fs::read_to_string(fleet.world.folder().join("orca.yaml")).expect("a file");
    fleet.world.write("../sound.yaml", &sound);
    fleet.world.write("orca.yaml", &format!("{sound}{CONFLICT}"));
    let line = sound.lines().count() + 1;

    for way in [&BACK[..], &ABORT, &CLOSE] {
        let refused = bare(&fleet, way).expect_code(2);
        says(&refused, &[&format!("orca.yaml:{line}:"), "platform.admin", "--admin URL --url URL"]);
        says(&refused, &["--project NAME", "ORCA_ROUTER_TOKEN", "<<<<<<< HEAD"]);
    }
    // A shell that knows a project of something else makes it no project of this service.
    let mut ambient = fleet.command(&BACK);
    ambient.env_remove("ORCA_ROUTER_ADMIN").env("VERCEL_PROJECT_ID", "blog");
    ambient.envs([("VERCEL_TOKEN", "value-of-another-shell"), NOWHERE]);
    says(&Run::of(ambient).expect_code(2), &["another platform", "--admin URL"]);
    let mut router = fleet.command(&BACK);
    let vercel = sound.replace("kind: router", "kind: vercel");
    fleet.world.write("orca.yaml", &format!("{vercel}{CONFLICT}"));
    router.envs([("VERCEL_TOKEN", "value-of-another-shell"), NOWHERE]);
    says(&Run::of(router).expect_code(2), &["another platform"]);
    fleet.world.write("orca.yaml", &format!("{sound}{CONFLICT}"));
    assert_eq!(weight(&fleet), 2500, "nothing was moved by all of it");

    let place = ["--admin", &fleet.admin, "--url", &fleet.front];
    let mut unverified = fleet.command(&[&ABORT[..], &place[..2]].concat());
    unverified.env_remove("ORCA_ROUTER_URL").env("VERCEL_PROJECT_PRODUCTION_URL", &fleet.front);
    says(&Run::of(unverified).expect_code(2), &["platform.url is not set"]);
    let mut aborting = fleet.command(&[&ABORT[..], &place].concat());
    aborting.env_remove("ORCA_ROUTER_ADMIN").env_remove("ORCA_ROUTER_URL");
    aborting.envs([("VERCEL_PROJECT_ID", "blog"), NOWHERE]);
    let aborted = Run::of(aborting).expect_code(0);
    says(&aborted, &[&format!("orca.yaml:{line}:"), "flags and environment alone"]);
    assert_eq!(weight(&fleet), 0);
    canary.end();
    let by_environment = fleet.orca(&BACK).expect_code(0);
    says(&by_environment, &["flags and environment alone"]);
    fleet.orca(&CLOSE).expect_code(0);
    fleet.orca(&OPEN).expect_code(0);

    // Which environment's ledger is meant, nobody can say: it is left alone.
    let other = sound.replace("environment: production", "environment: staging");
    fleet.world.write("orca.yaml", &format!("{sound}=======\n{other}"));
    let entries = fleet.ledger().len();
    let blind = fleet.orca(&ABORT).expect_code(0);
    says(&blind, &["the ledger is left alone"]);
    let status = fleet.orca(&["release", "status", "--json"]).expect_code(0);
    says(&status, &["the ledger is left alone"]);
    let status = status.json();
    assert_eq!((&status["environment"], &status["base"]), (&"unknown".into(), &().into()));
    assert_eq!(status["platform"]["base"], fleet.base.as_str(), "{status}");
    assert_eq!(fleet.ledger().len(), entries);
}

/// Commands of one's own are run as they are written, for the environment that is written, or not at
/// all: every one of these leaves a mark.
#[test]
fn commands_that_are_half_readable_are_not_run() {
    let world = World::new();
    let script = "#!/bin/sh\ntouch ran\n";
    let path = world.write("platform.sh", script);
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&path, executable).expect("a file of the world");
    let config = |service: &str, exec: &str| {
        format!(
            "version: 1\nservice: {{{service}}}\nplatform:\n  kind: exec\n  url: http://127.0.0.1:9\n  \
             exec: {{command: [./platform.sh]{exec}}}\n"
        )
    };
    for (config, part) in [
        (config("name: shop", ", lowr: [./other.sh]"), "orca.yaml:6:36: platform.exec: "),
        (config("environment: a/b", ""), "told the environment"),
        (config("environment: live", "") + CONFLICT, "--admin URL --url URL"),
    ] {
        world.write("orca.yaml", &config);
        for way in [&BACK[..], &ABORT, &CLOSE] {
            says(&world.orca(way).expect_code(2), &[part, "git show HEAD:orca.yaml"]);
        }
        assert!(!world.folder().join("ran").exists(), "{config}");
    }
    world.write("orca.yaml", &(config("environment: live", "") + "surprise: true\n"));
    world.orca(&BACK);
    assert!(world.folder().join("ran").exists(), "what is wrong elsewhere stops nothing");
}

/// The weight, by a file of its own: the one in the folder is broken.
fn weight(fleet: &Fleet) -> u64 {
    let status = fleet.orca(&["--config", "../sound.yaml", "release", "status", "--json"]);
    let status = status.expect_code(0).json();
    status["platform"]["weight_bp"].as_u64().expect("the router says its weight")
}
