//! Which clients that left count against their version.
//!
//! By itself it says nothing that somebody leaves before the answer began: people stop loading
//! pages, and programs have limits of their own. Whoever had waited a second at least, and longer
//! than 999 in 1,000 answers of the base take, says that the version hangs. So of a version that is
//! no slower than the base at most one request in a thousand counts, however its clients behave.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::clock;

use super::metrics::{Shard, slow_us};
use super::split::Source;

/// Nobody who waited less is said to have given up.
const LEAST: Duration = Duration::from_secs(1);
/// How long it stays known what is slow.
const KNOWN_FOR: Duration = Duration::from_secs(1);

/// What was slow when somebody last asked, for users and probes apart.
#[derive(Debug, Default)]
pub(super) struct Patience([Mutex<Option<Known>>; 2]);

#[derive(Debug, Clone, Copy)]
struct Known {
    since: Instant,
    slow_us: Option<u64>,
}

impl Patience {
    /// Whether whoever left after `waited` had reason to give up.
    pub(super) fn is_over(&self, waited: Duration, shards: &[Arc<Shard>], source: Source) -> bool {
        if waited < LEAST {
            return false;
        }
        let mut known = self.0[source as usize].lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::monotonic();
        let is_old = |known: &Known| now.saturating_duration_since(known.since) >= KNOWN_FOR;
        if known.as_ref().is_none_or(is_old) {
            let slow_us = slow_us(shards.iter().map(AsRef::as_ref), source);
            *known = Some(Known { since: now, slow_us });
        }
        let slow_us = known.and_then(|known| known.slow_us);
        slow_us.is_some_and(|slow_us| waited > Duration::from_micros(slow_us))
    }
}
