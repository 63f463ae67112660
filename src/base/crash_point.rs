//! Places where a test kills the process, to prove that the next run goes on from there.
//! In a release build every hit is nothing at all.

use std::sync::OnceLock;

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

/// `name:count`: die at the count-th hit of that point. Set once, by `cli`, in debug builds only.
static ARMED: OnceLock<(String, std::sync::atomic::AtomicU32)> = OnceLock::new();

/// Arms one point: `StepAfterApply:2` dies at the second hit.
pub(crate) fn arm(spec: &str) {
    let (name, count) = spec.split_once(':').unwrap_or((spec, "1"));
    let count = count.parse().unwrap_or(1);
    let _ = ARMED.set((name.to_owned(), std::sync::atomic::AtomicU32::new(count)));
}

/// Dies here by SIGKILL when this point is armed and its count is reached.
pub(crate) fn hit(point: CrashPoint) {
    if !cfg!(debug_assertions) {
        return;
    }
    let Some((name, left)) = ARMED.get() else {
        return;
    };
    if *name == format!("{point:?}") && left.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) == 1
    {
        let own = rustix::process::getpid();
        let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
    }
}
