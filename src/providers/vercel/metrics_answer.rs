//! What Vercel answers about a metric, read strictly: null and an empty answer are no data, a part of
//! a request or fewer than none is no count, and nothing becomes zero by being absent. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::base::clock::Timestamp;
use crate::base::units::Micros;
use crate::gate::verdict::Cause;
use crate::slo::telemetry::{Bucket, NoNumber, Wanted, WindowSeen};
use crate::slo::vercel_query::step;

/// The name under which the count is asked for.
pub(super) const COUNT: &str = "requests";

/// Whole steps that hold a window. They end with the last step that is over: what is asked at two
/// moments is asked of the same closed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) step: Micros,
}

impl Range {
    pub(super) fn of(now: Timestamp, window: Micros) -> Self {
        let step = step(window);
        let end = now.as_us() - now.as_us().rem_euclid(step.as_i64());
        let whole = Micros(step.0.saturating_mul(window.0.div_ceil(step.0).max(1)));
        let start = end.saturating_sub(whole.as_i64());
        Self { start: Timestamp::from_us(start), end: Timestamp::from_us(end), step }
    }

    /// Which of its steps holds the time that is written so.
    fn step_at(&self, written: &str) -> Option<i64> {
        let at = time(written)?.as_us();
        let within = (self.start.as_us()..self.end.as_us()).contains(&at);
        within.then(|| (at - self.start.as_us()) / self.step.as_i64())
    }
}

/// RFC 3339, in UTC where it names no zone, or seconds or milliseconds since 1970.
fn time(written: &str) -> Option<Timestamp> {
    /// Later than any time in seconds that is meant, earlier than any in milliseconds.
    const MILLISECONDS_FROM: i64 = 100_000_000_000;
    if let Ok(number) = written.parse::<i64>() {
        let scale = if number < MILLISECONDS_FROM { 1_000_000 } else { 1_000 };
        return number.checked_mul(scale).map(Timestamp::from_us);
    }
    let found = Timestamp::parse_rfc3339(written);
    found.or_else(|_| Timestamp::parse_rfc3339(&format!("{written}Z"))).ok()
}

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

/// One count, and in how many steps of the series there was a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) count: Result<u64, NoNumber>,
    pub(super) steps: u64,
}

impl Counted {
    pub(super) fn of(body: &[u8], range: &Range) -> Result<Self, serde_json::Error> {
        let answer: Answer = serde_json::from_slice(body)?;
        // Zero may be filled in where nothing is known any more.
        let has_request = |row: &&Row| matches!(row.values.get(COUNT), Some(Some(n)) if *n > 0.0);
        let known = answer.series.iter().filter(has_request);
        let steps: BTreeSet<i64> =
            known.filter_map(|row| range.step_at(row.timestamp.as_deref()?)).collect();
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
    /// How far apart the steps stand.
    pub(super) step: Micros,
}

/// Which filters of a scope have found a request over any window. Their names are known, so where
/// they find nothing, there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Proven {
    good: bool,
    fast: bool,
}

impl Proven {
    pub(super) fn by<'a>(answers: impl IntoIterator<Item = &'a Answers>) -> Self {
        let found = |counted: &Counted| counted.count.as_ref().is_ok_and(|count| *count > 0);
        answers.into_iter().fold(Self::default(), |known, of| Self {
            good: known.good || of.good.as_ref().is_some_and(found),
            fast: known.fast || of.fast.iter().flatten().any(|(_, counted)| found(counted)),
        })
    }
}

impl Answers {
    pub(super) fn window(self, wanted: &Wanted, proven: Proven) -> WindowSeen {
        let mut seen = WindowSeen::empty(wanted);
        seen.covered_us = self.step.0.saturating_mul(self.all.steps);
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
        seen.errors = seen.keep("errors", errors(all, self.good, proven.good));
        if !wanted.limits_us.is_empty() {
            seen.buckets = seen.keep("latency", buckets(all, self.fast, proven.fast));
        }
        seen
    }
}

/// All that are not good.
fn errors(all: u64, good: Option<Counted>, proven: bool) -> Result<u64, NoNumber> {
    let good = good.ok_or_else(|| {
        NoNumber::none("the source has no filter of good requests: write good: DIMENSION < 500")
    })?;
    Ok(all - picked(all, good, ("good", proven))?)
}

/// Cumulative; the last one holds all.
fn buckets(
    all: u64,
    fast: Option<Vec<(u64, Counted)>>,
    proven: bool,
) -> Result<Vec<Bucket>, NoNumber> {
    let fast = fast.ok_or_else(|| {
        NoNumber::none(
            "the source has no filter of fast requests: write fast: DIMENSION <= {limit_ms}",
        )
    })?;
    let mut buckets = Vec::with_capacity(fast.len() + 1);
    let mut most = 0;
    for (limit_us, counted) in fast {
        let found = picked(all, counted, ("fast", proven))?;
        if found < most {
            return Err(NoNumber::odd(format!(
                "Vercel answers {found} requests within {} and {most} within less: see whether the \
                 filter `fast` says DIMENSION <= {{limit_ms}}",
                Micros(limit_us)
            )));
        }
        most = found;
        buckets.push(Bucket { le_us: Some(limit_us), count: found });
    }
    buckets.push(Bucket { le_us: None, count: all });
    Ok(buckets)
}

/// Of `all` those that a filter picks. Whether it knows its names is proven, or not.
fn picked(all: u64, counted: Counted, (filter, proven): (&str, bool)) -> Result<u64, NoNumber> {
    if all == 0 {
        return Ok(0);
    }
    let nothing = |why: NoNumber| NoNumber {
        detail: format!(
            "not one of {all} requests is known to be {filter} ({}); a name that Vercel does not \
             know in `{filter}` looks the same",
            why.detail
        ),
        ..why
    };
    match counted.count {
        Ok(0) if !proven => Err(nothing(NoNumber::none("Vercel answers 0"))),
        Err(why) if proven && why.cause == Cause::NoData => Ok(0),
        Err(why) => Err(nothing(why)),
        Ok(found) if found > all => Err(NoNumber::odd(format!(
            "Vercel answers {found} {filter} requests of {all} over the same time: see whether the \
             filter is of the same metric; where some were only just written down, run it again"
        ))),
        Ok(found) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    /// From 04:00 to 05:00, by minutes.
    fn hour() -> Range {
        Range::of(at("2026-11-22T05:00:30Z"), Micros::from_secs(3_600))
    }

    fn count(body: &str) -> Result<u64, Cause> {
        Counted::of(body.as_bytes(), &hour()).unwrap().count.map_err(|why| why.cause)
    }

    #[test]
    fn a_range_is_whole_steps_that_are_over() {
        for (now, seconds, start, end) in [
            ("2026-11-22T04:05:30Z", 3_600, "2026-11-22T03:05:00Z", "2026-11-22T04:05:00Z"),
            ("2026-11-22T04:05:30Z", 2_592_000, "2026-10-23T04:00:00Z", "2026-11-22T04:00:00Z"),
            ("2026-11-22T04:05:00Z", 300, "2026-11-22T04:00:00Z", "2026-11-22T04:05:00Z"),
            // A window that is no whole steps reaches further back.
            ("2026-11-22T04:05:00Z", 90, "2026-11-22T04:03:00Z", "2026-11-22T04:05:00Z"),
        ] {
            let range = Range::of(at(now), Micros::from_secs(seconds));
            assert_eq!((range.start, range.end), (at(start), at(end)), "{now} {seconds}");
        }
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
            assert!(Counted::of(unreadable.as_bytes(), &hour()).is_err(), "{unreadable}");
        }
    }

    #[test]
    fn steps_with_a_request_are_counted_once() {
        for (series, expected) in [
            (r#"{"timestamp":"2026-11-22T04:00:00Z","values":{"requests":1}}"#, 1),
            (r#"{"timestamp":"1795320000","values":{"requests":1}}"#, 1),
            (r#"{"timestamp":"1795320000000","values":{"requests":1}}"#, 1),
            (r#"{"timestamp":"2026-11-22 04:00:00","values":{"requests":1}}"#, 1),
            // The same step in three ways of writing.
            (
                r#"{"timestamp":"2026-11-22T04:00:00Z","values":{"requests":1}},
                {"timestamp":"2026-11-22T04:00:00.000Z","values":{"requests":1}},
                {"timestamp":"2026-11-22T05:00:59+01:00","values":{"requests":1}}"#,
                1,
            ),
            (
                r#"{"timestamp":"2026-11-22T04:00:00Z","values":{"requests":1}},
                {"timestamp":"2026-11-22T04:59:00Z","values":{"requests":4}}"#,
                2,
            ),
            // Before and after what was asked for.
            (r#"{"timestamp":"2026-11-22T03:59:00Z","values":{"requests":1}}"#, 0),
            (r#"{"timestamp":"2026-11-22T05:00:00Z","values":{"requests":1}}"#, 0),
            (r#"{"timestamp":"2026-11-22T04:00:00Z","values":{"requests":null}}"#, 0),
            (r#"{"timestamp":"2026-11-22T04:00:00Z","values":{"requests":0}}"#, 0),
            (r#"{"timestamp":"2026-11-22T04:00:00Z","values":{}}"#, 0),
            (r#"{"timestamp":"at four","values":{"requests":4}}"#, 0),
            (r#"{"values":{"requests":4}}"#, 0),
        ] {
            let body = format!(r#"{{"summary":[],"series":[{series}]}}"#);
            let counted = Counted::of(body.as_bytes(), &hour()).unwrap();
            assert_eq!(counted.steps, expected, "{series}");
        }
    }

    fn known(count: u64) -> Counted {
        Counted { count: Ok(count), steps: 60 }
    }

    fn nothing() -> Counted {
        Counted { count: Err(NoNumber::none("nothing")), steps: 60 }
    }

    fn window(all: Counted, good: Option<Counted>, fast: Option<[Counted; 2]>) -> WindowSeen {
        proven_window(all, good, fast, None)
    }

    /// `good` and `fast` are proven by themselves, or by another answer.
    fn proven_window(
        all: Counted,
        good: Option<Counted>,
        fast: Option<[Counted; 2]>,
        other: Option<&Answers>,
    ) -> WindowSeen {
        let limits = [100_000, 500_000];
        let mut wanted = Wanted::counts("all", Micros::from_secs(3_600));
        for limit in limits {
            wanted.also_slower_than(Micros(limit));
        }
        let fast = fast.map(|counts| limits.into_iter().zip(counts).collect());
        let answers = Answers { all, good, fast, step: Micros::from_secs(60) };
        let proven = Proven::by(other.into_iter().chain([&answers]));
        answers.window(&wanted, proven)
    }

    #[test]
    fn whatever_a_filter_does_not_find_counts_against_the_service() {
        let whole = window(known(1_000), Some(known(990)), Some([known(900), known(1_000)]));
        assert_eq!((whole.requests, whole.errors), (Some(1_000), Some(10)));
        assert_eq!(whole.slower_than(100_000), Some((100, 100, 1_000)));
        assert_eq!(whole.slower_than(500_000), Some((0, 0, 1_000)));
        assert_eq!((whole.covered_us, whole.gaps.len()), (3_600_000_000, 0));
        // No error at all needs no rule of its own.
        assert_eq!(window(known(1_000), Some(known(1_000)), None).errors, Some(0));
        // More of them over the same time are a contradiction.
        assert_eq!(window(known(1_000), Some(known(1_001)), None).errors, None);
        // So is less within a larger limit than within a smaller one: it asks for the slow ones.
        for less in [known(8), nothing()] {
            let odd = window(known(10), Some(known(10)), Some([known(9), less]));
            assert_eq!((odd.buckets.as_ref(), odd.gaps.len()), (None, 1), "{odd:?}");
        }
        // Nothing within the smaller limit, where the larger one finds some, is zero.
        let slow = window(known(10), Some(known(10)), Some([nothing(), known(9)]));
        assert_eq!(slow.slower_than(100_000), Some((10, 10, 10)));
        assert_eq!(window(known(0), Some(nothing()), Some([nothing(), nothing()])).counts(), None);
    }

    #[test]
    fn a_filter_that_finds_nothing_is_no_data_and_never_zero() {
        let gaps = |seen: &WindowSeen| {
            seen.gaps.iter().map(|gap| (gap.what.clone(), gap.cause)).collect::<Vec<_>>()
        };
        let misspelled = window(known(1_000), Some(nothing()), Some([nothing(), nothing()]));
        assert_eq!((misspelled.errors, misspelled.buckets.as_ref()), (None, None));
        let (errors, latency) = ("errors".to_owned(), "latency".to_owned());
        assert_eq!(gaps(&misspelled), [(errors, Cause::NoData), (latency, Cause::NoData)]);
        assert!(misspelled.gaps[0].detail.contains("1000 requests"), "{misspelled:?}");
        let zeros = window(known(1_000), Some(known(0)), Some([known(0), known(0)]));
        assert_eq!(gaps(&zeros), gaps(&misspelled), "a zero proves no more than nothing does");
        assert_eq!(gaps(&window(known(1_000), None, None)).len(), 2);
        let silent = window(nothing(), Some(nothing()), Some([nothing(), nothing()]));
        assert_eq!((silent.requests, silent.gaps.len()), (None, 2));
        assert_eq!(silent.gap("requests").unwrap().cause, Cause::NoData);
    }

    #[test]
    fn a_name_that_another_window_proves_makes_nothing_a_total_outage() {
        let longer = |good, fast| Answers {
            all: known(9_000),
            good: Some(good),
            fast: Some(vec![(100_000, fast)]),
            step: Micros::from_secs(900),
        };
        for none in [nothing(), known(0)] {
            let outage = |other: &Answers| {
                let fast = Some([none.clone(), none.clone()]);
                proven_window(known(100), Some(none.clone()), fast, Some(other))
            };
            let seen = outage(&longer(known(8_000), known(7_000)));
            assert_eq!(
                (seen.errors, seen.slower_than(100_000)),
                (Some(100), Some((100, 100, 100)))
            );
            let unproven = outage(&longer(nothing(), known(0)));
            assert_eq!((unproven.errors, unproven.gaps.len()), (None, 2), "{unproven:?}");
        }
        // What is no count is none in spite of it.
        let odd = Counted { count: Err(NoNumber::odd("half a request")), steps: 1 };
        let other = longer(known(1), known(1));
        assert_eq!(proven_window(known(9), Some(odd), None, Some(&other)).errors, None);
    }
}
