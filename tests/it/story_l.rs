//! Story L: someone who has read the README and nothing else. What it names exists, the two
//! commands are targets of the Makefile, and whatever goes wrong on the way names the next command
//! and a code that `orca explain` knows.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::{Run, World};

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(path).expect("the checkout has a README")
}

/// The verbs of each `orca ...` that is quoted or stands in a block of code.
fn commands(text: &str) -> BTreeSet<Vec<String>> {
    let quoted = text.split('`').skip(1).step_by(2).flat_map(str::lines);
    let is_verb = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let verbs = |line: &str| -> Option<Vec<String>> {
        let rest = line.trim().strip_prefix("orca ")?;
        let words = rest.split_whitespace().take_while(|word| !word.starts_with('-'));
        let verbs: Vec<String> = words.take_while(is_verb).map(str::to_owned).collect();
        (!verbs.is_empty()).then_some(verbs)
    };
    quoted.filter_map(verbs).collect()
}

#[test]
fn story_l_what_the_readme_names_exists() {
    let world = World::new();
    let named = commands(&readme());
    assert!(named.len() >= 10, "{named:?}");
    for verbs in named {
        let args: Vec<&str> = verbs.iter().map(String::as_str).chain(["--help"]).collect();
        let help = world.orca(&args).expect_code(0);
        assert!(help.stdout.contains("Usage: orca"), "{verbs:?}");
    }
}

#[test]
fn story_l_the_two_commands_are_targets() {
    for target in ["demo", "test"] {
        assert!(readme().contains(&format!("make {target} ")), "{target}");
        let mut make = Command::new("make");
        make.args(["--dry-run", target]).current_dir(env!("CARGO_MANIFEST_DIR"));
        Run::of(make).expect_code(0);
    }
}

/// The way of a newcomer, each step in the order in which one would type it: first too early, in an
/// empty folder and in an empty repository, then with a service that was set up and never deployed.
#[test]
fn story_l_every_failure_names_the_next_command() {
    let typed: [&[&str]; 12] = [
        &["release", "tag", "--rc"],
        &["release", "status"],
        &["preflight"],
        &["load", "--rate", "10/s", "--duration", "200ms", "--target", "http://127.0.0.1:1"],
        &["canary", "start", "--deployment-url", "http://127.0.0.1:1"],
        &["canary", "resume"],
        &["canary", "abort"],
        &["promote", "--rc", "v9.9.9-rc.1"],
        &["rollback", "--reason", "checkout is down"],
        &["evidence", "generate", "--tag", "v9.9.9"],
        &["evidence", "verify", "nothing.zip"],
        &["explain", "nonsense"],
    ];
    let mut failures = 0;
    let mut walk = |world: &World| {
        for args in typed {
            let run = world.orca(args);
            failures += usize::from(run.code != Some(0));
            names_the_next_command(world, args, &run);
        }
    };
    walk(&World::new());
    let empty = World::new();
    empty.git(&["init", "--quiet"]);
    walk(&empty);
    let set_up = World::repository();
    set_up.orca(&["init"]).expect_code(0);
    set_up.commit("chore: set up orca");
    set_up.bare_remote();
    walk(&set_up);
    assert!(failures > 20, "only {failures} commands failed");
}

#[track_caller]
fn names_the_next_command(world: &World, args: &[&str], run: &Run) {
    assert_ne!(run.code, Some(70), "{args:?}: {run:#?}");
    if run.code == Some(0) {
        return;
    }
    let said = format!("{}{}", run.stdout, run.stderr);
    let codes: BTreeSet<&str> = said
        .match_indices("ORCA-")
        .filter_map(|(at, _)| said.get(at..at + "ORCA-0000".len()))
        .collect();
    assert!(!codes.is_empty(), "{args:?} names no code: {run:#?}");
    for code in codes {
        world.orca(&["explain", code]).expect_code(0);
    }
    let command = |line: &str| {
        let line = line.trim().trim_start_matches("help: ");
        ["orca ", "git ", "openssl ", "curl ", "export ", "set "]
            .iter()
            .any(|start| line.starts_with(start))
    };
    assert!(said.lines().any(command), "{args:?} names no next command: {run:#?}");
}
