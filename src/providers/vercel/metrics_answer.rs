//! What Vercel answers about a metric, read strictly: null and an empty answer are no data, a part of
//! a request or fewer than none is no count, and nothing becomes zero by being absent. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::base::units::Micros;
use crate::slo::telemetry::{Bucket, NoNumber, Wanted, WindowSeen};

/// The name under which the count is asked for.
pub(super) const COUNT: &str = "requests";
/// Requests go on arriving between two questions: one in so many, and ten, are no contradiction.
const DRIFT_ONE_IN: u64 = 1_000;
const DRIFT_LEAST: u64 = 10;

#[derive(Debug, Deserialize)]
struct Answer {
    /// The whole time in one row; several only where they were grouped.
    summary: Vec<Row>,
    #[serde(default)]
    series: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    timestamp: Option<String>,
    values: BTreeMap<String, Option<f64>>,
}

/// One count, and in how many steps of the series there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) count: Result<u64, NoNumber>,
    pub(super) steps: u64,
}

impl Counted {
    pub(super) fn of(body: &[u8]) -> Result<Self, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(body)?;
        let has_value = |row: &&Row| matches!(row.values.get(COUNT), Some(Some(_)));
        let steps: BTreeSet<&str> =
            answer.series.iter().filter(has_value).filter_map(|r| r.timestamp.as_deref()).collect();
        let count = match answer.summary.as_slice() {
            [] => Err(NoNumber::none("Vercel finds no such request")),
            [one] => match one.values.get(COUNT) {
                Some(Some(value)) => whole(*value),
                Some(None) => Err(NoNumber::none("Vercel answers null")),
                None => Err(NoNumber::odd("Vercel answers without the count that was asked for")),
            },
            many => Err(NoNumber::odd(format!(
                "Vercel answers {} rows where one was asked for",
                many.len()
            ))),
        };
        Ok(Self { count, steps: u64::try_from(steps.len()).unwrap_or(u64::MAX) })
    }
}

/// Counts come as floating-point numbers.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 9e15 by the test before"
)]
fn whole(value: f64) -> Result<u64, NoNumber> {
    let rounded = value.round();
    if !(0.0..9e15).contains(&rounded) || (value - rounded).abs() > 1e-6 {
        return Err(NoNumber::odd(format!(
            "Vercel answers {value}, which is no number of requests: see whether metric and \
             aggregation count them"
        )));
    }
    Ok(rounded as u64)
}

/// The answers about one scope over one window.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) all: Counted,
    /// Absent where the source has no filter of good requests.
    pub(super) good: Option<Counted>,
    /// By limit; absent where the source has no filter of fast requests.
    pub(super) fast: Option<Vec<(u64, Counted)>>,
    /// How far apart the steps stand, and how much time was asked for in all.
    pub(super) step: Micros,
    pub(super) asked: Micros,
}

impl Answers {
    pub(super) fn window(self, wanted: &Wanted) -> WindowSeen {
        let mut seen = WindowSeen::empty(wanted);
        seen.covered_us = self.step.0.saturating_mul(self.all.steps).min(self.asked.0);
        let all = match self.all.count {
            Ok(all) => all,
            Err(why) => {
                if !wanted.limits_us.is_empty() {
                    seen.keep::<u64>("latency", Err(why.clone()));
                }
                seen.requests = seen.keep("requests", Err(why));
                return seen;
            }
        };
        seen.requests = Some(all);
        seen.errors = seen.keep("errors", errors(all, self.good));
        if !wanted.limits_us.is_empty() {
            seen.buckets = seen.keep("latency", buckets(all, self.fast));
        }
        seen
    }
}

/// All that are not good.
fn errors(all: u64, good: Option<Counted>) -> Result<u64, NoNumber> {
    let good = good.ok_or_else(|| {
        NoNumber::none("the source has no filter of good requests: write good: DIMENSION < 500")
    })?;
    Ok(all - picked(all, good, "good")?)
}

/// Cumulative; the last one holds all.
fn buckets(all: u64, fast: Option<Vec<(u64, Counted)>>) -> Result<Vec<Bucket>, NoNumber> {
    let fast = fast.ok_or_else(|| {
        NoNumber::none(
            "the source has no filter of fast requests: write fast: DIMENSION <= {limit_ms}",
        )
    })?;
    let mut buckets = Vec::with_capacity(fast.len() + 1);
    let mut most = 0;
    for (limit_us, counted) in fast {
        // What is within a smaller limit is within a larger one, too.
        most = picked(all, counted, "fast")?.max(most);
        buckets.push(Bucket { le_us: Some(limit_us), count: most });
    }
    buckets.push(Bucket { le_us: None, count: all });
    Ok(buckets)
}

/// Of `all` those that a filter picks, at most all of them.
fn picked(all: u64, counted: Counted, filter: &str) -> Result<u64, NoNumber> {
    if all == 0 {
        return Ok(0);
    }
    let found = counted.count.map_err(|why| NoNumber {
        detail: format!(
            "not one of {all} requests is known to be {filter} ({}); a name that Vercel does not \
             know in `{filter}` looks the same",
            why.detail
        ),
        ..why
    })?;
    if found > all.saturating_add(all / DRIFT_ONE_IN).saturating_add(DRIFT_LEAST) {
        return Err(NoNumber::odd(format!(
            "Vercel answers {found} {filter} requests of {all}: see whether the filter is of the \
             same metric"
        )));
    }
    Ok(found.min(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Cause;

    fn count(body: &str) -> Result<u64, Cause> {
        Counted::of(body.as_bytes()).unwrap().count.map_err(|why| why.cause)
    }

    #[test]
    fn a_count_or_the_reason_why_there_is_none() {
        for (value, expected) in [
            ("41", Ok(41)),
            ("41.0", Ok(41)),
            ("0", Ok(0)),
            ("1.2e3", Ok(1_200)),
            ("null", Err(Cause::NoData)),
            ("41.5", Err(Cause::Unobserved)),
            ("-1", Err(Cause::Unobserved)),
            ("1e300", Err(Cause::Unobserved)),
        ] {
            let body =
                format!(r#"{{"summary":[{{"values":{{"requests":{value}}}}}],"meta":{{}}}}"#);
            assert_eq!(count(&body), expected, "{value}");
        }
        let two = r#"{"summary":[{"values":{"requests":1}},{"values":{"requests":2}}]}"#;
        assert_eq!(count(two), Err(Cause::Unobserved));
        assert_eq!(count(r#"{"summary":[]}"#), Err(Cause::NoData));
        assert_eq!(count(r#"{"summary":[{"values":{}}]}"#), Err(Cause::Unobserved));
        for unreadable in ["", "<html>", "{}", r#"{"summary":[{"values":{"requests":"1"}}]}"#] {
            assert!(Counted::of(unreadable.as_bytes()).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn steps_with_a_value_are_counted_once() {
        let body = r#"{"summary":[],"series":[
            {"timestamp":"a","values":{"requests":1}},{"timestamp":"a","values":{"requests":1}},
            {"timestamp":"b","values":{"requests":null}},{"timestamp":"c","values":{"requests":0}},
            {"timestamp":"d","values":{}},{"values":{"requests":4}}]}"#;
        assert_eq!(Counted::of(body.as_bytes()).unwrap().steps, 2);
    }

    fn known(count: u64) -> Counted {
        Counted { count: Ok(count), steps: 60 }
    }

    fn nothing() -> Counted {
        Counted { count: Err(NoNumber::none("nothing")), steps: 60 }
    }

    fn window(all: Counted, good: Option<Counted>, fast: Option<[Counted; 2]>) -> WindowSeen {
        let limits = [100_000, 500_000];
        let mut wanted = Wanted::counts("all", Micros::from_secs(3_600));
        for limit in limits {
            wanted.also_slower_than(Micros(limit));
        }
        let fast = fast.map(|counts| limits.into_iter().zip(counts).collect());
        let (step, asked) = (Micros::from_secs(60), Micros::from_secs(3_640));
        Answers { all, good, fast, step, asked }.window(&wanted)
    }

    #[test]
    fn whatever_a_filter_does_not_find_counts_against_the_service() {
        let whole = window(known(1_000), Some(known(990)), Some([known(900), known(1_000)]));
        assert_eq!((whole.requests, whole.errors), (Some(1_000), Some(10)));
        assert_eq!(whole.slower_than(100_000), Some((100, 100, 1_000)));
        assert_eq!(whole.slower_than(500_000), Some((0, 0, 1_000)));
        assert_eq!((whole.covered_us, whole.gaps.len()), (3_600_000_000, 0));
        // No error at all needs no rule of its own; arrivals between two questions are no error.
        for good in [1_000, 1_009] {
            let clean = window(known(1_000), Some(known(good)), None);
            assert_eq!(clean.errors, Some(0), "{good}");
        }
        // More of them are a contradiction.
        assert_eq!(window(known(1_000), Some(known(1_012)), None).errors, None);
        // Less within a larger limit than within a smaller one cannot be.
        let odd = window(known(10), Some(known(10)), Some([known(9), known(8)]));
        assert_eq!(odd.slower_than(500_000), Some((1, 1, 10)));
        assert_eq!(window(known(0), Some(nothing()), Some([nothing(), nothing()])).counts(), None);
    }

    #[test]
    fn a_filter_that_finds_nothing_is_no_data_and_never_zero() {
        let gaps = |seen: &WindowSeen| {
            seen.gaps.iter().map(|gap| (gap.what.clone(), gap.cause)).collect::<Vec<_>>()
        };
        let misspelled = window(known(1_000), Some(nothing()), Some([known(1), nothing()]));
        assert_eq!((misspelled.errors, misspelled.buckets.as_ref()), (None, None));
        let (errors, latency) = ("errors".to_owned(), "latency".to_owned());
        assert_eq!(gaps(&misspelled), [(errors, Cause::NoData), (latency, Cause::NoData)]);
        assert!(misspelled.gaps[0].detail.contains("1000 requests"), "{misspelled:?}");
        assert_eq!(gaps(&window(known(1_000), None, None)).len(), 2);
        let silent = window(nothing(), Some(nothing()), Some([nothing(), nothing()]));
        assert_eq!((silent.requests, silent.gaps.len()), (None, 2));
        assert_eq!(silent.gap("requests").unwrap().cause, Cause::NoData);
    }
}
