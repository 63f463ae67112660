//! The ledger through the binary: what it shows, and what it does when exhibits are lost and when
//! remotes do not answer.

use std::fs;
use std::process::Command;

use crate::support::trouble::{BlackHole, script};
use crate::support::{Run, World};

const TAG: [&str; 3] = ["release", "tag", "--rc"];

#[test]
fn what_happened_is_shown_shared_and_checked() {
    let world = World::repository();
    let remote = world.bare_remote();
    world.orca(&TAG).expect_code(0);
    world.orca(&["preflight"]).expect_code(0);

    let shown = world.orca(&["ledger", "log", "-n", "3"]).expect_code(0).stdout;
    assert!(shown.starts_with("3 of 1"), "{shown}");
    let log = world.orca(&["ledger", "log", "-n", "0", "--json"]).expect_code(0).json();
    let entries = log["entries"].as_array().unwrap();
    assert_eq!(log["total"], entries.len());
    assert_eq!(entries[0]["kind"], "ruled", "newest first");
    assert_eq!(entries.last().unwrap()["position"], 1);
    let about = ["ledger", "log", "-n", "0", "--json", "--release", "v1.1.0-rc.1"];
    let about = world.orca(&about).expect_code(0).json();
    assert!(about["total"].as_u64().unwrap() >= 10, "{about}");

    let why = world.orca(&["why", "v1.1.0-rc.1"]).expect_code(0).stdout;
    for part in ["v1.1.0-rc.1: tagged by", "tagged v1.1.0-rc.1 at commit", "gate commits: pass"] {
        assert!(why.contains(part), "{part}: {why}");
    }
    assert!(why.lines().count() < 24, "one screen: {why}");
    let unknown = world.orca(&["why", "v9.9.9"]).expect_code(2);
    assert!(unknown.stderr.contains("ORCA-1106"), "{}", unknown.stderr);

    let checked = world.orca(&["ledger", "verify", "--json"]).expect_code(0).json();
    assert_eq!(checked["verdict"], "pass", "{checked}");
    assert_eq!(checked["entries"], log["total"]);

    let shown = remote.to_str().unwrap();
    world.git(&["--git-dir", shown, "update-ref", "refs/orca/ledger", "refs/orca/ledger~1"]);
    world.git(&["update-ref", "-d", "refs/orca/high-water"]);
    let planned = world.orca(&["ledger", "sync", "--dry-run", "--json"]).expect_code(0).json();
    assert_eq!(planned["dry_run"], true);
    let synced = world.orca(&["ledger", "sync", "--json"]).expect_code(0).json();
    assert_eq!(synced["standing"], "synced", "{synced}");
    for name in ["log", "sync", "verify", "restore"] {
        world.orca(&["schema", &format!("orca.ledger-{name}/v1")]).expect_code(0);
    }
    world.orca(&["schema", "orca.why/v1"]).expect_code(0);
}

/// Whoever waits for entries in a repository that has none, and whose remote has none, is in the
/// wrong one: nothing was synced, and nobody reads that it was.
#[test]
fn a_sync_without_a_ledger_is_no_sync() {
    let world = World::repository();
    for remote in [false, true] {
        if remote {
            world.git(&["init", "--quiet", "--bare", "../origin.git"]);
            world.git(&["remote", "add", "origin", "../origin.git"]);
        }
        let none = world.orca(&["ledger", "sync", "--json"]).expect_code(4).json();
        assert_eq!(none["standing"], "no_ledger", "{none}");
        let said = world.orca(&["ledger", "sync"]).expect_code(4);
        assert!(said.stdout.contains("nothing was synced"), "{said:#?}");
    }
    let planned = world.orca(&["ledger", "sync", "--dry-run"]).expect_code(0);
    assert!(planned.stdout.contains("no ledger here yet"), "{planned:#?}");
    world.git(&["push", "--quiet", "--set-upstream", "origin", "main"]);
    world.orca(&TAG).expect_code(0);
    let synced = world.orca(&["ledger", "sync", "--json"]).expect_code(0).json();
    assert_eq!(synced["standing"], "synced", "{synced}");
}

/// An exhibit too large for a commit stands beside the ledger; without it nobody can judge again.
#[test]
fn a_lost_exhibit_is_named_and_decides_nothing() {
    let world = World::repository();
    world.commit(&format!("feat(cart): count\n\n{}", "a long story\n".repeat(8_000)));
    world.orca(&TAG).expect_code(0);
    world.orca(&["preflight"]).expect_code(0);
    let folder = world.folder().join(".orca/exhibits");
    let exhibit = fs::read_dir(&folder).unwrap().next().unwrap().unwrap();
    world.orca(&["ledger", "verify"]).expect_code(0);
    fs::remove_file(exhibit.path()).unwrap();
    let name = exhibit.file_name().into_string().unwrap();

    let checked = world.orca(&["ledger", "verify", "--json"]).expect_code(3).json();
    assert_eq!(checked["verdict"], "inconclusive");
    assert_eq!(checked["missing"][0]["name"], name.as_str());

    let key = world.folder().join("../orca.key");
    let openssl = ["genpkey", "-algorithm", "ed25519", "-out", key.to_str().unwrap()];
    assert!(Command::new("openssl").args(openssl).status().unwrap().success());
    let mut pack = world.command(&["evidence", "generate", "--json", "--tag", "v1.1.0-rc.1"]);
    pack.env("ORCA_SIGNING_KEY", &key);
    let made = Run::of(pack).json();
    assert_eq!(made["verdict"], "inconclusive", "{made}");
    assert!(made.to_string().contains("missing"), "{made}");
}

/// Each answers within its deadlines, with the right code, and changes nothing.
#[test]
fn a_remote_that_does_not_help_is_named_in_time() {
    let world = World::repository();
    let remote = world.bare_remote();
    world.orca(&TAG).expect_code(0);
    let url = remote.to_str().unwrap().to_owned();
    let head = || world.git(&["rev-parse", "HEAD", "refs/tags/v1.1.0-rc.1"]);
    let before = head();
    world.commit("fix(cart): count once");
    world.git(&["push", "--quiet", "origin", "main"]);
    let answers = |what: &str, args: &[&str]| {
        let started = std::time::Instant::now();
        let run = world.orca(args);
        assert_eq!(run.code, Some(4), "{what}: {args:?}: {run:#?}");
        let known = run.stderr.contains("ORCA-1207") || run.stderr.contains("ORCA-1101");
        assert!(known, "{what}: {}", run.stderr);
        // The deadlines of each call together; a hook would sleep for minutes.
        assert!(started.elapsed().as_secs() < 100, "{what}: {args:?}");
    };
    let hook = remote.join("hooks/pre-receive");
    world.orca(&["preflight"]).expect_code(0);
    for (what, text) in [("refusing", "#!/bin/sh\nexit 1\n"), ("hanging", "#!/bin/sh\nsleep 300\n")]
    {
        script(&hook, text);
        world.orca(&["preflight"]).expect_code(0);
        answers(what, &["ledger", "sync"]);
        answers(what, &TAG);
        fs::remove_file(&hook).unwrap();
    }
    {
        let _hole = BlackHole::instead_of(&world, &[&url]);
        answers("black hole", &["ledger", "sync"]);
        answers("black hole", &TAG);
        world.orca(&["release", "status"]).expect_code(0);
    }
    let moved = remote.with_extension("gone");
    fs::rename(&remote, &moved).unwrap();
    answers("gone", &["ledger", "sync"]);
    answers("gone", &TAG);
    fs::rename(&moved, &remote).unwrap();

    // A hook of this clone that hangs is for people's pushes, not for the ledger's.
    let own = world.folder().join(".git/hooks/reference-transaction");
    script(&own, "#!/bin/sh\nsleep 300\n");
    world.orca(&["ledger", "sync"]).expect_code(0);
    fs::remove_file(own).unwrap();
    assert_ne!(head(), before, "HEAD went on, the tag did not move");
    world.orca(&TAG).expect_code(0);
}

/// A ledger that is rewound while nobody looks is healed by the clone that saw it.
#[test]
fn restore_says_what_it_would_do_and_does_it() {
    let world = World::repository();
    let remote = world.bare_remote();
    world.orca(&TAG).expect_code(0);
    let shown = remote.to_str().unwrap();
    let head = world.git(&["rev-parse", "refs/orca/ledger"]);
    world.git(&["--git-dir", shown, "update-ref", "-d", "refs/orca/ledger"]);
    let refused = world.orca(&["ledger", "sync"]).expect_code(1);
    assert!(refused.stderr.contains("ledger rewound"), "{}", refused.stderr);
    assert!(refused.stderr.contains("orca ledger restore"), "{}", refused.stderr);

    let planned = world.orca(&["ledger", "restore", "--dry-run", "--json"]).expect_code(0).json();
    assert_eq!((&planned["dry_run"], &planned["remote"]), (&true.into(), &"pushed".into()));
    let there = || {
        let args =
            ["--git-dir", shown, "for-each-ref", "--format=%(objectname)", "refs/orca/ledger"];
        world.git(&args)
    };
    assert_eq!(there(), "", "a dry run writes nothing");
    world.orca(&["ledger", "restore"]).expect_code(0);
    assert_eq!(there(), head);
    world.orca(&["ledger", "sync"]).expect_code(0);
}
