//! What was measured of one endpoint, or of one arm of a comparison: plain data that goes into
//! exhibits and is judged again from there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::histogram::{EncodedHistogram, Histogram};
use crate::base::units::{Micros, Rate};

/// The scope of a sample that is not about one endpoint.
pub(crate) const ALL: &str = "all";

/// Counts and latencies of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Sample {
    /// The endpoint's name, or [`ALL`].
    pub(crate) scope: String,
    /// Requests that were sent.
    pub(crate) requests: u64,
    /// How many of the sent failed.
    pub(crate) errors: u64,
    /// Requests that were due and never sent: they count as failed and as slower than any limit.
    pub(crate) dropped: u64,
    /// How many of the latencies are those of requests that were given up: the answer would have
    /// taken longer.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) timeouts: u64,
    /// How long was measured, in microseconds.
    #[schemars(with = "u64")]
    pub(crate) duration: Micros,
    pub(crate) latency: EncodedHistogram,
}

impl Sample {
    pub(crate) fn new(scope: impl Into<String>, counts: Counts, latency: &Histogram) -> Self {
        Self {
            scope: scope.into(),
            requests: counts.requests,
            errors: counts.errors,
            dropped: counts.dropped,
            timeouts: 0,
            duration: counts.duration,
            latency: EncodedHistogram::from(latency),
        }
    }

    /// Sent or due: what the error ratio is taken of.
    pub(crate) fn attempts(&self) -> u64 {
        self.requests.saturating_add(self.dropped)
    }

    /// Failed or never sent.
    pub(crate) fn failures(&self) -> u64 {
        self.errors.min(self.requests).saturating_add(self.dropped)
    }

    /// Requests answered without error, per second.
    pub(crate) fn throughput(&self) -> Rate {
        Rate::of(self.requests.saturating_sub(self.errors), self.duration)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The counts of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) dropped: u64,
    pub(crate) duration: Micros,
}
