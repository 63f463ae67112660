//! The demo's repository: a small service with a believable history, and a remote beside it.

use std::path::Path;

use crate::base::atomic_file;
use crate::base::limits;
use crate::cli::failure::Failure;
use crate::cli::wire::Git;

/// Commits before the first release of the demo.
const HISTORY: [(&str, &str); 5] = [
    ("feat: list agents with their trust score", "agents"),
    ("feat(checkout): take payments", "checkout"),
    ("fix(trust): do not divide by zero for new agents", "trust"),
    ("docs: say how scores are computed", "docs"),
    ("chore: initial deployment", "deploy"),
];

/// Commits that become the good release.
pub(crate) const GOOD: [(&str, &str); 3] = [
    ("feat(agents): filter by region", "agents"),
    ("fix(checkout): round amounts half to even", "checkout"),
    ("perf(trust): cache scores for a minute", "trust"),
];

/// Commits that become the bad release.
pub(crate) const BAD: [(&str, &str); 2] = [
    ("feat(checkout): ask the new fraud service", "checkout"),
    ("fix(agents): keep the order stable", "agents"),
];

/// Commits of the release whose canary loses its process.
pub(crate) const LEFT_ALONE: [(&str, &str); 1] =
    [("feat(trust): explain a score in one sentence", "trust")];

/// A new repository with its history, its release v1.3.0 and a bare remote.
pub(crate) fn create(folder: &Path, remote: &Path) -> Result<Git, Failure> {
    let git = Git::in_folder(folder);
    let run = |args: &[&str]| git.run(args, limits::GIT_LOCAL).map(|_| ());
    let bare = remote.to_string_lossy().into_owned();
    run(&["init", "--quiet", "--initial-branch=main"])?;
    run(&["init", "--quiet", "--bare", "--initial-branch=main", &bare])?;
    for (key, value) in [
        ("user.name", "Demo"),
        ("user.email", "demo@localhost"),
        ("commit.gpgSign", "false"),
        ("tag.gpgSign", "false"),
        ("core.hooksPath", ".no-hooks"),
    ] {
        run(&["config", key, value])?;
    }
    run(&["remote", "add", "origin", &bare])?;
    for (subject, part) in HISTORY {
        commit(&git, subject, part)?;
    }
    run(&["tag", "--annotate", "v1.3.0", "--message", "v1.3.0"])?;
    push(&git)?;
    Ok(git)
}

/// Adds commits of the given subjects.
pub(crate) fn add(git: &Git, commits: &[(&str, &str)]) -> Result<(), Failure> {
    for (subject, part) in commits {
        commit(git, subject, part)?;
    }
    push(git)
}

/// Commits `bytes` as `path`.
pub(crate) fn add_file(git: &Git, path: &str, text: &str, subject: &str) -> Result<(), Failure> {
    write(git, path, text)?;
    git.run(&["add", "--", path], limits::GIT_LOCAL)?;
    git.run(&["commit", "--quiet", "--message", subject], limits::GIT_LOCAL)?;
    Ok(())
}

pub(crate) fn push(git: &Git) -> Result<(), Failure> {
    git.run(&["push", "--quiet", "--follow-tags", "origin", "main"], limits::GIT_PUSH)?;
    Ok(())
}

/// The commit that `name` stands for.
pub(crate) fn commit_of(git: &Git, name: &str) -> Result<String, Failure> {
    let name = format!("{name}^{{commit}}");
    Ok(git.run(&["rev-parse", "--verify", &name], limits::GIT_LOCAL)?.text())
}

fn commit(git: &Git, subject: &str, part: &str) -> Result<(), Failure> {
    let path = format!("src/{part}.txt");
    let before = atomic_file::read_text(&git.folder().join(&path), limits::INPUT_FILE_BYTES_MAX)
        .unwrap_or_default();
    add_file(git, &path, &format!("{before}{subject}\n"), subject)
}

fn write(git: &Git, path: &str, text: &str) -> Result<(), Failure> {
    let path = git.folder().join(path);
    atomic_file::write(&path, text.as_bytes()).map_err(|error| super::stage::file(&path, &error))
}
