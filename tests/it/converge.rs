//! Story K for `release tag --rc`: killed after any of its steps and run again, it ends where an
//! undisturbed run ends.

use crate::support::{Run, World};

/// How often each point may be met; an armed count that is never reached ends undisturbed, which
/// the last assertion takes into account.
const POINTS: [(&str, u32); 6] = [
    ("ChangelogWritten", 2),
    ("StepAfterIntent", 6),
    ("StepAfterApply", 6),
    ("TagCreated", 1),
    ("TagPushed", 1),
    ("LedgerAfterCommit", 14),
];

#[test]
fn story_k_a_killed_tag_converges() {
    let mut killed = 0;
    for (point, count) in POINTS {
        for number in 1..=count {
            killed += u32::from(killed_then_again(&format!("{point}:{number}")));
        }
    }
    assert!(killed >= 20, "only {killed} points were met");
}

/// Answers whether the armed point was met at all.
fn killed_then_again(armed: &str) -> bool {
    let world = World::repository();
    let remote = world.bare_remote();
    let tag = ["release", "tag", "--rc", "--json"];
    let mut command = world.command(&tag);
    command.env("ORCA_TEST_CRASH", armed);
    let first = Run::of(command);
    let met = first.code.is_none();
    if !met {
        assert_eq!(first.code, Some(0), "{armed}: {first:#?}");
    }

    let again = world.orca(&tag);
    assert_eq!(again.code, Some(0), "{armed}: {again:#?}");
    assert_eq!(again.json()["release"], "v1.1.0-rc.1", "{armed}");
    let head = world.git(&["rev-parse", "HEAD"]);
    let tagged = |folder: &[&str]| {
        world.git(&[folder, &["rev-parse", "v1.1.0-rc.1^{commit}", "main"]].concat())
    };
    let both = format!("{head}\n{head}");
    let shown = remote.to_str().expect("a plain name");
    assert_eq!(tagged(&[]), both, "{armed}");
    assert_eq!(tagged(&["--git-dir", shown]), both, "{armed}: the remote");
    assert_eq!(world.git(&["tag"]), "v1.0.0\nv1.1.0-rc.1", "{armed}");
    assert_eq!(world.git(&["status", "--short"]), "", "{armed}: a dirty tree");
    let changelog = world.git(&["show", "HEAD:CHANGELOG.md"]);
    assert_eq!(changelog.matches("\n## [1.1.0]").count(), 1, "{armed}: {changelog}");
    let releases = world.git(&["log", "--format=%s", "--grep=^chore(release)"]);
    assert_eq!(releases.lines().count(), 1, "{armed}: {releases}");
    met
}
