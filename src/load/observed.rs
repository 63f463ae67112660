//! What a run tells of each scope, in the form in which every source of measurements answers. The run
//! is the window. A run that decides nothing tells nothing: its numbers are gaps. Pure.

use super::fitness::unfit;
use super::result::LoadResult;
use super::slo_check::{Policy, samples};
use crate::base::histogram::Histogram;
use crate::slo::objective::{Limit, Objective};
use crate::slo::sample::Sample;
use crate::slo::telemetry::{Bucket, Gap, Observed, WindowSeen};

/// `source` is its name in the manifest.
pub(crate) fn observed(source: &str, policy: &Policy, seen: &LoadResult) -> Observed {
    let told = samples(policy, seen).into_iter();
    let windows = told.filter_map(|(_, objectives, sample)| Some((objectives, sample?)));
    let windows = windows.map(|(objectives, sample)| {
        let window = WindowSeen {
            scope: sample.scope.clone(),
            window_us: sample.duration.0,
            ..WindowSeen::default()
        };
        match unfit(seen) {
            Some(why) => {
                let gap = |what: &str| Gap {
                    what: what.to_owned(),
                    cause: why.cause,
                    detail: why.text.clone(),
                };
                WindowSeen { gaps: ["requests", "errors", "latency"].map(gap).into(), ..window }
            }
            None => WindowSeen {
                covered_us: sample.duration.0,
                requests: Some(sample.attempts()),
                errors: Some(sample.failures()),
                buckets: buckets(objectives, &sample),
                ..window
            },
        }
    });
    Observed::new(source, windows.collect())
}

/// The edges next to each limit, and all requests. Those never sent are slower than any.
fn buckets(objectives: &[Objective], sample: &Sample) -> Option<Vec<Bucket>> {
    let latency = Histogram::try_from(&sample.latency).ok()?;
    let limits = objectives.iter().filter_map(|objective| match objective.limit() {
        Limit::Latency(limit) => Some(limit.0),
        Limit::Ratio(_) | Limit::Rate(_) => None,
    });
    let mut edges: Vec<(u64, u64)> =
        limits.flat_map(|limit_us| edges_at(&latency, limit_us)).collect();
    edges.sort_unstable();
    edges.dedup();
    let all = Bucket { le_us: None, count: latency.count().saturating_add(sample.dropped) };
    let known = edges.into_iter().map(|(le, count)| Bucket { le_us: Some(le), count });
    Some(known.chain([all]).collect())
}

/// How many took at most so long: at the limit itself where no bucket holds it inside, else at both
/// edges of the one that does.
fn edges_at(latency: &Histogram, limit_us: u64) -> Vec<(u64, u64)> {
    // What was longer than a histogram can tell stands in its last bucket.
    let told = latency.count().saturating_sub(latency.clamped());
    let within = |edge: u64| {
        let below = latency.upper_buckets().filter(|(high, _)| *high <= edge);
        below.map(|(_, count)| count).sum::<u64>().min(told)
    };
    let around = latency
        .buckets()
        .zip(latency.upper_buckets())
        .find(|((low, _), (high, _))| *low <= limit_us && limit_us < *high);
    match around {
        None => vec![(limit_us, within(limit_us))],
        Some(((low, _), (high, _))) => {
            vec![(low.saturating_sub(1), within(low.saturating_sub(1))), (high, within(high))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Cause;
    use crate::load::plan::tests::draft;
    use crate::load::plan::{Bounds, LoadPlan};
    use crate::load::recorder::Counts;
    use crate::load::result::Raw;

    /// 900 requests of 1 ms, 100 of 1 s, 10 that were never sent, 5 errors of a counted kind.
    fn result(change: impl FnOnce(&mut LoadResult)) -> LoadResult {
        let plan = LoadPlan::new(draft(1), &Bounds::default()).unwrap();
        let mut counts = Counts { requests: 1_000, dropped: 10, ..Counts::default() };
        counts.latency.record_many(1_000, 900);
        counts.latency.record_many(1_000_000, 100);
        let raw = Raw { endpoints: vec![counts], sending_us: 10_000_000, ..Raw::default() };
        let mut result = LoadResult::new(&plan, raw);
        result.errors_by_kind = [("status_5xx".to_owned(), 5), ("status_4xx".to_owned(), 7)].into();
        change(&mut result);
        result
    }

    fn policy() -> Policy {
        let parse = |text: &str| text.parse().unwrap();
        Policy {
            overall: vec![parse("p95 < 500ms"), parse("errors < 1%"), parse("p99 < 1s")],
            errors: ["status_5xx".to_owned()].into(),
            confidence_bp: 9_500,
            min_samples: 10,
            ..Policy::default()
        }
    }

    #[test]
    fn the_run_is_the_window_and_what_was_never_sent_failed_and_was_slow() {
        let seen = observed("run", &policy(), &result(|_| {}));
        let all = &seen.windows[0];
        assert_eq!((all.window_us, all.covered_us), (10_000_000, 10_000_000));
        assert_eq!((all.requests, all.errors), (Some(1_010), Some(15)));
        assert_eq!(all.slower_than(500_000), Some((110, 110, 1_010)));
        // A bucket holds one second inside: its hundred may be within, or not.
        assert_eq!(all.slower_than(1_000_000), Some((10, 110, 1_010)));
    }

    #[test]
    fn a_run_that_decides_nothing_tells_nothing() {
        let gaps = |change: fn(&mut LoadResult)| {
            let seen = observed("run", &policy(), &result(change));
            let all = &seen.windows[0];
            assert_eq!((all.requests, all.errors, all.buckets.clone()), (None, None, None));
            all.gaps.iter().map(|gap| gap.cause).collect::<Vec<_>>()
        };
        assert_eq!(gaps(|r| r.partial = true), [Cause::Cancelled; 3]);
        assert_eq!(gaps(|r| r.late_starts = 11), [Cause::GeneratorTooSlow; 3]);
        assert_eq!(gaps(|r| r.redirects = 1_000), [Cause::NoData; 3]);
    }
}
