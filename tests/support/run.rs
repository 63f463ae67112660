//! A command that ended, and one that still runs. Nothing outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How long any one command may take before the test gives up on it.
const DEADLINE: Duration = Duration::from_mins(2);

/// A command that ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Absent when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// Runs `command` to its end without input.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let outputs = [drain(child.stdout.take()), drain(child.stderr.take())];
        let texts = outputs.map(|output| {
            output.recv_timeout(DEADLINE).unwrap_or_else(|_| {
                let _ = child.kill();
                panic!("{command:?} did not end within {DEADLINE:?}")
            })
        });
        let status = child.wait().expect("a child can be waited for");
        let [stdout, stderr] = texts;
        Self { code: status.code(), stdout, stderr }
    }

    /// The JSON document on stdout.
    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e} in {self:#?}"))
    }

    /// Says everything when the exit code is another one.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

/// Runs a load until this machine kept up with it: one that came too late, or sent too little in its
/// time, decides nothing, so it runs again a little later, as a person would do it, but not for ever.
pub(crate) fn keeping_up(mut load: impl FnMut() -> Run) -> Run {
    let too_slow = |run: &Run| {
        let said = |text| run.stdout.contains(text) || run.stderr.contains(text);
        let reasons = ["could not keep up", "cannot decide", "would decide"];
        run.code == Some(3) && reasons.into_iter().any(said)
    };
    let mut run = load();
    for _attempt in 0..30 {
        if !too_slow(&run) {
            break;
        }
        thread::sleep(Duration::from_secs(1));
        run = load();
    }
    run
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    let mut pipe = pipe.expect("the pipe was asked for");
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        let _ = send.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    receive
}

/// A command that runs beside the test; killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (send, lines) = mpsc::channel();
        let stdout: Box<dyn Read + Send> = Box::new(child.stdout.take().expect("stdout is piped"));
        let stderr: Box<dyn Read + Send> = Box::new(child.stderr.take().expect("stderr is piped"));
        for pipe in [stdout, stderr] {
            let send = send.clone();
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    // Nobody may be listening any more; the pipe is drained all the same.
                    let _ = send.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// The first line on stdout or stderr that contains `text`.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        self.line_or_end(text).unwrap_or_else(|seen| panic!("no line with '{text}' in:\n{seen}"))
    }

    /// The same, or all that it said where it ended, or said nothing for too long.
    pub(crate) fn line_or_end(&self, text: &str) -> Result<String, String> {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            if line.contains(text) {
                return Ok(line);
            }
            seen.push(line);
        }
        Err(seen.join("\n"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `INT`, `TERM`, `KILL` or another signal.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status();
        assert!(sent.expect("kill is everywhere").success(), "SIG{name} to {id}");
    }

    /// Waits for its end. What it printed stands in order of arrival, in `stdout`.
    #[track_caller]
    pub(crate) fn end(mut self) -> Run {
        let mut stdout = String::new();
        loop {
            match self.lines.recv_timeout(DEADLINE) {
                Ok(line) => stdout.extend([line.as_str(), "\n"]),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("did not end; it said:\n{stdout}"),
            }
        }
        let status = self.child.wait().expect("a child can be waited for");
        Run { code: status.code(), stdout, stderr: String::new() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
