//! Runs one of the user's commands: arguments as a list and no shell, an environment of named
//! variables only, a deadline, a cap on output, and a process group of its own that ends with it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::base::limits;
use crate::base::redact::Redactor;

/// Where commands run.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings {
    /// Programs with a slash in their name are looked for from here.
    pub(crate) folder: PathBuf,
    /// All that a command sees of the environment.
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) redactor: Redactor,
}

/// A command that ended by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ran {
    /// Nothing when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    /// Its last lines, redacted.
    pub(crate) stderr: Vec<String>,
}

/// A command that did not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RunError {
    /// It never ran.
    #[error("'{program}' cannot be started: {cause}")]
    Start { program: String, cause: String },
    #[error("'{program}' did not end within {secs} s and was killed{stderr}")]
    Deadline { program: String, secs: u64, stderr: String },
    #[error("'{program}' printed more than {max} bytes")]
    TooMuch { program: String, max: usize },
    #[error("'{program}' was lost: {cause}")]
    Lost { program: String, cause: String },
}

/// Lines of standard error that people are shown.
const LINES_MAX: usize = 20;
/// How long output is waited for after the end: something it started may still hold the pipe.
const PIPES: Duration = Duration::from_millis(500);

impl Surroundings {
    /// Runs `argv` with `input` and waits for its end, at most `deadline`.
    pub(crate) async fn run(
        &self,
        argv: &[String],
        input: Vec<u8>,
        deadline: Duration,
    ) -> Result<Ran, RunError> {
        let program = argv.first().cloned().unwrap_or_default();
        let mut child = self.command(argv).spawn().map_err(|error| RunError::Start {
            program: program.clone(),
            cause: error.to_string(),
        })?;
        let group = Group::of(&child);
        if let Some(mut stdin) = child.stdin.take() {
            // A command that does not read it may have ended already.
            tokio::spawn(async move {
                let _ = stdin.write_all(&input).await;
            });
        }
        let out = Pipe::read(child.stdout.take());
        let err = Pipe::read(child.stderr.take());
        let ended = tokio::time::timeout(deadline, child.wait()).await;
        let Ok(ended) = ended else {
            drop(group);
            let lines = self.lines(&err.bytes().await);
            let stderr = lines.last().map(|line| format!("; it said: {line}")).unwrap_or_default();
            return Err(RunError::Deadline { program, secs: deadline.as_secs(), stderr });
        };
        group.leave();
        let status: ExitStatus =
            ended.map_err(|e| RunError::Lost { program: program.clone(), cause: e.to_string() })?;
        let (stdout, stderr) = tokio::join!(out.bytes(), err.bytes());
        if stdout.len() > limits::EXEC_OUTPUT_BYTES_MAX {
            return Err(RunError::TooMuch { program, max: limits::EXEC_OUTPUT_BYTES_MAX });
        }
        Ok(Ran { code: status.code(), stdout, stderr: self.lines(&stderr) })
    }

    fn command(&self, argv: &[String]) -> Command {
        let (program, args) = argv.split_first().map_or(("", argv), |(p, rest)| (p.as_str(), rest));
        let program =
            if program.contains('/') { self.folder.join(program) } else { PathBuf::from(program) };
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(&self.folder)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        command
    }

    fn lines(&self, bytes: &[u8]) -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        let text = self.redactor.text(&text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let from = lines.len().saturating_sub(LINES_MAX);
        lines[from..].iter().map(|line| line.chars().take(400).collect()).collect()
    }
}

/// Ends everything a command started, unless it is left: a dropped run must leave nothing behind.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self(id.and_then(Pid::from_raw))
    }

    /// The command ended by itself: what it left running is its own affair.
    fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

/// What comes through a pipe, up to one byte past the cap, readable before it closes.
struct Pipe {
    kept: Arc<Mutex<Vec<u8>>>,
    reading: JoinHandle<()>,
}

impl Pipe {
    fn read(pipe: Option<impl AsyncRead + Unpin + Send + 'static>) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&kept);
        let reading = tokio::spawn(async move {
            let Some(mut pipe) = pipe else { return };
            let mut chunk = [0; 8 * 1024];
            while let Ok(count) = pipe.read(&mut chunk).await {
                if count == 0 {
                    break;
                }
                let mut kept = own.lock().unwrap_or_else(PoisonError::into_inner);
                let room = (limits::EXEC_OUTPUT_BYTES_MAX + 1).saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..count.min(room)]);
            }
        });
        Self { kept, reading }
    }

    async fn bytes(self) -> Vec<u8> {
        let mut reading = self.reading;
        if tokio::time::timeout(PIPES, &mut reading).await.is_err() {
            reading.abort();
        }
        std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
