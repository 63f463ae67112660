//! Whether this machine itself stood still: stopped, suspended, or without a processor for its
//! thread. A beat that comes late says so whatever else is waited for, also when every connection
//! waits for the target.

use std::time::{Duration, Instant};

/// How often it beats. What is shorter can pass between two beats and is not seen.
const BEAT: Duration = Duration::from_millis(100);
/// A beat this much late is a standstill; less is a busy machine, which late starts tell of.
const LATE: Duration = Duration::from_millis(100);

/// One thread's pulse.
#[derive(Debug)]
pub(super) struct Pulse {
    due: Instant,
    /// How long it stood still so far, in microseconds.
    pub(super) stood_still_us: u64,
}

impl Pulse {
    /// Beats from `start` on.
    pub(super) fn new(start: Instant) -> Self {
        Self { due: start + BEAT, stood_still_us: 0 }
    }

    /// When it beats next.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Looks at the clock; says whether the thread stood still until `now`.
    pub(super) fn beat(&mut self, now: Instant) -> bool {
        let Some(late) = now.checked_duration_since(self.due) else { return false };
        self.due = now + BEAT;
        if late < LATE {
            return false;
        }
        let late_us = u64::try_from(late.as_micros()).unwrap_or(u64::MAX);
        self.stood_still_us = self.stood_still_us.saturating_add(late_us);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn only_a_beat_that_is_far_too_late_is_a_standstill() {
        let start = clock::monotonic();
        let at = |ms| start + Duration::from_millis(ms);
        let mut pulse = Pulse::new(start);
        for (ms, is_still, total_ms) in [
            // Before it is due, as at the end of a run.
            (40, false, 0),
            (100, false, 0),
            (299, false, 0),
            (499, true, 100),
            (599, false, 100),
            (2_700, true, 2_101),
            (2_800, false, 2_101),
        ] {
            let stood_still = pulse.beat(at(ms));
            assert_eq!((stood_still, pulse.stood_still_us), (is_still, total_ms * 1_000), "{ms}");
        }
    }
}
