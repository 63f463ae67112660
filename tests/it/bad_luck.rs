//! Bad input and bad luck: each has its exit code, names the thing, and its page is known offline.

use std::fs;
use std::path::PathBuf;

use crate::support::{Run, World};

/// The failure names `parts`, and `orca explain` knows its code.
#[track_caller]
fn refused(world: &World, args: &[&str], exit: i32, code: &str, parts: &[&str]) {
    let run = world.orca(args);
    assert_eq!(run.code, Some(exit), "{args:?}: {run:#?}");
    for part in [&[code][..], parts].concat() {
        assert!(run.stderr.contains(part), "{part}: {}", run.stderr);
    }
    world.orca(&["explain", code]).expect_code(0);
}

#[test]
fn a_wrong_file_is_named_with_its_line() {
    let world = World::repository();
    let canary = ["canary", "start", "--deployment-url", "http://127.0.0.1:1"];
    refused(&world, &canary, 2, "ORCA-1004", &["orca init"]);
    for (text, place) in [
        ("version: 1\nnonsense: 1\n", "orca.yaml:2:1: unknown field `nonsense`"),
        ("version: 1\ncanary:\n  stages:\n    - {weight: 5%, bake: 5}\n", "orca.yaml:4:26: '5'"),
    ] {
        world.write("orca.yaml", text);
        refused(&world, &canary, 2, "ORCA-1002", &[place]);
    }
    world.write("orca.yaml", "version: 1\n");
    let load = ["load", "--target", "http://127.0.0.1:1", "--manifest", "m.yaml"];
    let bomb = "version: 1\ndefaults:\n  objectives: [".to_owned() + &"[".repeat(200);
    for (text, place) in [
        (String::new(), "m.yaml:1:1: is empty"),
        ("a".repeat(10 << 20), "m.yaml: larger than 1048576 bytes"),
        (bomb, "m.yaml:3:"),
    ] {
        world.write("m.yaml", &text);
        refused(&world, &load, 2, "ORCA-1002", &[place]);
    }
}

#[test]
fn a_repository_that_is_not_ready_is_left_alone() {
    let world = World::new();
    refused(&world, &["release", "tag", "--rc"], 2, "ORCA-1102", &["git init"]);

    let world = World::repository();
    let remote = world.bare_remote();
    world.write("src/app.txt", "not committed");
    let tag = ["release", "tag", "--rc"];
    refused(&world, &tag, 2, "ORCA-1103", &["src/app.txt", "git stash push"]);
    world.git(&["checkout", "--quiet", "--", "src/app.txt"]);

    world.git(&["tag", "v1.1.0-rc.1"]);
    world.git(&["push", "--quiet", "origin", "HEAD~1:refs/tags/v1.1.0-rc.1"]);
    refused(&world, &tag, 2, "ORCA-1104", &["v1.1.0-rc.1", "git fetch origin --tags"]);

    let url = format!("file://{}", remote.display());
    world.git(&["clone", "--quiet", "--depth", "1", &url, "../shallow"]);
    let shallow = ["-C", "../shallow", "release", "tag", "--rc"];
    refused(&world, &shallow, 2, "ORCA-1103", &["git fetch --unshallow --tags"]);
}

/// The newest entry's commit becomes an empty file, as after a power cut.
#[test]
fn a_damaged_ledger_is_named_and_written_to_by_nobody() {
    let world = World::repository();
    world.bare_remote();
    world.orca(&["release", "tag", "--rc"]).expect_code(0);
    let head = world.git(&["rev-parse", "refs/orca/ledger"]);
    let object: PathBuf = world.folder().join(".git/objects").join(&head[..2]).join(&head[2..]);
    fs::remove_file(&object).unwrap();
    fs::write(&object, "").unwrap();
    let canary = ["canary", "start", "--deployment-url", "http://127.0.0.1:1"];
    for args in [
        &["release", "status"][..],
        &["release", "tag", "--rc"],
        &["preflight"],
        &["ledger", "log"],
        &["ledger", "sync"],
        &["ledger", "verify"],
        &["why", "v1.1.0-rc.1"],
    ] {
        refused(&world, args, 1, "ORCA-1202", &[&head]);
    }
    world.write("orca.yaml", "version: 1\nplatform: {kind: router, admin: \"http://127.0.0.1:1\", url: \"http://127.0.0.1:1\"}\n");
    let mut start = world.command(&canary);
    start.env("ORCA_ROUTER_TOKEN", "token");
    let start = Run::of(start).expect_code(1);
    assert!(start.stderr.contains("ORCA-1202"), "{}", start.stderr);

    // A rollback does not stop at the ledger: it gets as far as the router, which is down here.
    let back = ["rollback", "--reason", "x", "--admin", "http://127.0.0.1:1"];
    let mut command = world.command(&[&back[..], &["--url", "http://127.0.0.1:1"]].concat());
    command.env("ORCA_ROUTER_TOKEN", "token");
    let run = Run::of(command).expect_code(7);
    assert!(run.stderr.contains("asking the platform instead"), "{}", run.stderr);
    assert!(run.stderr.contains("ORCA-1501"), "{}", run.stderr);
}
