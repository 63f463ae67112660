//! Waiting for a state instead of for a time.

use std::thread;
use std::time::{Duration, Instant};

const POLL: Duration = Duration::from_millis(5);

/// Asks `is_so` until it says yes; panics with `what` after `deadline`. Choose the deadline ten
/// times longer than it should take: only a broken program waits for it.
pub(crate) fn wait_until(what: &str, deadline: Duration, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < deadline, "waited {deadline:?} for: {what}");
        thread::park_timeout(POLL);
    }
}
