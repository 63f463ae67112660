//! What paired load has got from both arms so far. Grows while the load runs; the stage is judged
//! by it where the platform itself counts nothing.

use std::sync::{Arc, Mutex, PoisonError};

use super::ports::{Arm, SourceSamples};
use super::samples::{ArmSeen, StageSeen};

/// Shared by who sends the load and who judges it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    base: SourceSamples,
    canary: SourceSamples,
    /// Of the arm that is measured longer.
    duration_us: u64,
}

impl Tally {
    /// More answers of one arm, and for how long it has been asked by now.
    pub(crate) fn add(&self, arm: Arm, more: &SourceSamples, duration_us: u64) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counted.duration_us = counted.duration_us.max(duration_us);
        let own = match arm {
            Arm::Base => &mut counted.base,
            Arm::Canary => &mut counted.canary,
        };
        own.requests = own.requests.saturating_add(more.requests);
        own.latency.merge(&more.latency);
        for (kind, count) in &more.errors_by_kind {
            let known = own.errors_by_kind.entry(kind.clone()).or_insert(0);
            *known = known.saturating_add(*count);
        }
    }

    /// All of it so far.
    pub(crate) fn seen(&self) -> StageSeen {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = SourceSamples::default();
        StageSeen {
            base: ArmSeen::between(&nothing, &counted.base),
            canary: ArmSeen::between(&nothing, &counted.canary),
            duration_us: counted.duration_us,
            uncounted: false,
            recent: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::base::histogram::Histogram;

    #[test]
    fn seconds_add_up_arm_by_arm() {
        let tally = Tally::default();
        let second = |requests, failed| {
            let mut latency = Histogram::default();
            latency.record_many(1_000, requests - failed);
            let errors_by_kind = BTreeMap::from([("status_5xx".to_owned(), failed)]);
            SourceSamples { requests, errors_by_kind, latency, sticky_keys: 0, visits: None }
        };
        tally.add(Arm::Base, &second(10, 0), 1_000_000);
        tally.add(Arm::Canary, &second(10, 4), 1_000_000);
        tally.add(Arm::Canary, &second(10, 3), 2_000_000);
        let seen = tally.seen();
        assert_eq!((seen.base.requests, seen.base.errors), (10, 0));
        assert_eq!((seen.canary.requests, seen.canary.errors), (20, 7));
        assert_eq!(seen.duration_us, 2_000_000);
        let latency = Histogram::try_from(&seen.canary.latency).unwrap();
        assert_eq!(latency.count(), 13);
    }
}
