//! The users of the false world: how many there are, and what they get from each version.

use std::collections::BTreeMap;

use crate::base::clock::Timestamp;
use crate::base::histogram::Histogram;
use crate::base::units::Weight;
use crate::base::visits::Visits;
use crate::rollout::ports::{ArmSamples, Samples, SourceSamples};
use crate::router::state::RouterState;

/// Requests and failures on one arm, in thousandths.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Count {
    requests: u128,
    errors: u128,
}

impl Count {
    pub(super) fn requests(self) -> u64 {
        u64::try_from(self.requests / 1_000).unwrap_or(u64::MAX)
    }

    pub(super) fn errors(self) -> u64 {
        u64::try_from(self.errors / 1_000).unwrap_or(u64::MAX)
    }
}

#[derive(Debug)]
pub(super) struct Users {
    at: Timestamp,
    pub(super) per_second: u64,
    /// Failures in ten thousand, on either version.
    pub(super) base_fails_bp: u64,
    pub(super) canary_fails_bp: u64,
    /// Until then the canary does well.
    pub(super) canary_fails_from: Timestamp,
    base: Count,
    canary: Count,
    /// The counts of base and canary when it was raised last.
    at_raise: (Count, Count),
}

impl Users {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            at,
            per_second: 2_000,
            base_fails_bp: 0,
            canary_fails_bp: 0,
            canary_fails_from: at,
            base: Count::default(),
            canary: Count::default(),
            at_raise: <(Count, Count)>::default(),
        }
    }

    /// Requests and failures of the canary since it was raised last.
    pub(super) fn since_raise(&self) -> (u64, u64) {
        let before = self.at_raise.1;
        (self.canary.requests() - before.requests(), self.canary.errors() - before.errors())
    }

    pub(super) fn raised(&mut self) {
        self.at_raise = (self.base, self.canary);
    }

    /// Users go on until `now` with the router as it is.
    pub(super) fn pass(&mut self, now: Timestamp, router: &RouterState) {
        let split = self.canary_fails_from;
        if self.at < split && split < now {
            self.flow(split, router, 0);
        }
        let fails = if self.at < split { 0 } else { self.canary_fails_bp };
        self.flow(now, router, fails);
    }

    fn flow(&mut self, now: Timestamp, router: &RouterState, canary_fails_bp: u64) {
        let span = u128::try_from(now.since_us(self.at)).unwrap_or(0);
        if span == 0 {
            return;
        }
        self.at = now;
        let weight = u128::from(router.weight.basis_points());
        let all = u128::from(self.per_second) * span / 1_000;
        let canary = all * weight / 10_000;
        let base = all - canary;
        self.canary.requests += canary;
        self.canary.errors += canary * u128::from(canary_fails_bp) / 10_000;
        self.base.requests += base;
        self.base.errors += base * u128::from(self.base_fails_bp) / 10_000;
    }

    /// The router counts from the staging on.
    pub(super) fn staged(&mut self) {
        self.base = Count::default();
        self.canary = Count::default();
        self.at_raise = <(Count, Count)>::default();
    }

    pub(super) fn samples(&self, weight: Weight) -> Samples {
        let arm = |count: Count, before: Count, share: u64| ArmSamples {
            users: SourceSamples {
                visits: Some(visits(count.requests().saturating_sub(before.requests()), share)),
                ..source(count, share)
            },
            probes: source(Count::default(), 0),
        };
        let share = u64::from(weight.basis_points());
        Samples {
            at: self.at,
            base: arm(self.base, self.at_raise.0, 10_000 - share),
            canary: arm(self.canary, self.at_raise.1, share),
        }
    }
}

fn source(count: Count, share: u64) -> SourceSamples {
    let mut latency = Histogram::coarse();
    latency.record_many(20_000, count.requests());
    let errors = count.errors();
    let kinds = (errors > 0).then(|| ("status_5xx".to_owned(), errors));
    SourceSamples {
        requests: count.requests(),
        errors_by_kind: BTreeMap::from_iter(kinds),
        latency,
        sticky_keys: count.requests().min(share),
        visits: None,
    }
}

/// As evenly over the keys of an arm as whole requests can be.
fn visits(requests: u64, keys: u64) -> Visits {
    let (each, more) = (requests.checked_div(keys).unwrap_or(0), requests.checked_rem(keys));
    let more = more.unwrap_or(0);
    let rows = [(each, keys - more), (each + 1, more)];
    let came = rows.into_iter().filter(|(requests, keys)| *requests > 0 && *keys > 0);
    Visits::try_from(came.collect::<Vec<_>>()).expect("rows ascend")
}
