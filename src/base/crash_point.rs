//! Places where a test kills the process, to prove that the next run goes on from there.
//! In a release build every hit is nothing at all.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

/// Every journalled step of a verb that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum CrashPoint {
    LedgerBeforeCommit,
    LedgerAfterCommit,
    LedgerAfterPush,
    StepAfterIntent,
    StepAfterApply,
    StepAfterVerify,
    StepAfterOutcome,
    ChangelogWritten,
    TagCreated,
    TagPushed,
    PackWritten,
}

/// What a test asked for. Set once, by `cli`, in debug builds only.
static ARMED: OnceLock<Armed> = OnceLock::new();

enum Armed {
    /// Writes the name of every point that is met into a file, a line each.
    Record(PathBuf),
    /// Sends this process a signal at the count-th hit of a point.
    Signal { name: String, left: AtomicU32, signal: Signal },
}

/// Arms one point: `StepAfterApply:2` dies at its second hit, `StepAfterApply:2:stop` stops there
/// until somebody continues it, `record:FILE` lists what is met.
pub(crate) fn arm(spec: &str) {
    let (name, rest) = spec.split_once(':').unwrap_or((spec, "1"));
    let armed = if name == "record" {
        Armed::Record(rest.into())
    } else {
        let (count, signal) = match rest.split_once(':') {
            Some((count, "stop")) => (count, Signal::STOP),
            _ => (rest, Signal::KILL),
        };
        let left = AtomicU32::new(count.parse().unwrap_or(1));
        Armed::Signal { name: name.to_owned(), left, signal }
    };
    let _ = ARMED.set(armed);
}

/// Dies or stops here when this point is armed and its count is reached.
pub(crate) fn hit(point: CrashPoint) {
    if !cfg!(debug_assertions) {
        return;
    }
    match ARMED.get() {
        Some(Armed::Record(file)) => {
            let opened = std::fs::OpenOptions::new().create(true).append(true).open(file);
            let line = format!("{point:?}\n");
            let _ = opened.and_then(|mut file| file.write_all(line.as_bytes()));
        }
        Some(Armed::Signal { name, left, signal })
            if *name == format!("{point:?}") && left.fetch_sub(1, Ordering::SeqCst) == 1 =>
        {
            let _ = rustix::process::kill_process(rustix::process::getpid(), *signal);
        }
        None | Some(Armed::Signal { .. }) => {}
    }
}
