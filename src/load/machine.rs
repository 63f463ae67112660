//! What the system says about this process. No policy.

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// CPU time this process has used so far, user and kernel, all threads, in microseconds.
pub(crate) fn cpu_us() -> u64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    let secs = u64::try_from(used.tv_sec).unwrap_or(0);
    secs.saturating_mul(1_000_000) + u64::try_from(used.tv_nsec).unwrap_or(0) / 1_000
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
