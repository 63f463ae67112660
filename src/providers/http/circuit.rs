//! A server that fails call after call is left alone for a moment, by every call of one verb.
//!
//! Clones share what they know. After the pause one call goes out to see; the others wait for what
//! it finds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row after which a server is left alone.
const FAILURES_MAX: u32 = 5;
/// For how long.
const PAUSE: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Default)]
pub(super) struct Circuit {
    origins: Arc<Mutex<BTreeMap<String, Origin>>>,
}

#[derive(Debug)]
struct Origin {
    failures: u32,
    /// The last failure, or the last call that was let through to see.
    last: Instant,
}

impl Circuit {
    /// Whether a call may go out. The error is how many failed there in a row.
    pub(super) fn admit(&self, origin: &str, now: Instant) -> Result<(), u32> {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = origins.get_mut(origin) else { return Ok(()) };
        if known.failures < FAILURES_MAX {
            return Ok(());
        }
        if now.saturating_duration_since(known.last) < PAUSE {
            return Err(known.failures);
        }
        known.last = now;
        Ok(())
    }

    /// What became of a call.
    pub(super) fn note(&self, origin: &str, now: Instant, is_up: bool) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        if is_up {
            origins.remove(origin);
            return;
        }
        let known = origins.entry(origin.to_owned()).or_insert(Origin { failures: 0, last: now });
        known.failures = known.failures.saturating_add(1);
        known.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock;

    #[test]
    fn a_server_that_fails_is_left_alone_and_asked_once_later() {
        let (circuit, start) = (Circuit::default(), clock::monotonic());
        let at = |ms| start + Duration::from_millis(ms);
        for ms in 0..5 {
            assert_eq!(circuit.admit("a", at(ms)), Ok(()));
            circuit.clone().note("a", at(ms), false);
        }
        assert_eq!(circuit.admit("a", at(10)), Err(5));
        assert_eq!(circuit.admit("b", at(10)), Ok(()), "another server is another matter");
        assert_eq!(circuit.admit("a", at(3_004)), Ok(()), "one goes out to see");
        assert_eq!(circuit.admit("a", at(3_005)), Err(5), "the others wait for it");
        circuit.note("a", at(3_006), true);
        assert_eq!(circuit.admit("a", at(3_007)), Ok(()));
    }
}
