//! One run: parse, do, print once, return the exit code. A panic is exit 70, and a reader that has
//! gone away (EPIPE) changes nothing.

use std::ffi::OsString;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use clap::error::ErrorKind;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::command::{Cli, Command};
use super::context::Context;
use super::env::Env;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::render::{github, human};
use super::report::Report;
use crate::base::limits;
use crate::base::redact::Redactor;

/// Runs orca with the given arguments (the first is the program) and returns its exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let env = Env::read();
    if let Some(spec) = env.crash_point() {
        crate::base::crash_point::arm(spec);
    }
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, &env.redactor()),
    };
    speak(&env);
    panics(env.redactor());
    let context = context(&cli, env);
    trust_also(&context);
    let verb = cli.command.name();
    let outcome =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drive(cli.command, &context)))
            .unwrap_or_else(|_| {
                let text = "orca met a state that it holds impossible; nothing more was done";
                Err(Failure::new(Code::Bug, Exit::Bug, text)
                    .hint("orca release status shows what is known of traffic")
                    .hint("report the lines above"))
            });
    finish(&context, verb, &outcome)
}

/// `ORCA_CA_FILE`: authorities beside the machine's own. A file that cannot be used is said and
/// stops nothing: a rollback may not need it, and whatever does fails at its own call.
fn trust_also(context: &Context) {
    let Some(file) = context.env.get("ORCA_CA_FILE") else { return };
    if let Err(why) = crate::base::tls::also_trust(&context.folder.join(file)) {
        context.warn(format!("ORCA_CA_FILE: {file} is not used: {why}"));
    }
}

fn drive(command: Command, context: &Context) -> Result<Report, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Code::Bug, Exit::Unavailable, format!("no runtime: {e}")))?;
    let result = runtime.block_on(async {
        watch_signals(&context.cancel);
        let outcome = stoppable(command, context).await;
        finish_last_work(&context.last_work, |text| context.say(text), |text| context.warn(text))
            .await;
        outcome
    });
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    result
}

/// A verb that does not decide itself what a signal means is dropped by it.
async fn stoppable(command: Command, context: &Context) -> Result<Report, Failure> {
    let owns_interrupts = command.owns_interrupts();
    let work = command.run(context);
    if owns_interrupts {
        return work.await;
    }
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(Failure::new(
            Code::Interrupted, Exit::Interrupted, "stopped by a signal before any change")),
        result = work => result,
    }
}

/// Another signal does not cut it short; it has an end of its own.
async fn finish_last_work(work: &TaskTracker, say: impl Fn(&str), warn: impl Fn(&str)) {
    work.close();
    let all = work.wait();
    tokio::pin!(all);
    if tokio::time::timeout(limits::LAST_WORK_UNSAID, &mut all).await.is_ok() {
        return;
    }
    say("takes back what this run made; please wait");
    if tokio::time::timeout(limits::LAST_WORK, all).await.is_err() {
        let (code, secs) = (Code::BranchLeft.as_str(), limits::LAST_WORK.as_secs());
        warn(&format!(
            "{code}: what this run made was not taken back within {secs} s; a preview branch may be \
             left, and costs money while it is there\n  look among the branches of the project in \
             the dashboard of Supabase for the name said above, and delete it\n  more: orca explain \
             {code}"
        ));
    }
}

/// Ctrl-C and SIGTERM set the token; what that means is the verb's business.
fn watch_signals(cancel: &CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let cancel = cancel.clone();
        if let Ok(mut stream) = signal(kind) {
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    cancel.cancel();
                }
            });
        }
    }
}

fn context(cli: &Cli, env: Env) -> Context {
    let stderr_is_terminal = std::io::stderr().is_terminal();
    let columns = env.columns().or_else(terminal_columns).unwrap_or(80);
    Context {
        folder: cli.folder.clone().unwrap_or_else(|| std::path::PathBuf::from(".")),
        config: cli.config.clone(),
        clock: env.clock(),
        entropy: env.entropy(),
        redactor: env.redactor(),
        cancel: CancellationToken::new(),
        last_work: TaskTracker::new(),
        json: cli.json,
        live: stderr_is_terminal && !env.is_ci() && !env.wants_no_colour(),
        columns,
        env,
    }
}

fn terminal_columns() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns >= 20)
}

/// Lines on standard error, as they are; writing them never fails the run.
fn speak(env: &Env) {
    use tracing_subscriber::filter::{LevelFilter, Targets};
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let level = if env.get("RUNNER_DEBUG") == Some("1") || env.get("ORCA_DEBUG").is_some() {
        LevelFilter::DEBUG
    } else {
        LevelFilter::INFO
    };
    let lines = tracing_subscriber::fmt::layer()
        .without_time()
        .with_level(false)
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(Lines { redactor: env.redactor() });
    let _ = tracing_subscriber::registry()
        .with(lines)
        .with(Targets::new().with_target("orca", level))
        .try_init();
}

/// Standard error for log lines: whatever library wrote them, secrets are masked.
struct Lines {
    redactor: Redactor,
}

impl<'a> tracing_subscriber::fmt::MakeWriter<'a> for Lines {
    type Writer = &'a Self;
    fn make_writer(&'a self) -> &'a Self {
        self
    }
}

impl std::io::Write for &Lines {
    /// Takes one whole line, as the subscriber writes them.
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        std::io::stderr().write_all(self.redactor.text(&text).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// What a panic says may hold anything.
fn panics(redactor: Redactor) {
    std::panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::capture();
        let trace = match trace.status() {
            std::backtrace::BacktraceStatus::Captured => trace.to_string(),
            _ => String::new(),
        };
        write_all(&mut std::io::stderr(), &redactor.text(&format!("{panic}\n{trace}")));
    }));
}

fn usage(error: &clap::Error, redactor: &Redactor) -> ExitCode {
    let text = error.render().to_string();
    let text = redactor.text(&text);
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            write_all(&mut std::io::stdout(), &text);
            ExitCode::from(Exit::Done.code())
        }
        _ => {
            write_all(&mut std::io::stderr(), &text);
            write_all(
                &mut std::io::stderr(),
                &format!("\nmore: orca explain {}\n", Code::Usage.as_str()),
            );
            ExitCode::from(Exit::Usage.code())
        }
    }
}

fn finish(context: &Context, verb: &str, outcome: &Result<Report, Failure>) -> ExitCode {
    let redact = |text: String| context.redactor.text(&text).into_owned();
    let exit = match outcome {
        Ok(report) => {
            let text = if context.json {
                format!("{:#}\n", context.redactor.json(report.json.clone()))
            } else {
                redact(human::report(report))
            };
            write_all(&mut std::io::stdout(), &text);
            github_files(context, verb, report);
            report.exit
        }
        Err(failure) => {
            write_all(&mut std::io::stderr(), &redact(human::failure(failure)));
            if context.json {
                let document =
                    serde_json::to_value(failure.document()).expect("a failure is plain data");
                write_all(
                    &mut std::io::stdout(),
                    &format!("{:#}\n", context.redactor.json(document)),
                );
            }
            if context.env.is_github_actions() {
                let annotation = github::failure_annotation(failure);
                write_all(&mut std::io::stderr(), &redact(github::annotations(&[annotation])));
            }
            failure.exit
        }
    };
    ExitCode::from(exit.code())
}

fn github_files(context: &Context, verb: &str, report: &Report) {
    if !context.env.is_github_actions() {
        return;
    }
    let redact = |text: String| context.redactor.text(&text).into_owned();
    if !context.json {
        write_all(&mut std::io::stdout(), &redact(github::annotations(&report.annotations)));
    }
    for (variable, text) in [
        ("GITHUB_OUTPUT", github::outputs(&report.outputs)),
        ("GITHUB_STEP_SUMMARY", github::summary(verb, report)),
    ] {
        let Some(path) = context.env.get(variable).filter(|_| !text.is_empty()) else { continue };
        let appended = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .and_then(|mut file| file.write_all(redact(text).as_bytes()));
        if let Err(error) = appended {
            context.warn(format!("{variable} ({path}) could not be written: {error}"));
        }
    }
}

/// Writes what it can: a reader that has gone away must not change the exit code.
fn write_all(stream: &mut impl std::io::Write, text: &str) {
    let _ = stream.write_all(text.as_bytes());
    let _ = stream.flush();
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn last_work_is_waited_for_and_never_given_up_in_silence() {
        let nothing = Duration::ZERO;
        let almost = limits::LAST_WORK;
        for (takes, lines) in [(nothing, 0), (almost, 1), (almost * 2, 2)] {
            let (work, said) = (TaskTracker::new(), RefCell::new(Vec::new()));
            work.spawn(tokio::time::sleep(takes));
            let note = |text: &str| said.borrow_mut().push(text.to_owned());
            finish_last_work(&work, note, note).await;
            let said = said.into_inner();
            assert_eq!(said.len(), lines, "{said:?}");
            if let Some(warning) = said.get(1) {
                assert!(warning.starts_with("ORCA-2046") && warning.contains("a preview branch"));
            }
        }
    }
}
