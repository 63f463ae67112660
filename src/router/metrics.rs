//! What each arm did, users and probes apart. One shard per worker, merged when read.
//!
//! Counts are cumulative, and once more for the window since traffic was last moved (since the
//! current generation), so that a stage is judged on its own samples. A request counts for the
//! window in which it was decided; one that ends after the next move counts in the total alone.
//! Latency runs from the request's arrival to the upstream's answer head, to the timeout, or until
//! the client left that waited for it: the answer would have taken longer.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::bucket::BUCKETS;
use crate::base::clock::Timestamp;
use crate::base::histogram::{EncodedHistogram, Histogram, VALUE_US_MAX};
use crate::base::visits::Visits;

use super::split::{Arm, Source};
use super::visits::Arrived;

/// The schema id of a snapshot.
pub(crate) const SCHEMA: &str = "orca.router-metrics/v1";

/// One bit for each bucket.
const BITSET_WORDS: usize = 157;
const _: () = assert!(BUCKETS.div_ceil(64) == 157, "the bitset covers all buckets");
const STATUS_CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// Fewer answers do not tell what is slow.
const ANSWERS_MIN: u64 = 100;

/// Why an upstream gave no whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, or not in time.
    Connect,
    /// No answer head in time.
    Timeout,
    /// The connection broke before the answer head.
    Reset,
    /// The connection broke inside the answer body.
    Body,
    /// The client left, or its request broke off, before the answer head; counted, but not as failed.
    Abandoned,
    /// The client left, and had waited longer than nearly all answers of the base take.
    GaveUp,
    /// The router had no file or port left to send it with. Says nothing of the upstream, so it is
    /// no request of its arm: one that gets no others is judged on none.
    Router,
}

impl Fault {
    const ALL: [Self; 7] = [
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::Body,
        Self::Abandoned,
        Self::GaveUp,
        Self::Router,
    ];
    /// Those that no upstream answers for, by name.
    pub(crate) const NOT_FAILED: [&'static str; 2] = ["abandoned", "router"];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Body => "body",
            Self::Abandoned => "abandoned",
            Self::GaveUp => "gave_up",
            Self::Router => "router",
        }
    }
}

/// One finished request, or the body failure of one that was counted before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    pub(crate) generation: u64,
    pub(crate) arm: Arm,
    pub(crate) source: Source,
    pub(crate) bucket: Option<u16>,
    /// The weight alone sent it to this arm: no list, no tester, no second attempt.
    pub(crate) by_weight: bool,
    /// Nothing where no upstream was waited for.
    pub(crate) latency_us: Option<u64>,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Status(u16),
    Fault(Fault),
    /// The body of an answer with this status broke.
    BrokenBody(u16),
}

#[derive(Debug, Clone, Default)]
struct Tally {
    requests: u64,
    failed: u64,
    status: [u64; 5],
    faults: [u64; Fault::ALL.len()],
    latency: Option<Box<Histogram>>,
    buckets: Option<Box<[u64; BITSET_WORDS]>>,
}

impl Tally {
    fn record(&mut self, sample: &Sample) {
        match sample.outcome {
            Outcome::Status(status) => {
                self.status[usize::from(status / 100).clamp(1, 5) - 1] += 1;
                self.failed += u64::from(status >= 500);
            }
            Outcome::Fault(Fault::Router) => {
                self.faults[Fault::Router as usize] += 1;
                return;
            }
            Outcome::Fault(fault) => {
                self.faults[fault as usize] += 1;
                self.failed += u64::from(fault != Fault::Abandoned);
            }
            Outcome::BrokenBody(status) => {
                self.faults[Fault::Body as usize] += 1;
                self.failed += u64::from(status < 500);
                return;
            }
        }
        self.requests += 1;
        let no_wait = matches!(sample.outcome, Outcome::Fault(Fault::Connect | Fault::Reset));
        if let Some(latency_us) = sample.latency_us.filter(|_| !no_wait) {
            self.latency.get_or_insert_default().record(latency_us);
        }
        if let Some(bucket) = sample.bucket {
            let bits = self.buckets.get_or_insert_with(|| Box::new([0; BITSET_WORDS]));
            bits[usize::from(bucket) / 64] |= 1 << (bucket % 64);
        }
    }

    /// What one answer in a thousand took longer than; nothing while there are few.
    fn slow_us(&self) -> Option<u64> {
        let answers: u64 = self.status.iter().sum();
        if answers < ANSWERS_MIN {
            return None;
        }
        // Those that gave no answer waited for longer than that; no cancelled click has.
        let waits = self.latency.as_ref()?;
        let without = self.faults[Fault::Timeout as usize] + self.faults[Fault::GaveUp as usize];
        let rank = waits.count().saturating_sub(without + answers / 1_000);
        waits.edges_at_rank(rank).map(|(_, slow_us)| slow_us).filter(|us| *us < VALUE_US_MAX)
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.status.iter_mut().zip(other.status).for_each(|(a, b)| *a += b);
        self.faults.iter_mut().zip(other.faults).for_each(|(a, b)| *a += b);
        if let Some(latency) = &other.latency {
            self.latency.get_or_insert_default().merge(latency);
        }
        if let Some(theirs) = &other.buckets {
            let bits = self.buckets.get_or_insert_with(|| Box::new([0; BITSET_WORDS]));
            bits.iter_mut().zip(theirs.iter()).for_each(|(a, b)| *a |= b);
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Counts([[Tally; 2]; 2]);

impl Counts {
    fn record(&mut self, sample: &Sample) {
        self.0[sample.arm as usize][sample.source as usize].record(sample);
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            mine.merge(theirs);
        }
    }
}

#[derive(Debug, Default)]
struct Windows {
    generation: u64,
    earlier: Counts,
    window: Counts,
    arrived: Arrived,
}

/// The counts of one worker. Only that worker and a reader ever lock it.
#[derive(Debug, Default)]
pub(crate) struct Shard(Mutex<Windows>);

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, sample: &Sample) {
        let mut windows = self.lock();
        if sample.generation > windows.generation {
            let closed = std::mem::take(&mut windows.window);
            windows.earlier.merge(&closed);
            windows.arrived = Arrived::default();
            windows.generation = sample.generation;
        }
        if sample.generation == windows.generation {
            windows.window.record(sample);
            windows.arrived.record(sample);
        } else {
            windows.earlier.record(sample);
        }
    }
}

/// What one arm did for one kind of client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmMetrics {
    pub(crate) arm: Arm,
    pub(crate) source: Source,
    /// Requests decided for this arm that ended.
    pub(crate) requests: u64,
    /// Of those: 5xx, no connection, timeout, reset, broken body or given up; each request once.
    pub(crate) failed: u64,
    /// Answers by class, `1xx` to `5xx`.
    pub(crate) status: BTreeMap<String, u64>,
    /// Requests without a whole answer, by kind.
    pub(crate) faults: BTreeMap<String, u64>,
    /// How many of the 10,000 sticky buckets were seen.
    pub(crate) distinct_buckets: u64,
    pub(crate) latency: EncodedHistogram,
    /// Of users, in the window: how many sticky buckets made how many requests, those alone that
    /// the weight sent to this arm. Rows of (requests, buckets).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) visits: Option<Visits>,
}

/// A snapshot. `window` holds what was decided since `generation` began, `total` everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouterMetrics {
    pub(crate) schema: String,
    pub(crate) at: Timestamp,
    pub(crate) generation: u64,
    pub(crate) window: Vec<ArmMetrics>,
    pub(crate) total: Vec<ArmMetrics>,
}

impl RouterMetrics {
    /// The row of one arm and source in the window.
    pub(crate) fn in_window(&self, arm: Arm, source: Source) -> Option<&ArmMetrics> {
        self.window.iter().find(|row| row.arm == arm && row.source == source)
    }
}

/// What one answer of the base in a thousand took longer than, since the router started; nothing
/// while it gave few to `source`.
pub(super) fn slow_us<'a>(shards: impl Iterator<Item = &'a Shard>, source: Source) -> Option<u64> {
    let mut base = Tally::default();
    for shard in shards {
        let windows = shard.lock();
        base.merge(&windows.earlier.0[Arm::Base as usize][source as usize]);
        base.merge(&windows.window.0[Arm::Base as usize][source as usize]);
    }
    base.slow_us()
}

/// Merges all shards.
pub(crate) fn snapshot<'a>(
    shards: impl Iterator<Item = &'a Shard>,
    generation: u64,
    at: Timestamp,
) -> RouterMetrics {
    let (mut window, mut total) = (Counts::default(), Counts::default());
    let mut arrived = Arrived::default();
    for shard in shards {
        let windows = shard.lock();
        total.merge(&windows.earlier);
        total.merge(&windows.window);
        if windows.generation == generation {
            window.merge(&windows.window);
            arrived.merge(&windows.arrived);
        }
    }
    let mut rows_of_window = rows(&window);
    for row in rows_of_window.iter_mut().filter(|row| row.source == Source::Users) {
        row.visits = Some(arrived.visits(row.arm));
    }
    RouterMetrics {
        schema: SCHEMA.into(),
        at,
        generation,
        window: rows_of_window,
        total: rows(&total),
    }
}

fn rows(counts: &Counts) -> Vec<ArmMetrics> {
    let mut rows = Vec::new();
    for arm in Arm::ALL {
        for source in Source::ALL {
            rows.push(row(arm, source, &counts.0[arm as usize][source as usize]));
        }
    }
    rows
}

fn row(arm: Arm, source: Source, tally: &Tally) -> ArmMetrics {
    let named = |names: &[&str], counts: &[u64]| {
        let counts = counts.iter().copied();
        names.iter().map(|name| (*name).to_owned()).zip(counts).collect::<BTreeMap<_, _>>()
    };
    let empty = Histogram::default;
    ArmMetrics {
        arm,
        source,
        requests: tally.requests,
        failed: tally.failed,
        status: named(&STATUS_CLASSES, &tally.status),
        faults: named(&Fault::ALL.map(Fault::name), &tally.faults),
        distinct_buckets: tally
            .buckets
            .as_ref()
            .map_or(0, |bits| bits.iter().map(|word| u64::from(word.count_ones())).sum()),
        latency: EncodedHistogram::from(tally.latency.as_deref().unwrap_or(&empty())),
        visits: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(generation: u64, arm: Arm, outcome: Outcome) -> Sample {
        Sample {
            generation,
            arm,
            source: Source::Users,
            bucket: Some(7),
            by_weight: true,
            latency_us: Some(500),
            outcome,
        }
    }

    #[test]
    fn windows_follow_the_generation_and_totals_keep_everything() {
        let (one, two) = (Shard::default(), Shard::default());
        one.record(&sample(1, Arm::Base, Outcome::Status(200)));
        two.record(&sample(1, Arm::Canary, Outcome::Status(503)));
        one.record(&sample(2, Arm::Canary, Outcome::Status(200)));
        one.record(&sample(1, Arm::Canary, Outcome::Fault(Fault::Timeout)));
        let seen = snapshot([&one, &two].into_iter(), 2, Timestamp::from_us(5));
        let window = seen.in_window(Arm::Canary, Source::Users).unwrap();
        assert_eq!((window.requests, window.failed, window.distinct_buckets), (1, 0, 1));
        assert_eq!(seen.in_window(Arm::Base, Source::Users).unwrap().requests, 0);
        assert_eq!(seen.in_window(Arm::Canary, Source::Probes).unwrap().requests, 0);
        // Who came is known of the window alone.
        let visits = |row: &ArmMetrics| row.visits.as_ref().map(|v| v.rows().collect::<Vec<_>>());
        assert_eq!(visits(window), Some(vec![(1, 1)]));
        assert_eq!(visits(seen.in_window(Arm::Canary, Source::Probes).unwrap()), None);
        assert!(seen.total.iter().all(|row| row.visits.is_none()));
        let total = &seen.total[2];
        assert_eq!((total.arm, total.source), (Arm::Canary, Source::Users));
        assert_eq!((total.requests, total.failed), (3, 2));
        assert_eq!((total.status["5xx"], total.faults["timeout"]), (1, 1));
        let latency = Histogram::try_from(&total.latency).unwrap();
        assert_eq!(latency.count(), 3);
    }

    /// Neither those that leave at once nor those that hang say what an answer takes.
    #[test]
    fn what_is_slow_is_told_by_the_answers_of_the_base() {
        let of = |answers: &[(u64, u64)], left: &[(Fault, u64, u64)]| {
            let (one, two) = (Shard::default(), Shard::default());
            let record = |us, count, arm, outcome| {
                for number in 0..count {
                    let shard = if number % 2 == 0 { &one } else { &two };
                    shard.record(&Sample { latency_us: Some(us), ..sample(1, arm, outcome) });
                }
            };
            for (us, count) in answers {
                record(*us, *count, Arm::Base, Outcome::Status(200));
            }
            for (fault, us, count) in left {
                record(*us, *count, Arm::Base, Outcome::Fault(*fault));
            }
            record(9_000_000, 500, Arm::Canary, Outcome::Status(200));
            assert_eq!(slow_us([&one, &two].into_iter(), Source::Probes), None);
            slow_us([&one, &two].into_iter(), Source::Users)
        };
        let about = |expected: u64, seen: Option<u64>| {
            assert!(seen.is_some_and(|us| us.abs_diff(expected) <= expected / 500), "{seen:?}");
        };
        assert_eq!(of(&[(2_000, 99)], &[]), None);
        about(2_000, of(&[(2_000, 100)], &[]));
        about(2_000, of(&[(2_000, 999), (4_000_000, 1)], &[]));
        about(4_000_000, of(&[(2_000, 997), (4_000_000, 3)], &[]));
        about(4_000_000, of(&[(2_000, 997), (4_000_000, 3)], &[(Fault::Abandoned, 10, 900)]));
        let hung = [(Fault::Timeout, 60_000_000, 400), (Fault::GaveUp, 5_000_000, 400)];
        about(4_000_000, of(&[(2_000, 997), (4_000_000, 3)], &hung));
        assert_eq!(of(&[(61_000_000, 100)], &[]), None, "longer than it can tell");
    }

    #[test]
    fn a_request_fails_once_and_leaving_is_not_failing() {
        let shard = Shard::default();
        for outcome in [
            Outcome::Status(200),
            Outcome::BrokenBody(200),
            Outcome::Status(500),
            Outcome::BrokenBody(500),
            Outcome::Fault(Fault::Abandoned),
            Outcome::Fault(Fault::GaveUp),
            Outcome::Fault(Fault::Connect),
            Outcome::Fault(Fault::Router),
        ] {
            shard.record(&sample(1, Arm::Base, outcome));
        }
        let seen = snapshot([&shard].into_iter(), 1, Timestamp::from_us(0));
        let row = seen.in_window(Arm::Base, Source::Users).unwrap();
        assert_eq!((row.requests, row.failed, row.faults["body"]), (5, 4, 2));
        assert_eq!((row.faults["abandoned"], row.faults["gave_up"]), (1, 1));
        assert_eq!(row.faults["router"], 1, "told, and no request of the arm");
        assert_eq!(Histogram::try_from(&row.latency).unwrap().count(), 4);
        let text = serde_json::to_string(&seen).unwrap();
        assert_eq!(serde_json::from_str::<RouterMetrics>(&text).unwrap(), seen);
    }
}
