//! What happened, counted without a lock: each worker owns one set of counters and histograms for
//! each endpoint, and merging them is exact. Memory does not grow with the number of requests.
//!
//! A latency is recorded for every whole answer below status 400 and for every timeout. Refusals,
//! resets and error answers are counted, not timed: a fast failure must not flatter a percentile.

use std::collections::BTreeMap;
use std::time::Instant;

use super::transport::Marks;
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
    /// An answer that is not what the endpoint expects.
    Assertion,
    /// The certificate is not valid at this time.
    TlsExpired,
    /// The certificate is for another name.
    TlsWrongHost,
    /// Nobody known vouches for the certificate.
    TlsUntrusted,
    /// No TLS could be agreed on; perhaps the port speaks something else.
    Tls,
    /// The target does not offer HTTP/2.
    NoHttp2,
    /// This machine had no port, file or memory left for a connection: not the target's doing.
    Generator,
}

impl Failure {
    pub(crate) const ALL: [Self; 16] = [
        Self::Connect,
        Self::Timeout,
        Self::Reset,
        Self::ClosedEarly,
        Self::Malformed,
        Self::TooLarge,
        Self::Status4xx,
        Self::Status5xx,
        Self::StatusOther,
        Self::Assertion,
        Self::TlsExpired,
        Self::TlsWrongHost,
        Self::TlsUntrusted,
        Self::Tls,
        Self::NoHttp2,
        Self::Generator,
    ];

    /// Nothing was said that could be measured; if all requests end so, there is nobody to ask.
    pub(crate) const BEFORE_ANY_ANSWER: [Self; 7] = [
        Self::Connect,
        Self::Malformed,
        Self::TlsExpired,
        Self::TlsWrongHost,
        Self::TlsUntrusted,
        Self::Tls,
        Self::NoHttp2,
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
            Self::Assertion => "assertion",
            Self::TlsExpired => "tls_expired",
            Self::TlsWrongHost => "tls_wrong_host",
            Self::TlsUntrusted => "tls_untrusted",
            Self::Tls => "tls",
            Self::NoHttp2 => "no_http2",
            Self::Generator => "generator",
        }
    }

    /// Whether it came without an answer and may come again at once.
    pub(crate) const fn is_without_answer(self) -> bool {
        matches!(
            self,
            Self::Connect
                | Self::Reset
                | Self::ClosedEarly
                | Self::TlsExpired
                | Self::TlsWrongHost
                | Self::TlsUntrusted
                | Self::Tls
                | Self::NoHttp2
                | Self::Generator
        )
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
    /// The status of a right answer, or what was wrong.
    pub(crate) answer: Result<u16, Failure>,
}

/// How long the phases of requests took; only where that is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Phases {
    /// One value for each connection that was opened.
    pub(crate) connect: Histogram,
    pub(crate) tls: Histogram,
    pub(crate) first_byte: Histogram,
    /// TLS sessions taken up again.
    pub(crate) resumed: u64,
}

impl Phases {
    fn add(&mut self, marks: Marks) {
        let add = |histogram: &mut Histogram, us: Option<u64>| {
            if let Some(us) = us {
                histogram.record(us);
            }
        };
        add(&mut self.connect, marks.connect_us);
        add(&mut self.tls, marks.tls_us);
        add(&mut self.first_byte, marks.first_byte_us);
        self.resumed += u64::from(marks.is_resumed);
    }

    fn merge(&mut self, other: &Self) {
        self.connect.merge(&other.connect);
        self.tls.merge(&other.tls);
        self.first_byte.merge(&other.first_byte);
        self.resumed += other.resumed;
    }
}

/// Everything about one endpoint, or about all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counts {
    /// Sent, whatever came of it.
    pub(crate) requests: u64,
    pub(crate) failures: Failures,
    /// Due but never sent.
    pub(crate) dropped: u64,
    /// Right answers that point elsewhere.
    pub(crate) redirects: u64,
    pub(crate) phases: Option<Box<Phases>>,
    /// Answered or failed. At the end of a run the others were cut off.
    pub(crate) ended: u64,
    pub(crate) latency: Histogram,
    pub(crate) service: Histogram,
}

impl Counts {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failures.merge(&other.failures);
        self.dropped += other.dropped;
        self.redirects += other.redirects;
        if let Some(phases) = &other.phases {
            self.phases.get_or_insert_default().merge(phases);
        }
        self.ended += other.ended;
        self.latency.merge(&other.latency);
        self.service.merge(&other.service);
    }

    /// Failures of all endpoints, without the cost of joining their histograms.
    pub(crate) fn failures_of_all(endpoints: &[Self]) -> Failures {
        let mut whole = Failures::default();
        for counts in endpoints {
            whole.merge(&counts.failures);
        }
        whole
    }

    /// All endpoints together.
    pub(crate) fn of_all(endpoints: &[Self]) -> Self {
        let mut whole = Self::default();
        for counts in endpoints {
            whole.merge(counts);
        }
        whole
    }
}

/// One worker's recorder: what happened since it was last emptied.
#[derive(Debug)]
pub(crate) struct Recorder {
    endpoints: Vec<Counts>,
    /// Requests that this machine itself sent late.
    pub(crate) late_starts: u64,
    /// Requests sent late since the last look, whose connection was busy when they were due.
    overdue: u64,
    /// Until when this thread itself stood still: it was stopped, or its machine suspended. What
    /// was due before left late, or never, by its fault.
    stood_still_until: Option<Instant>,
}

impl Recorder {
    pub(crate) fn new(endpoints: usize) -> Self {
        Self {
            endpoints: vec![Counts::default(); endpoints],
            late_starts: 0,
            overdue: 0,
            stood_still_until: None,
        }
    }

    /// A request left late, only now, although a sender had been waiting for its time.
    pub(crate) fn woken_late(&mut self, now: Instant) {
        self.late_starts += 1;
        self.stood_still(now);
    }

    /// This thread did nothing until now.
    pub(crate) fn stood_still(&mut self, now: Instant) {
        self.stood_still_until = Some(now);
    }

    fn stood_still_at(&self, due: Instant) -> bool {
        self.stood_still_until.is_some_and(|until| due <= until)
    }

    /// A request left late because no connection was free: the target's doing, unless this
    /// thread turns out to have had no rest.
    pub(crate) fn overdue(&mut self, due: Instant) {
        if self.stood_still_at(due) {
            self.late_starts += 1;
        } else {
            self.overdue += 1;
        }
    }

    /// Settles the requests overdue since the last call, given whether this thread rested.
    pub(crate) fn settle_overdue(&mut self, has_rested: bool) {
        let overdue = std::mem::take(&mut self.overdue);
        if !has_rested {
            self.late_starts += overdue;
        }
    }

    pub(crate) fn sent(&mut self, endpoint: usize) {
        self.endpoints[endpoint].requests += 1;
    }

    pub(crate) fn ended(&mut self, endpoint: usize, outcome: Outcome) {
        let counts = &mut self.endpoints[endpoint];
        counts.ended += 1;
        match outcome.answer {
            Ok(304) => {}
            Ok(status) => counts.redirects += u64::from((300..400).contains(&status)),
            Err(failure) => {
                counts.failures.add(failure);
                if failure != Failure::Timeout {
                    return;
                }
            }
        }
        counts.latency.record(outcome.latency_us);
        counts.service.record(outcome.service_us);
    }

    pub(crate) fn marked(&mut self, endpoint: usize, marks: Marks) {
        self.endpoints[endpoint].phases.get_or_insert_default().add(marks);
    }

    /// A request was due and never sent.
    pub(crate) fn dropped(&mut self, endpoint: usize, due: Instant) {
        self.endpoints[endpoint].dropped += 1;
        self.late_starts += u64::from(self.stood_still_at(due));
    }

    /// Hands over what happened since the last call.
    pub(crate) fn swap(&mut self) -> Vec<Counts> {
        let empty = vec![Counts::default(); self.endpoints.len()];
        std::mem::replace(&mut self.endpoints, empty)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::clock;

    #[test]
    fn a_fast_failure_does_not_flatter_a_percentile() {
        let mut recorder = Recorder::new(1);
        let ends = |answer, latency_us| Outcome { latency_us, service_us: 1, answer };
        for outcome in [
            ends(Ok(301), 1_000),
            ends(Err(Failure::Status5xx), 1),
            ends(Err(Failure::Connect), 1),
            ends(Err(Failure::Timeout), 9_000),
        ] {
            recorder.sent(0);
            recorder.ended(0, outcome);
        }
        recorder.sent(0);
        recorder.dropped(0, clock::monotonic());
        let counts = &recorder.swap()[0];
        assert_eq!(recorder.swap()[0].requests, 0);
        assert_eq!((counts.requests, counts.ended, counts.failures.total()), (5, 4, 3));
        assert_eq!((counts.dropped, counts.redirects), (1, 1));
        assert_eq!((counts.latency.count(), counts.latency.max_us() / 1_000), (2, 9));
        assert_eq!(counts.failures.by_kind().len(), 3);
    }

    #[test]
    fn a_late_start_is_the_targets_doing_unless_this_thread_had_no_rest() {
        let mut recorder = Recorder::new(1);
        let now = clock::monotonic();
        let after = |secs| now + Duration::from_secs(secs);
        recorder.overdue(after(2));
        recorder.settle_overdue(true);
        assert_eq!(recorder.late_starts, 0);
        recorder.overdue(after(2));
        recorder.woken_late(after(1));
        recorder.settle_overdue(false);
        recorder.settle_overdue(false);
        assert_eq!(recorder.late_starts, 2);
    }

    #[test]
    fn what_was_due_while_this_thread_stood_still_is_its_own_fault() {
        let mut recorder = Recorder::new(1);
        let now = clock::monotonic();
        let after = |secs| now + Duration::from_secs(secs);
        recorder.woken_late(after(3));
        (1..=3).for_each(|secs| recorder.overdue(after(secs)));
        recorder.dropped(0, after(2));
        recorder.settle_overdue(true);
        assert_eq!(recorder.late_starts, 5);
        recorder.overdue(after(4));
        recorder.dropped(0, after(4));
        recorder.settle_overdue(true);
        assert_eq!(recorder.late_starts, 5, "the target's doing");
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
