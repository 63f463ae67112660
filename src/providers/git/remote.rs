//! The ledger's way to the remote: the user's own `git`, so that every credential set-up works.
//! Pushing without force, or with an expected old value, is a compare-and-swap.

use super::command::{GitError, Output};
use super::objects::{FETCHED, FETCHED_LEASES, GitStorage};
use crate::base::limits;
use crate::ledger::ports::{Remote, Result, Storage as _, StorageError, Swap};

/// Hooks of this clone are for people's work; one that hangs must not hold the ledger up.
pub(super) const NO_HOOKS: &str = "core.hooksPath=/dev/null";

/// Which old value a push relies on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Expect<'a> {
    /// Anything that the new value goes on from.
    Ancestor,
    /// Exactly this, or nothing.
    Exactly(Option<&'a str>),
}

impl GitStorage {
    /// Fetches ledger and leases. What the remote no longer has is forgotten here too.
    pub(super) fn fetch_remote(&self) -> Result<Remote> {
        let Some(remote) = &self.remote else { return Ok(Remote::None) };
        // A pattern, because a plain name that the remote lacks is an error.
        let ledger = format!("+refs/orca/ledger*:{FETCHED}*");
        let leases = format!("+refs/orca/lease/*:{FETCHED_LEASES}*");
        let args = [
            "-c",
            NO_HOOKS,
            "fetch",
            "--quiet",
            "--no-tags",
            "--prune",
            "--no-write-fetch-head",
            "--recurse-submodules=no",
            "--end-of-options",
            remote,
            &ledger,
            &leases,
        ];
        let output = self.git.try_run(&args, limits::GIT_REMOTE);
        let output = output.map_err(|e| unavailable(remote, &e))?;
        if output.success {
            return self.fetched();
        }
        if let Some(damaged) = self.damaged_ref() {
            return Err(damaged);
        }
        Err(StorageError::RemoteUnavailable {
            remote: remote.clone(),
            detail: first_lines(&output.stderr),
        })
    }

    /// Pushes `object` to `name`: as long as it goes on from what is there, or, with
    /// [`Expect::Exactly`], as long as exactly that is there.
    pub(super) fn push_to(&self, name: &str, object: &str, expect: Expect<'_>) -> Result<Swap> {
        let Some(remote) = &self.remote else { return Ok(Swap::Done) };
        let refspec = format!("{object}:{name}");
        let lease = match expect {
            Expect::Ancestor => None,
            Expect::Exactly(old) => {
                Some(format!("--force-with-lease={name}:{}", old.unwrap_or("")))
            }
        };
        let mut args =
            vec!["-c", NO_HOOKS, "push", "--no-verify", "--porcelain", "--recurse-submodules=no"];
        args.extend(lease.as_deref());
        args.extend(["--end-of-options", remote, &refspec]);
        let output = self.git.try_run(&args, limits::GIT_REMOTE);
        let output = output.map_err(|e| unavailable(remote, &e))?;
        if output.success { Ok(Swap::Done) } else { refused(remote, &output) }
    }
}

/// Whether a push was too late, or was not wanted at all.
fn refused(remote: &str, output: &Output) -> Result<Swap> {
    let text = output.text();
    let remote = remote.to_owned();
    let Some(line) = text.lines().find(|line| line.starts_with('!')) else {
        let detail = first_lines(&output.stderr);
        return Err(StorageError::RemoteUnavailable { remote, detail });
    };
    let raced = [
        "cannot lock ref",
        "failed to update ref",
        "incorrect old value",
        "reference already exists",
    ];
    if !line.contains("[remote rejected]") || raced.iter().any(|text| line.contains(text)) {
        return Ok(Swap::Lost);
    }
    let detail =
        format!("{}; {}", line.trim_start_matches('!').trim(), first_lines(&output.stderr));
    Err(StorageError::RemoteRefused { remote, detail })
}

pub(super) fn unavailable(remote: &str, error: &GitError) -> StorageError {
    StorageError::RemoteUnavailable { remote: remote.to_owned(), detail: error.to_string() }
}

pub(super) fn first_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).take(4).collect();
    lines.join("; ").chars().take(600).collect()
}
