//! What holds for every verb: help, exit codes, explanations, plain bytes in pipes.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::{Run, World};

/// The verbs of the main job, in the order in which a release meets them.
const MAIN_VERBS: [&str; 7] =
    ["release", "preflight", "load", "canary", "promote", "rollback", "evidence"];

fn error_codes() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    let files = std::fs::read_dir(folder).expect("the pages are in the checkout");
    let names = files.map(|file| {
        file.expect("the folder can be listed").file_name().to_string_lossy().into_owned()
    });
    names.filter_map(|name| name.strip_suffix(".md").map(str::to_owned)).collect()
}

/// Verbs as `orca --help` lists them.
fn verbs_shown(help: &str) -> Vec<&str> {
    let rows = help.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = rows.filter_map(|row| row.split_whitespace().next());
    names.filter(|name| name.starts_with(char::is_alphabetic) && *name != "help").collect()
}

#[test]
fn version_names_the_program_and_its_version() {
    let run = World::new().orca(&["--version"]).expect_code(0);
    assert_eq!(run.stdout, format!("orca {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(run.stderr, "");
}

/// Verbs may still be missing; those that exist stand in the order of a release.
#[test]
fn help_shows_the_main_verbs_first_and_in_order() {
    let run = World::new().orca(&["--help"]).expect_code(0);
    let shown = verbs_shown(&run.stdout);
    let main: Vec<&str> = shown.iter().copied().filter(|verb| MAIN_VERBS.contains(verb)).collect();
    let wanted: Vec<&str> = MAIN_VERBS.into_iter().filter(|verb| main.contains(verb)).collect();
    assert_eq!(main, wanted);
    assert_eq!(shown[..main.len()], main[..], "other verbs stand below");
}

#[test]
fn usage_errors_exit_2_and_name_the_next_command() {
    let world = World::new();
    for args in [&["--no-such-flag"][..], &["no-such-verb"], &["explain", "--no-such-flag"]] {
        let run = world.orca(args).expect_code(2);
        assert_eq!(run.stdout, "", "{args:?}");
        assert!(run.stderr.contains("orca explain ORCA-1001"), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn explain_knows_every_code() {
    let world = World::new();
    for code in error_codes() {
        let run = world.orca(&["explain", &code]).expect_code(0);
        assert!(run.stdout.contains(&code), "{}", run.stdout);
        assert!(run.stdout.to_lowercase().contains("what to do"), "{}", run.stdout);
        let json = world.orca(&["explain", &code, "--json"]).expect_code(0).json();
        assert!(json["schema"].is_string(), "{json}");
    }
    assert!(error_codes().len() > 30, "the pages are where this test looks");
}

#[test]
fn explain_of_something_unknown_is_a_usage_error() {
    let world = World::new();
    let run = world.orca(&["explain", "ORCA-0000"]).expect_code(2);
    assert!(run.stderr.contains("ORCA-1003"), "{}", run.stderr);
    let json = world.orca(&["explain", "ORCA-0000", "--json"]).expect_code(2).json();
    assert_eq!(json["schema"], "orca.failure/v1");
    assert_eq!(json["exit"], 2);
}

/// Every code that any page sends its reader to is explained too.
#[test]
fn pages_lead_only_to_codes_that_exist() {
    let known = error_codes();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    for code in &known {
        let text = std::fs::read_to_string(folder.join(format!("{code}.md"))).unwrap();
        for (at, _) in text.match_indices("ORCA-") {
            let named = &text[at..(at + 9).min(text.len())];
            assert!(known.contains(named), "docs/errors/{code}.md names {named}");
        }
    }
}

#[test]
fn a_pipe_gets_plain_text_even_when_colour_is_not_refused() {
    let world = World::new();
    for args in [&["--help"][..], &["explain", "ORCA-1001"], &["--no-such-flag"]] {
        let mut command = world.command(args);
        command.env_remove("NO_COLOR").env("TERM", "xterm-256color");
        let run = Run::of(command);
        assert!(!run.stdout.contains('\u{1b}'), "{args:?}: {}", run.stdout);
        assert!(!run.stderr.contains('\u{1b}'), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn help_fits_a_narrow_terminal() {
    let world = World::new();
    let help = world.orca(&["--help"]).expect_code(0).stdout;
    let verbs = verbs_shown(&help).into_iter().map(|verb| vec![verb, "--help"]);
    for args in [vec!["--help"]].into_iter().chain(verbs) {
        let mut command = world.command(&args);
        command.env("COLUMNS", "60");
        let run = Run::of(command).expect_code(0);
        for line in run.stdout.lines().filter(|line| !line.starts_with("Usage:")) {
            assert!(line.chars().count() <= 60, "{args:?}: '{line}'");
        }
    }
}

#[test]
fn two_runs_print_the_same_bytes() {
    for args in [&["--help"][..], &["explain", "ORCA-1102"], &["completions", "bash"], &["man"]] {
        let first = World::new().orca(args).expect_code(0);
        assert_eq!(first, World::new().orca(args), "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_does_not_change_the_exit_code() {
    let world = World::new();
    let mut command = world.command(&["completions", "bash"]);
    command.stdin(std::process::Stdio::null()).stderr(std::process::Stdio::piped());
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(Run::from(output).expect_code(0).stderr, "");
}
