//! Judges one sample by its objectives. Pure.
//!
//! Pass when the whole interval keeps the limit, Fail when none of it does, else Inconclusive.
//! Equal to the limit passes. Dropped requests count as failed and as slower than any limit, and so
//! does a latency at which somebody gave up.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::decide;
use super::objective::{Limit, Metric, Objective};
use super::sample::Sample;
use super::samples_needed::samples_needed_at;
use super::statistics::{binomial, quantile};
use crate::base::histogram::Histogram;
use crate::gate::verdict::{Cause, Finding, Judgement, Measure, Unit, Verdict};

pub(crate) const RULE: &str = "slo.objectives v1";

/// What a sample is judged by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ObjectivesPolicy {
    pub(crate) objectives: Vec<Objective>,
    /// Two-sided, in basis points.
    pub(crate) confidence_bp: u32,
    pub(crate) min_samples: u64,
}

pub(crate) fn judge_objectives(policy: &ObjectivesPolicy, sample: &Sample) -> Judgement {
    let scope = &sample.scope;
    if policy.objectives.is_empty() {
        return Judgement::not_applicable(format!("{scope} has no objective"), RULE);
    }
    if sample.attempts() == 0 {
        let text = format!("{scope} received no request");
        return Judgement::inconclusive(Cause::NoData, text, RULE);
    }
    let histogram = match Histogram::try_from(&sample.latency) {
        Ok(histogram) => histogram,
        Err(error) => return Judgement::inconclusive(Cause::NoData, error.to_string(), RULE),
    };
    let measures: Vec<Measure> =
        policy.objectives.iter().map(|o| measure(o, policy, sample, &histogram)).collect();
    if sample.attempts() < policy.min_samples {
        let text = format!(
            "{scope} has {} requests; {}",
            sample.attempts(),
            what_would_decide(policy, sample, &histogram)
        );
        let judgement = Judgement::inconclusive(Cause::TooFewSamples, text, RULE);
        let undecided =
            measures.into_iter().map(|m| Measure { verdict: Verdict::Inconclusive, ..m });
        return judgement.with_measures(undecided.collect());
    }
    conclude(policy, sample, measures)
}

/// How many requests would decide if they went on like these.
fn what_would_decide(policy: &ObjectivesPolicy, sample: &Sample, latency: &Histogram) -> String {
    let needed = |o: &Objective| {
        samples_needed_at(o, policy.confidence_bp, bad_ppm(o, sample, latency))
            .map(|n| n.max(policy.min_samples))
    };
    let all: Option<Vec<u64>> = policy.objectives.iter().map(needed).collect();
    match all.and_then(|all| all.into_iter().max()) {
        Some(needed) => format!("{needed} like them would decide"),
        None => format!(
            "{} are needed to judge, and a value so close to its limit needs many more",
            policy.min_samples
        ),
    }
}

/// The share of requests that go against the objective.
fn bad_ppm(o: &Objective, sample: &Sample, latency: &Histogram) -> u32 {
    let (bad, of) = match o.limit() {
        Limit::Latency(limit) => (
            latency.count_above(limit.0).saturating_add(sample.dropped),
            latency.count().saturating_add(sample.dropped),
        ),
        Limit::Ratio(_) => (sample.failures(), sample.attempts()),
        Limit::Rate(_) => (0, 0),
    };
    let ppm = (u128::from(bad) * 1_000_000).checked_div(u128::from(of)).unwrap_or(0);
    u32::try_from(ppm).unwrap_or(1_000_000)
}

fn conclude(policy: &ObjectivesPolicy, sample: &Sample, measures: Vec<Measure>) -> Judgement {
    let scope = &sample.scope;
    let mut judgement =
        Judgement::pass(format!("{scope} keeps all {} objectives", measures.len()), RULE);
    for (objective, measure) in policy.objectives.iter().zip(&measures) {
        if measure.verdict == Verdict::Fail {
            judgement.findings.push(finding(objective, measure, scope));
        }
    }
    judgement.verdict =
        Verdict::worst(measures.iter().map(|m| m.verdict)).unwrap_or(Verdict::Inconclusive);
    if let Some(first) = judgement.findings.first() {
        judgement.headline.clone_from(&first.title);
        judgement.next.push(first.next.clone());
    } else if let Some(open) = measures.iter().find(|m| m.verdict == Verdict::Inconclusive) {
        judgement.cause = Some(Cause::Undecided);
        judgement.headline =
            format!("{} requests to {scope} cannot decide {}", open.samples, open.asked);
        judgement.next.push("measure longer, or with more traffic".to_owned());
    }
    judgement.with_measures(measures)
}

fn finding(objective: &Objective, measure: &Measure, scope: &str) -> Finding {
    let (name, limit) = (objective.name(), objective.limit());
    let seen = match measure.seen {
        Some(value) => measure.unit.show(value),
        None => "no answer in time".to_owned(),
    };
    Finding {
        fingerprint: format!("{name}:{scope}"),
        title: format!("{name} of {scope}: {seen}; the limit is {limit}"),
        place: Some(scope.to_owned()),
        // Without an answer it is worse than any value that somebody could tolerate.
        value: measure.seen.unwrap_or(i64::MAX),
        unit: measure.unit,
        next: format!("find what changed {name} of {scope}"),
    }
}

fn measure(o: &Objective, policy: &ObjectivesPolicy, s: &Sample, h: &Histogram) -> Measure {
    match (o.metric(), o.limit()) {
        (Metric::Latency { quantile_bp }, Limit::Latency(limit)) => {
            latency(o, (quantile_bp, limit.0), policy, s, h)
        }
        (Metric::Throughput, Limit::Rate(limit)) => {
            let seen = s.throughput();
            let verdict = if seen >= limit { Verdict::Pass } else { Verdict::Fail };
            row(o, s, Unit::MilliPerSecond, limit.milli_per_s).of(
                Some(seen.milli_per_s),
                (None, None),
                verdict,
            )
        }
        (metric, Limit::Ratio(limit)) => {
            let good = matches!(metric, Metric::Uptime { .. });
            let hits = if good { s.attempts() - s.failures() } else { s.failures() };
            ratio(o, (hits, limit.0 * 100), policy, s)
        }
        _ => mismatched(o, s),
    }
}

/// Parsing makes objectives whose limit fits the metric; anything else never passes.
fn mismatched(o: &Objective, s: &Sample) -> Measure {
    row(o, s, Unit::Count, 0).of(None, (None, None), Verdict::Inconclusive)
}

fn ratio(o: &Objective, (hits, limit): (u64, u32), p: &ObjectivesPolicy, s: &Sample) -> Measure {
    let (n, alpha) = (s.attempts(), binomial::tail(p.confidence_bp));
    let (lower, upper) = (binomial::lower_ppm(hits, n, alpha), binomial::upper_ppm(hits, n, alpha));
    let seen = u64::try_from(u128::from(hits) * 1_000_000 / u128::from(n)).unwrap_or(u64::MAX);
    let too_short = matches!(o.metric(), Metric::Uptime { window } if s.duration < window);
    let verdict = if too_short {
        Verdict::Inconclusive
    } else if o.comparison().is_upper_limit() {
        decide(upper <= limit, lower > limit)
    } else {
        decide(lower >= limit, upper < limit)
    };
    let interval = (Some(lower.into()), Some(upper.into()));
    row(o, s, Unit::Ppm, limit.into()).of(Some(seen), interval, verdict)
}

fn latency(
    o: &Objective,
    (quantile_bp, limit): (u32, u64),
    policy: &ObjectivesPolicy,
    sample: &Sample,
    h: &Histogram,
) -> Measure {
    // Requests that were given up or never sent stand above every answered one: a rank among them
    // has no upper edge.
    let n = h.count().saturating_add(sample.dropped);
    let ranks = quantile::ranks(n, quantile_bp, policy.confidence_bp);
    let answered = h.count().saturating_sub(sample.timeouts);
    let known = answered.saturating_sub(h.clamped());
    let upper = ranks.upper.filter(|r| *r <= known).and_then(|r| h.edges_at_rank(r));
    let at = |rank: u64| h.edges_at_rank(rank).filter(|_| rank <= answered);
    let lower = ranks.lower.map(|r| at(r).map_or(u64::MAX, |(low, _)| low));
    let verdict =
        decide(upper.is_some_and(|(_, high)| high <= limit), lower.is_some_and(|low| low > limit));
    let rank = (u128::from(n) * u128::from(quantile_bp)).div_ceil(10_000).max(1);
    let seen = u64::try_from(rank).ok().and_then(at).map(|(_, high)| high);
    let interval = (lower.filter(|l| *l != u64::MAX), upper.map(|(_, high)| high));
    let mut measure = row(o, sample, Unit::Microseconds, limit).of(seen, interval, verdict);
    measure.samples = n;
    measure
}

struct Row(Measure);

fn row(o: &Objective, s: &Sample, unit: Unit, limit: u64) -> Row {
    Row(Measure {
        asked: o.to_string(),
        seen: None,
        lower: None,
        upper: None,
        limit: i64::try_from(limit).ok(),
        unit,
        samples: s.attempts(),
        verdict: Verdict::Inconclusive,
    })
}

impl Row {
    fn of(self, seen: Option<u64>, ends: (Option<u64>, Option<u64>), verdict: Verdict) -> Measure {
        let signed = |v: Option<u64>| v.and_then(|v| i64::try_from(v).ok());
        let (lower, upper) = (signed(ends.0), signed(ends.1));
        Measure { seen: signed(seen), lower, upper, verdict, ..self.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Counts;
    use super::*;
    use crate::base::units::Micros;

    fn verdict(
        objective: &str,
        counts: (u64, u64, u64),
        latency_us: u64,
    ) -> (Verdict, Option<Cause>) {
        let (requests, errors, dropped) = counts;
        let mut histogram = Histogram::default();
        histogram.record_many(latency_us, requests);
        let counts = Counts { requests, errors, dropped, duration: Micros::from_secs(10) };
        let policy = ObjectivesPolicy {
            objectives: vec![objective.parse().unwrap()],
            confidence_bp: 9_500,
            min_samples: 10,
        };
        let judgement = judge_objectives(&policy, &Sample::new("checkout", counts, &histogram));
        (judgement.verdict, judgement.cause)
    }

    #[test]
    fn pass_fail_boundary_and_no_data() {
        use Verdict::{Fail, Inconclusive, Pass};
        let undecided = (Inconclusive, Some(Cause::Undecided));
        for (objective, counts, latency_us, expected) in [
            ("errors < 1%", (0, 0, 0), 1, (Inconclusive, Some(Cause::NoData))),
            ("errors < 1%", (9, 9, 0), 1, (Inconclusive, Some(Cause::TooFewSamples))),
            ("errors < 1%", (367, 0, 0), 1, undecided),
            ("errors < 1%", (368, 0, 0), 1, (Pass, None)),
            ("errors < 1%", (1_000, 5, 0), 1, undecided),
            ("errors < 1%", (2_000, 10, 0), 1, (Pass, None)),
            ("errors < 1%", (1_000, 30, 0), 1, (Fail, None)),
            ("errors < 1%", (1_000, 0, 30), 1, (Fail, None)),
            ("p95 < 500us", (71, 0, 0), 500, undecided),
            ("p95 < 500us", (72, 0, 0), 500, (Pass, None)),
            ("p95 <= 500us", (400, 0, 0), 500, (Pass, None)),
            ("p95 < 500us", (400, 0, 0), 501, (Fail, None)),
            ("p95 < 500us", (400, 0, 100), 1, (Fail, None)),
            ("throughput > 10/s", (100, 0, 0), 1, (Pass, None)),
            ("throughput > 10/s", (100, 1, 0), 1, (Fail, None)),
            ("uptime > 90% over 10s", (1_000, 0, 0), 1, (Pass, None)),
            ("uptime > 90% over 11s", (1_000, 0, 0), 1, undecided),
        ] {
            assert_eq!(verdict(objective, counts, latency_us), expected, "{objective} {counts:?}");
        }
    }

    #[test]
    fn too_few_samples_say_how_many_would_decide() {
        let headline = |objective: &str, (requests, errors), min_samples| {
            let mut histogram = Histogram::default();
            histogram.record_many(1, requests);
            let duration = Micros::from_secs(10);
            let counts = Counts { requests, errors, dropped: 0, duration };
            let objectives = vec![objective.parse().unwrap()];
            let policy = ObjectivesPolicy { objectives, confidence_bp: 9_500, min_samples };
            judge_objectives(&policy, &Sample::new("checkout", counts, &histogram)).headline
        };
        for (objective, counts, min_samples, expected) in [
            ("errors < 1%", (50, 0), 60, "checkout has 50 requests; 368 like them would decide"),
            ("errors < 1%", (50, 0), 400, "checkout has 50 requests; 400 like them would decide"),
            ("p95 < 500us", (50, 0), 60, "checkout has 50 requests; 72 like them would decide"),
            (
                "errors < 2%",
                (50, 1),
                400,
                "checkout has 50 requests; 400 are needed to judge, and a value so close to its \
                 limit needs many more",
            ),
        ] {
            assert_eq!(headline(objective, counts, min_samples), expected, "{objective}");
        }
    }
}
