//! What a source of measurements is asked, and what it answers: plain counts over windows that end
//! now. The answer is the exhibit, so that it can be judged again without the source.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::units::Micros;
use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;

pub(crate) const SCHEMA: &str = "orca.slo-seen/v1";

/// One question: what happened to a scope over the last `window`?
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) scope: String,
    pub(crate) window: Micros,
    /// The limits that latencies are held to, ascending; empty where latencies are not asked for.
    pub(crate) limits_us: Vec<u64>,
}

impl Wanted {
    /// How many requests there were, and how many failed.
    pub(crate) fn counts(scope: impl Into<String>, window: Micros) -> Self {
        Self { scope: scope.into(), window, limits_us: Vec::new() }
    }

    /// The same, and how many were slower than `limit`.
    pub(crate) fn also_slower_than(&mut self, limit: Micros) {
        if let Err(at) = self.limits_us.binary_search(&limit.0) {
            self.limits_us.insert(at, limit.0);
        }
    }
}

/// A place where measurements are kept.
#[async_trait]
pub(crate) trait Telemetry: Send + Sync {
    /// Whether it knows anything of a scope.
    fn tells(&self, scope: &str) -> bool;

    /// Answers every question; what could not be learned is a gap in the answer.
    async fn observe(&self, wanted: &[Wanted]) -> Result<Observed, Unseen>;
}

/// What a source answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Observed {
    pub(crate) schema: String,
    /// The source's name in the manifest.
    pub(crate) source: String,
    pub(crate) windows: Vec<WindowSeen>,
}

/// One scope over one window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WindowSeen {
    /// An endpoint, or `all`.
    pub(crate) scope: String,
    pub(crate) window_us: u64,
    /// How much of the window the source has data for. One that counts in whole steps may reach a
    /// little further back.
    pub(crate) covered_us: u64,
    pub(crate) requests: Option<u64>,
    pub(crate) errors: Option<u64>,
    /// Cumulative, in ascending order; the last one holds all.
    pub(crate) buckets: Option<Vec<Bucket>>,
    /// What could not be learned, and why.
    pub(crate) gaps: Vec<Gap>,
}

/// Requests that took at most `le_us`; without it, all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bucket {
    pub(crate) le_us: Option<u64>,
    pub(crate) count: u64,
}

/// Something a source did not tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gap {
    /// `requests`, `errors`, `latency` or `coverage`.
    pub(crate) what: String,
    pub(crate) cause: Cause,
    pub(crate) detail: String,
}

/// Why there is no number where one was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NoNumber {
    pub(crate) cause: Cause,
    pub(crate) detail: String,
}

impl NoNumber {
    /// There is nothing to tell.
    pub(crate) fn none(detail: impl Into<String>) -> Self {
        Self { cause: Cause::NoData, detail: detail.into() }
    }

    /// There is something, and it is not what a number looks like.
    pub(crate) fn odd(detail: impl Into<String>) -> Self {
        Self { cause: Cause::Unobserved, detail: detail.into() }
    }
}

impl Observed {
    pub(crate) fn new(source: impl Into<String>, windows: Vec<WindowSeen>) -> Self {
        Self { schema: SCHEMA.to_owned(), source: source.into(), windows }
    }

    /// What is known of a scope over exactly this window.
    pub(crate) fn window(&self, scope: &str, window: Micros) -> Option<&WindowSeen> {
        self.windows.iter().find(|seen| seen.scope == scope && seen.window_us == window.0)
    }
}

impl WindowSeen {
    pub(crate) fn empty(wanted: &Wanted) -> Self {
        Self { scope: wanted.scope.clone(), window_us: wanted.window.0, ..Self::default() }
    }

    /// A number that is known; else the gap it leaves.
    pub(crate) fn keep<T>(&mut self, what: &str, found: Result<T, NoNumber>) -> Option<T> {
        found
            .map_err(|NoNumber { cause, detail }| {
                self.gaps.push(Gap { what: what.to_owned(), cause, detail });
            })
            .ok()
    }

    pub(crate) fn gap(&self, what: &str) -> Option<&Gap> {
        self.gaps.iter().find(|gap| gap.what == what)
    }

    /// Requests and errors, where both are known and there was a request at all.
    pub(crate) fn counts(&self) -> Option<(u64, u64)> {
        let (requests, errors) = (self.requests?, self.errors?);
        (requests > 0).then(|| (requests, errors.min(requests)))
    }

    /// Whether nearly the whole window has data: one part in twenty may be missing.
    pub(crate) fn is_covered(&self) -> bool {
        u128::from(self.covered_us) * 20 >= u128::from(self.window_us) * 19
    }

    /// Of all requests the fewest and the most that may have been slower than `limit_us`, and their
    /// number. Where no bucket ends at the limit, the two differ.
    pub(crate) fn slower_than(&self, limit_us: u64) -> Option<(u64, u64, u64)> {
        let buckets = self.buckets.as_ref()?;
        let all = buckets.iter().find(|b| b.le_us.is_none())?.count;
        let edges = || buckets.iter().filter_map(|b| Some((b.le_us?, b.count)));
        let within = edges().filter(|(le, _)| *le <= limit_us).map(|(_, n)| n).max().unwrap_or(0);
        let maybe = edges().filter(|(le, _)| *le >= limit_us).map(|(_, n)| n).min().unwrap_or(all);
        (all > 0).then(|| (all - maybe.min(all), all - within.min(all), all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_between_two_edges_leaves_both_ends() {
        let bucket = |le_us, count| Bucket { le_us, count };
        let seen = WindowSeen {
            buckets: Some(vec![
                bucket(Some(100), 50),
                bucket(Some(250), 90),
                bucket(Some(500), 99),
                bucket(None, 100),
            ]),
            ..WindowSeen::default()
        };
        for (limit, expected) in [
            (100, (50, 50, 100)),
            (250, (10, 10, 100)),
            (300, (1, 10, 100)),
            (501, (0, 1, 100)),
            (99, (50, 100, 100)),
        ] {
            assert_eq!(seen.slower_than(limit), Some(expected), "{limit}");
        }
        assert_eq!(WindowSeen::default().slower_than(1), None);
    }
}
