//! The ledger through the binary: what it shows, and what it does under damage, full disks, newer
//! versions and remotes that do not answer.

use std::fs;
use std::process::Command;

use sha2::Digest as _;

use crate::support::fleet::{ALL, BY_USERS, Candidate, text};
use crate::support::trouble::{BlackHole, FullDisk, ReadOnly, script};
use crate::support::{Fleet, Run, World, quiet};

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

/// Puts an entry of a kind that only a later orca knows onto the ledger.
fn append_from_the_future(world: &World) {
    let show = |what: &str| world.git(&["show", what]);
    let last = format!("{}\n", show("refs/orca/ledger:entry.json"));
    let digest = sha2::Sha256::digest(last.as_bytes());
    let hex = digest.iter().fold(String::from("sha256:"), |hex, byte| format!("{hex}{byte:02x}"));
    let mut entry: serde_json::Value = serde_json::from_str(&last).expect("an entry is JSON");
    entry["prev_sha256"] = hex.into();
    entry["id"] = "en_fromthefuture".into();
    entry["body"] = serde_json::json!({"kind": "teleported", "says": {"to": "the moon"}});
    world.write(".git/entry.json", &format!("{entry}\n"));
    let blob = world.git(&["hash-object", "-w", ".git/entry.json"]);
    world.write(".git/tree", &format!("100644 blob {blob}\tentry.json\n"));
    let mut mktree = Command::new("git");
    mktree.arg("-C").arg(world.folder()).arg("mktree");
    mktree.stdin(fs::File::open(world.folder().join(".git/tree")).expect("it was written"));
    let tree = String::from_utf8(mktree.output().expect("git runs").stdout).expect("an id");
    let args = ["commit-tree", tree.trim(), "-p", "refs/orca/ledger", "-m", "orca: teleported"];
    let commit = world.git(&args);
    world.git(&["update-ref", "refs/orca/ledger", &commit]);
}

fn rolled_back(fleet: &Fleet, run: Run) -> serde_json::Value {
    let back = run.expect_code(0).json();
    assert_eq!(back["traffic"], "verified", "{back}");
    assert_eq!(fleet.platform()["base"], fleet.base.as_str());
    assert_eq!(fleet.platform()["weight_bp"], 0);
    back
}

/// How many rollbacks the ledger remembers.
fn remembered(fleet: &Fleet) -> usize {
    fleet.log(".").iter().filter(|entry| entry["kind"] == "rolled_back").count()
}

/// One product meets every bad luck in turn; each time users are brought back and nothing is lost.
#[test]
fn whatever_happens_to_the_ledger_users_go_back_and_it_is_remembered() {
    let _quiet = quiet();
    let mut fleet = Fleet::start(&[BY_USERS, ALL]);
    fleet.users("users");
    let candidate = fleet.complete();
    let back = ["rollback", "--json", "--reason", "checkout is down"];
    a_newer_orca_wrote(&fleet, &candidate);

    // The object store is full: the intent and the fact wait beside it.
    {
        let full = FullDisk::on(&fleet.world);
        let refused = Run::of(full.wrap(fleet.command(&TAG)));
        assert_eq!(refused.code, Some(4), "{refused:#?}");
        assert!(refused.stderr.contains("ORCA-1204"), "{}", refused.stderr);
        let made = rolled_back(&fleet, Run::of(full.wrap(fleet.command(&back))));
        assert!(text(&made, "ledger").starts_with("pending"), "{made}");
    }
    let synced = fleet.orca(&["ledger", "sync", "--json"]).expect_code(0).json();
    let on_disk = synced["pending_files"].as_u64().unwrap() > 0;
    assert_eq!(remembered(&fleet), usize::from(on_disk), "{synced}");

    // Nobody may write the repository: they wait in the user's state folder.
    let before = remembered(&fleet);
    {
        let read_only = ReadOnly::on(&fleet.world);
        let refused = Run::of(read_only.wrap(fleet.command(&TAG)));
        assert_eq!(refused.code, Some(4), "{refused:#?}");
        let made = rolled_back(&fleet, Run::of(read_only.wrap(fleet.command(&back))));
        let said = text(&made, "ledger");
        assert!(said.starts_with("pending") && said.contains("state/orca/pending"), "{said}");
    }
    fleet.orca(&["ledger", "sync"]).expect_code(0);
    assert_eq!(remembered(&fleet), before + 1);

    // No repository at all: the same folder, under the platform's name.
    let made = rolled_back(&fleet, Run::of(fleet.elsewhere(&back)));
    assert!(text(&made, "ledger").contains("state/orca/pending"), "{made}");
    fleet.orca(&["ledger", "sync"]).expect_code(0);
    assert_eq!(remembered(&fleet), before + 2);
    fleet.orca(&["ledger", "verify"]).expect_code(0);
    let dangling = fleet.status()["unattended"].clone();
    assert_eq!(dangling, serde_json::json!([]), "every intent has its outcome");
}

fn a_newer_orca_wrote(fleet: &Fleet, candidate: &Candidate) {
    let known = fleet.world.git(&["rev-parse", "refs/orca/ledger"]);
    let before = fleet.platform();
    append_from_the_future(&fleet.world);
    let refused = fleet.orca(&["promote", "--rc", &candidate.release]).expect_code(1);
    assert!(refused.stderr.contains("ORCA-1208"), "{}", refused.stderr);
    assert_eq!(fleet.platform(), before, "nothing moved");
    let planned = fleet.orca(&["rollback", "--dry-run", "--json", "--reason", "x"]);
    assert_eq!(planned.expect_code(0).json()["to"], fleet.base.as_str());
    let checked = fleet.orca(&["ledger", "verify", "--json"]).expect_code(3).json();
    assert!(text(&checked, "headline").contains("newer orca"), "{checked}");
    for name in ["ledger", "high-water", "remote/ledger"] {
        fleet.world.git(&["update-ref", &format!("refs/orca/{name}"), &known]);
    }
    fleet.world.git(&[
        "push",
        "--quiet",
        "--force",
        "origin",
        &format!("{known}:refs/orca/ledger"),
    ]);
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
