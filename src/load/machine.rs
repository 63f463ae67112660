//! What the system says about this process. No policy.

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// CPU time this process has used so far, user and kernel, all threads, in microseconds.
pub(crate) fn cpu_us() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let secs = u64::try_from(used.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000) + u64::try_from(used.tv_nsec).unwrap_or(0) / 1_000
}

/// How long the calling thread has been running or waiting for a core, in microseconds. What is
/// left of the wall clock it has rested. Where the system does not tell the waiting, running alone.
pub(crate) fn thread_busy_us() -> u64 {
    scheduled_us().unwrap_or_else(|| {
        let ran = clock_gettime(ClockId::ThreadCPUTime);
        let secs = u64::try_from(ran.tv_sec).unwrap_or(0);
        secs.saturating_mul(1_000_000) + u64::try_from(ran.tv_nsec).unwrap_or(0) / 1_000
    })
}

/// From Linux: nanoseconds run, nanoseconds waited, turns.
fn scheduled_us() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let mut fields = text.split_ascii_whitespace().map(str::parse::<u64>);
    let (ran, waited) = (fields.next()?.ok()?, fields.next()?.ok()?);
    // A kernel without these counters shows zeros.
    (ran > 0).then_some(ran.saturating_add(waited) / 1_000)
}

/// How many files this process may open; nothing when unlimited.
pub(crate) fn file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// How many workers make sense: one a core, never more than `connections`.
pub(crate) fn workers(connections: u32) -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(1).min(connections).max(1)
}
