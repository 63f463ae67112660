//! Runs the user's own `git`: arguments as a list, no prompt, no standard input, a deadline, a cap
//! on output, and its own process group so that Ctrl-C cannot cut a push in half.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::base::{clock, limits};

/// What git could not do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    #[error("git was not found on PATH")]
    Missing,
    #[error("git {verb} could not be started: {source}")]
    Start { verb: String, source: std::io::Error },
    #[error("git {verb} did not end within {secs} s")]
    Timeout { verb: String, secs: u64 },
    #[error("git {verb} failed ({status}): {message}")]
    Failed { verb: String, status: String, message: String },
    #[error("git {verb} printed more than {max} bytes")]
    TooMuch { verb: String, max: usize },
}

/// What git printed.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
    pub(crate) success: bool,
    pub(crate) code: Option<i32>,
}

impl Output {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).trim_end().to_owned()
    }
}

/// `git` in one repository.
#[derive(Debug, Clone)]
pub(crate) struct Git {
    folder: PathBuf,
}

impl Git {
    pub(crate) fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs `git ARGS` and wants success.
    pub(crate) fn run(&self, args: &[&str], deadline: Duration) -> Result<Output, GitError> {
        let output = self.try_run(args, deadline)?;
        if output.success {
            return Ok(output);
        }
        let lines: Vec<&str> = output.stderr.lines().filter(|l| !l.trim().is_empty()).collect();
        Err(GitError::Failed {
            verb: verb_of(args),
            status: output.code.map_or("signal".to_owned(), |c| format!("exit {c}")),
            message: lines.join("; ").chars().take(600).collect(),
        })
    }

    /// Runs `git ARGS`; a failure of git itself comes back as `success: false`.
    pub(crate) fn try_run(&self, args: &[&str], deadline: Duration) -> Result<Output, GitError> {
        self.spawn_and_wait(args, deadline, Group::Own)
    }

    /// Like [`Git::run`] in the terminal's own process group: signing may need to ask for a
    /// passphrase there.
    pub(crate) fn run_interactive(
        &self,
        args: &[&str],
        deadline: Duration,
    ) -> Result<Output, GitError> {
        let output = self.spawn_and_wait(args, deadline, Group::Terminal)?;
        if output.success {
            return Ok(output);
        }
        let status = output.code.map_or("signal".to_owned(), |c| format!("exit {c}"));
        let message = output.stderr.trim().replace('\n', "; ");
        Err(GitError::Failed { verb: verb_of(args), status, message })
    }

    fn spawn_and_wait(
        &self,
        args: &[&str],
        deadline: Duration,
        group: Group,
    ) -> Result<Output, GitError> {
        let verb = verb_of(args);
        let mut command = self.command(args, group);
        let mut child = command.spawn().map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => GitError::Missing,
            _ => GitError::Start { verb: verb.clone(), source },
        })?;
        let stdout = read_aside(child.stdout.take());
        let stderr = read_aside(child.stderr.take());
        let Some(status) = wait_until(&mut child, deadline) else {
            end_group(&mut child, group);
            return Err(GitError::Timeout { verb, secs: deadline.as_secs() });
        };
        let stdout = stdout.join().unwrap_or_default();
        let stderr = stderr.join().unwrap_or_default();
        if stdout.len() > limits::GIT_OUTPUT_BYTES_MAX {
            return Err(GitError::TooMuch { verb, max: limits::GIT_OUTPUT_BYTES_MAX });
        }
        Ok(Output {
            stdout,
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            success: status.success(),
            code: status.code(),
        })
    }

    fn command(&self, args: &[&str], group: Group) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new("git");
        command
            .current_dir(&self.folder)
            .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
            .args(args.iter().map(OsString::from))
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if group == Group::Own {
            command.process_group(0);
        }
        command
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Own,
    Terminal,
}

fn verb_of(args: &[&str]) -> String {
    let mut skip = false;
    let verb = args.iter().find(|arg| {
        let value = std::mem::replace(&mut skip, **arg == "-c");
        !value && !arg.starts_with('-')
    });
    verb.map_or_else(String::new, |v| (*v).to_owned())
}

/// Reads a pipe on its own thread, up to one byte past the cap.
fn read_aside(
    pipe: Option<impl std::io::Read + Send + 'static>,
) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let cap = u64::try_from(limits::GIT_OUTPUT_BYTES_MAX).unwrap_or(u64::MAX) + 1;
            let _ = pipe.take(cap).read_to_end(&mut bytes);
        }
        bytes
    })
}

/// Waits with growing pauses of 0.2 ms to 10 ms: git often ends within two.
fn wait_until(child: &mut Child, deadline: Duration) -> Option<ExitStatus> {
    let started = clock::monotonic();
    let mut pause = Duration::from_micros(200);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status);
        }
        if started.elapsed() >= deadline {
            return None;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Ends the child and, in its own group, everything it started.
fn end_group(child: &mut Child, group: Group) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let (Group::Own, Some(pid)) = (group, pid) {
        let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_failed_and_stops_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let git = Git::in_folder(folder.path());
        let error = git.run(&["rev-parse", "HEAD"], limits::GIT_LOCAL).unwrap_err();
        assert!(error.to_string().starts_with("git rev-parse failed (exit 128)"), "{error}");
        git.run(&["init", "-q"], limits::GIT_LOCAL).unwrap();
        let slow = ["-c", "alias.wait=!sleep 30", "wait"];
        let error = git.run(&slow, Duration::from_millis(50)).unwrap_err();
        assert!(matches!(error, GitError::Timeout { verb, .. } if verb == "wait"));
    }
}
