//! What happened, counted without a lock: each worker owns one set of counters and histograms for
//! each endpoint, and merging them is exact. Memory does not grow with the number of requests.
//!
//! A latency is recorded for every whole answer below status 400 and for every timeout. Refusals,
//! resets and error answers are counted, not timed: a fast failure must not flatter a percentile.

use std::collections::BTreeMap;

use crate::base::histogram::Histogram;

/// Why a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// The target refused the connection or could not be reached.
    Connect,
    /// No whole answer in time.
    Timeout,
    /// The connection was reset while a request was on it.
    Reset,
    /// The connection closed before the answer was whole.
    ClosedEarly,
    /// An answer that is not HTTP/1.1.
    Malformed,
    /// An answer over a size limit.
    TooLarge,
    Status4xx,
    Status5xx,
    /// A status that HTTP does not know.
    StatusOther,
}

impl Failure {
    pub(crate) const ALL: [Self; 9] = [
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::ClosedEarly,
        Self::Malformed,
        Self::TooLarge,
        Self::Status4xx,
        Self::Status5xx,
        Self::StatusOther,
    ];

    /// As it stands in `errors_by_kind`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::ClosedEarly => "closed_early",
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Status4xx => "status_4xx",
            Self::Status5xx => "status_5xx",
            Self::StatusOther => "status_other",
        }
    }

    /// What an answered status means; nothing when it is a success.
    pub(crate) const fn of_status(status: u16) -> Option<Self> {
        match status {
            200..=399 => None,
            400..=499 => Some(Self::Status4xx),
            500..=599 => Some(Self::Status5xx),
            _ => Some(Self::StatusOther),
        }
    }
}

/// Counts of failures by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Failures([u64; Failure::ALL.len()]);

impl Failures {
    fn add(&mut self, failure: Failure) {
        self.0[failure as usize] += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(own, more)| *own += more);
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that happened.
    pub(crate) fn by_kind(&self) -> BTreeMap<String, u64> {
        Failure::ALL
            .iter()
            .map(|kind| (kind.as_str().to_owned(), self.0[*kind as usize]))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// How one request ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// From when it was due.
    pub(crate) latency_us: u64,
    /// From when it was sent.
    pub(crate) service_us: u64,
    pub(crate) failure: Option<Failure>,
}

/// Everything about one endpoint, or about all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Sent, whatever came of it.
    pub(crate) requests: u64,
    pub(crate) failures: Failures,
    /// Due but never sent.
    pub(crate) dropped: u64,
    /// Sent, and unanswered when the run was cancelled.
    pub(crate) cut_off: u64,
    pub(crate) latency: Histogram,
    pub(crate) service: Histogram,
}

impl Counts {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures.merge(&other.failures);
        self.dropped += other.dropped;
        self.cut_off += other.cut_off;
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
    }
}

/// What ended within one second of the run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Interval {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) latency: Histogram,
}

impl Interval {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.latency.merge(&other.latency);
    }
}

/// One worker's recorder.
#[derive(Debug)]
pub(crate) struct Recorder {
    endpoints: Vec<Counts>,
    interval: Interval,
    pub(crate) late_starts: u64,
}

impl Recorder {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self {
            endpoints: (0..endpoints).map(|_| Counts::default()).collect(),
            interval: Interval::default(),
            late_starts: 0,
        }
    }

    pub(crate) fn sent(&mut self, endpoint: usize) {
        let counts = &mut self.endpoints[endpoint];
        counts.requests += 1;
        counts.cut_off += 1;
    }

    pub(crate) fn ended(&mut self, endpoint: usize, outcome: Outcome) {
        let counts = &mut self.endpoints[endpoint];
        counts.cut_off -= 1;
        self.interval.requests += 1;
        if let Some(failure) = outcome.failure {
            counts.failures.add(failure);
            self.interval.errors += 1;
        }
        if matches!(outcome.failure, None | Some(Failure::Timeout)) {
            counts.latency.record(outcome.latency_us);
            counts.service.record(outcome.service_us);
            self.interval.latency.record(outcome.latency_us);
        }
    }

    pub(crate) fn dropped(&mut self, endpoint: usize) {
        self.endpoints[endpoint].dropped += 1;
    }

    /// Hands over what ended since the last call.
    pub(crate) fn swap_interval(&mut self) -> Interval {
        std::mem::take(&mut self.interval)
    }

    pub(crate) fn finish(self) -> Vec<Counts> {
        self.endpoints
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_failure_does_not_flatter_a_percentile() {
        let mut recorder = Recorder::new(1);
        let ends = |failure, latency_us| Outcome { latency_us, service_us: 1, failure };
        for outcome in [
            ends(None, 1_000),
            ends(Some(Failure::Status5xx), 1),
            ends(Some(Failure::Connect), 1),
            ends(Some(Failure::Timeout), 9_000),
        ] {
            recorder.sent(0);
            recorder.ended(0, outcome);
        }
        recorder.sent(0);
        recorder.dropped(0);
        let interval = recorder.swap_interval();
        assert_eq!((interval.requests, interval.errors), (4, 3));
        assert_eq!(recorder.swap_interval().requests, 0);
        let counts = &recorder.finish()[0];
        assert_eq!((counts.requests, counts.failures.total()), (5, 3));
        assert_eq!((counts.dropped, counts.cut_off), (1, 1));
        assert_eq!((counts.latency.count(), counts.latency.max_us() / 1_000), (2, 9));
        assert_eq!(counts.failures.by_kind().len(), 3);
    }

    #[test]
    fn statuses() {
        for (status, failure) in [
            (199, Some(Failure::StatusOther)),
            (200, None),
            (399, None),
            (400, Some(Failure::Status4xx)),
            (499, Some(Failure::Status4xx)),
            (500, Some(Failure::Status5xx)),
            (600, Some(Failure::StatusOther)),
        ] {
            assert_eq!(Failure::of_status(status), failure, "{status}");
        }
    }
}
