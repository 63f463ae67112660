//! The only door to wall clock, monotonic clock and randomness.
//! Everything that decides receives a [`Timestamp`]; nothing that decides asks for one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A point in time in microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    JsonSchema,
)]
#[serde(transparent)]
pub(crate) struct Timestamp(i64);

impl Timestamp {
    pub(crate) const fn from_us(us: i64) -> Self {
        Self(us)
    }

    pub(crate) const fn as_us(self) -> i64 {
        self.0
    }

    /// This instant moved by `us` microseconds, stopping at the ends of the range.
    pub(crate) const fn plus_us(self, us: i64) -> Self {
        Self(self.0.saturating_add(us))
    }

    pub(crate) fn plus(self, span: Duration) -> Self {
        self.plus_us(i64::try_from(span.as_micros()).unwrap_or(i64::MAX))
    }

    /// Microseconds from `earlier` to here; negative when `earlier` is later.
    pub(crate) const fn since_us(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with whole seconds, as people read it: `2026-11-21T04:05:06Z`.
    pub(crate) fn rfc3339(self) -> String {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            Err(_) => format!("{} us", self.0),
        }
    }

    /// The UTC calendar date, as a changelog writes it: `2026-11-21`.
    pub(crate) fn date(self) -> String {
        self.rfc3339().chars().take(10).collect()
    }

    /// Reads RFC 3339, or a day, which stands for its beginning in UTC.
    pub(crate) fn parse_written(text: &str) -> Result<Self, String> {
        Self::parse_rfc3339(text)
            .or_else(|_| Self::parse_rfc3339(&format!("{text}T00:00:00Z")))
            .map_err(|_| {
                format!("'{text}' is not a time; write 2026-11-30T12:00:00Z or 2026-11-30")
            })
    }

    /// Reads RFC 3339. The error is the text that could not be read.
    pub(crate) fn parse_rfc3339(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|at| Self(at.as_microsecond()))
            .map_err(|_| format!("'{text}' is not a time like 2026-11-21T04:05:06Z"))
    }
}

/// The wall clock. A frozen one serves tests that compare bytes.
#[derive(Debug, Clone, Default)]
pub(crate) enum Clock {
    #[default]
    System,
    Frozen(Timestamp),
    /// The machine's, which somebody sets forward or back by so many microseconds.
    #[cfg(test)]
    Set(Arc<std::sync::atomic::AtomicI64>),
    /// Goes on from `at` with the runtime's clock, which a simulation moves.
    #[cfg(test)]
    Simulated {
        start: tokio::time::Instant,
        at: Timestamp,
    },
}

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the wall clock")]
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Frozen(at) => *at,
            #[cfg(test)]
            Self::Simulated { start, at } => at.plus(start.elapsed()),
            #[cfg(test)]
            Self::Set(by) => {
                Self::System.now().plus_us(by.load(std::sync::atomic::Ordering::SeqCst))
            }
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
            }
        }
    }
}

/// The wall clock as it was once, going on by the monotonic clock: a span that it measures lasts as
/// long as it lasts, whoever sets the machine's clock meanwhile.
#[derive(Debug, Clone)]
pub(crate) struct SteadyClock {
    clock: Clock,
    at: Timestamp,
    start: Instant,
}

impl SteadyClock {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { at: clock.now(), start: monotonic(), clock }
    }

    pub(crate) fn now(&self) -> Timestamp {
        if let Clock::Frozen(at) = self.clock {
            return at;
        }
        self.at.plus(since(self.start))
    }
}

/// The monotonic clock, for measuring how long something took. It is the runtime's own, so that
/// waiting and measuring agree where a simulation moves it.
pub(crate) fn monotonic() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// How long ago `start` was.
pub(crate) fn since(start: Instant) -> Duration {
    monotonic().saturating_duration_since(start)
}

/// Microseconds from `start` until now, saturating.
pub(crate) fn elapsed_us(start: Instant) -> u64 {
    u64::try_from(since(start).as_micros()).unwrap_or(u64::MAX)
}

/// Randomness for ids and jitter: seeded by the system, or by a test.
#[derive(Debug, Clone)]
pub(crate) struct Entropy(Arc<Mutex<fastrand::Rng>>);

impl Entropy {
    /// Seeded from the operating system; falls back to the clock and the process id where the
    /// system gives nothing, because ids must differ, not be secret.
    pub(crate) fn from_system() -> Self {
        let seed = getrandom::u64().unwrap_or_else(|_| {
            Clock::System.now().as_us().unsigned_abs() ^ (u64::from(std::process::id()) << 40)
        });
        Self::seeded(seed)
    }

    pub(crate) fn seeded(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))))
    }

    pub(crate) fn next_u64(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).u64(..)
    }

    /// A number below `bound`; 0 when `bound` is 0.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        if bound == 0 { 0 } else { self.next_u64() % bound }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_read_and_write_rfc3339() {
        let at = Timestamp::parse_rfc3339("2026-11-21T04:05:06Z").unwrap();
        assert_eq!(at.as_us(), 1_795_233_906_000_000);
        assert_eq!(at.rfc3339(), "2026-11-21T04:05:06Z");
        assert_eq!(at.date(), "2026-11-21");
        assert!(Timestamp::parse_rfc3339("yesterday").unwrap_err().contains("'yesterday'"));
    }

    #[test]
    fn seeded_entropy_repeats() {
        let (a, b) = (Entropy::seeded(7), Entropy::seeded(7));
        assert_eq!(a.next_u64(), b.next_u64());
        assert_eq!(a.below(0), 0);
    }
}
