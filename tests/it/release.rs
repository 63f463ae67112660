//! `orca release`: the next version, the check of commits and the notes, through the binary.

use crate::support::World;

#[test]
fn next_is_exactly_the_contract() {
    let world = World::repository();
    let run = world.orca(&["release", "next", "--json"]).expect_code(0);
    let head = world.git(&["log", "--format=%H", "--grep=suggest while typing"]);
    let expected = serde_json::json!({
        "schema": "orca.release-next/v1",
        "current": "1.0.0",
        "next": "1.1.0-rc.1",
        "bump": "minor",
        "rc": 1,
        "reason": format!("{}: feat(search): suggest while typing", &head[..9]),
        "commits": 4,
    });
    assert_eq!(run.json(), expected);
    let again = world.orca(&["release", "next", "--json"]);
    assert_eq!(again.stdout, run.stdout);
    let major = world.orca(&["release", "next", "--bump", "major", "--offline"]).expect_code(0);
    assert!(major.stdout.starts_with("1.0.0 -> 2.0.0-rc.1\n"), "{}", major.stdout);
}

/// A candidate that only the remote knows is counted, unless orca may not ask.
#[test]
fn next_asks_the_remote() {
    let world = World::repository();
    world.bare_remote();
    world.git(&["push", "--quiet", "origin", "HEAD~1:refs/tags/v1.1.0-rc.1"]);
    let next = |args: &[&str]| world.orca(args).expect_code(0).json()["rc"].clone();
    assert_eq!(next(&["release", "next", "--json"]), 2);
    assert_eq!(next(&["release", "next", "--json", "--offline"]), 1);
    world.git(&["remote", "set-url", "origin", "/nowhere"]);
    let run = world.orca(&["release", "next"]).expect_code(4);
    assert!(run.stderr.contains("ORCA-1101"), "{}", run.stderr);
}

#[test]
fn the_tag_prefix_comes_from_the_file() {
    let world = World::repository();
    world.git(&["tag", "shop-2.0.0"]);
    world.commit("fix: one");
    world.write("orca.yaml", "version: 1\nrelease: {tag_prefix: shop-}\n");
    world.write("deep/er/x", "");
    let run = world.orca(&["-C", "deep/er", "release", "next", "--json"]).expect_code(0);
    assert_eq!(run.json()["next"], "2.0.1-rc.1");
    let run = world.orca(&["--config", "none.yaml", "release", "next"]).expect_code(2);
    assert!(run.stderr.contains("ORCA-1004"), "{}", run.stderr);
}

#[test]
fn without_a_repository_the_next_command_is_named() {
    let run = World::new().orca(&["release", "next", "--json"]).expect_code(2);
    assert_eq!(run.json()["code"], "ORCA-1102");
    assert!(run.stderr.contains("git init") && run.stderr.contains("orca -C"), "{}", run.stderr);
}

#[test]
fn nothing_to_release_has_its_own_exit_code() {
    let world = World::repository();
    world.git(&["tag", "v1.1.0"]);
    world.commit("docs: more");
    for args in [&["release", "next", "--json"][..], &["release", "notes", "--json"]] {
        assert_eq!(world.orca(args).expect_code(8).json()["code"], "ORCA-1105");
    }
}

#[test]
fn check_commits_names_the_offending_ones() {
    let world = World::repository();
    let run = world.orca(&["release", "check-commits"]).expect_code(0);
    assert!(run.stdout.starts_with("4 commits follow"), "{}", run.stdout);
    let id = world.commit("wip");
    let run = world.orca(&["release", "check-commits", "--json"]).expect_code(1);
    let json = run.json();
    assert_eq!(json["verdict"], "fail");
    assert_eq!(json["offending"][0]["commit"], id);
    world.commit("fix: two");
    let last = ["release", "check-commits", "HEAD~1..HEAD", "--json"];
    assert_eq!(world.orca(&last).expect_code(0).json()["commits"], 1);
    let run = world.orca(&["release", "check-commits", "a..b"]).expect_code(2);
    assert!(run.stderr.contains("origin/main..HEAD"), "{}", run.stderr);
    world.orca(&["release", "check-commits", "no-such"]).expect_code(4);
}

#[test]
fn notes_read_as_their_readers_need() {
    let world = World::repository();
    world.git(&["remote", "add", "origin", "git@github.com:acme/shop.git"]);
    let run = world.orca(&["release", "notes", "--offline"]).expect_code(0);
    for text in ["**search:** suggest while typing", "Ada Lovelace", "compare/v1.0.0...v1.1.0-rc.1"]
    {
        assert!(run.stdout.contains(text), "{text}: {}", run.stdout);
    }
    let customers = ["release", "notes", "--offline", "--for", "customers"];
    let run = world.orca(&customers).expect_code(0);
    assert!(run.stdout.contains("## New\n\n- Suggest while typing\n"), "{}", run.stdout);
    world.write("release/notes_template.md", "{{ version }}: {{ added | length }}");
    assert_eq!(world.orca(&customers).expect_code(0).stdout, "1.1.0: 1\n");
    world.write("release/notes_template.md", "\n{{ nothing }}");
    let run = world.orca(&customers).expect_code(2);
    assert!(run.stderr.contains("line 2"), "{}", run.stderr);
}

/// `cargo build --locked` must work at the tag: the lock file says the version of its manifest.
#[test]
fn a_candidate_of_a_crate_says_its_version_in_both_files() {
    let world = World::repository();
    let manifest = "[package]\nname = \"shop\"\nversion = \"1.0.0\"\n";
    world.write("service/Cargo.toml", manifest);
    world.write("Cargo.lock", "version = 4\n\n[[package]]\nname = \"shop\"\nversion = \"1.0.0\"\n");
    world.write("orca.yaml", "version: 1\nrelease: {version_files: [service/Cargo.toml]}\n");
    world.commit("feat: a crate");
    world.bare_remote();
    world.orca(&["release", "tag", "--rc"]).expect_code(0);
    let at_tag = |path: &str| world.git(&["show", &format!("v1.1.0-rc.1:{path}")]);
    for path in ["service/Cargo.toml", "Cargo.lock"] {
        assert!(at_tag(path).contains("version = \"1.1.0\""), "{path}: {}", at_tag(path));
    }
    assert_eq!(world.git(&["status", "--short"]), "");
}
