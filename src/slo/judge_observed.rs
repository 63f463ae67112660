//! Judges what a source told of objectives that hold all the time. Pure.
//!
//! The same intervals as everywhere: Pass when the whole interval keeps the limit, Fail when none of
//! it does, else Inconclusive. A percentile is judged as the share of requests slower than its
//! limit, which buckets can tell; where no bucket ends at the limit, both neighbours have to agree.
//! What a source did not tell is Inconclusive, never zero.

use serde::{Deserialize, Serialize};

use super::decide::decide;
use super::objective::{Limit, Metric, Objective};
use super::sample::ALL;
use super::statistics::binomial::{lower_ppm, tail, upper_ppm};
use super::telemetry::{Observed, Wanted, WindowSeen};
use crate::base::units::{Micros, Rate};
use crate::gate::verdict::{Cause, Finding, Judgement, Measure, Unit, Verdict};

pub(crate) const RULE: &str = "slo.check v1";

/// What is asked of a source, and how sure one has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ObservedPolicy {
    pub(crate) scopes: Vec<ScopePolicy>,
    /// Of objectives that name no window of their own.
    pub(crate) window: Micros,
    /// Two-sided, in basis points.
    pub(crate) confidence_bp: u32,
    pub(crate) min_samples: u64,
}

/// The objectives of one scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ScopePolicy {
    pub(crate) scope: String,
    pub(crate) objectives: Vec<Objective>,
}

impl ObservedPolicy {
    /// The window that an objective is judged over.
    fn window(&self, objective: &Objective) -> Micros {
        match objective.metric() {
            Metric::Uptime { window } => window,
            _ => self.window,
        }
    }

    /// What has to be asked of the source, each question once.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for of in &self.scopes {
            for objective in &of.objectives {
                let window = self.window(objective);
                let same = |w: &Wanted| w.scope == of.scope && w.window == window;
                let at = wanted.iter().position(same).unwrap_or_else(|| {
                    wanted.push(Wanted::counts(&of.scope, window));
                    wanted.len() - 1
                });
                if let Limit::Latency(limit) = objective.limit() {
                    wanted[at].also_slower_than(limit);
                }
            }
        }
        wanted
    }
}

pub(crate) fn judge_observed(policy: &ObservedPolicy, seen: &Observed) -> Judgement {
    let mut judgement = Judgement::pass(String::new(), RULE);
    let mut open: Option<(Cause, String)> = None;
    for of in &policy.scopes {
        for objective in &of.objectives {
            let (measure, gap) = measure(policy, &of.scope, objective, seen);
            if measure.verdict == Verdict::Fail {
                judgement.findings.push(finding(objective, &measure, &of.scope));
            }
            if measure.verdict == Verdict::Inconclusive && open.is_none() {
                open = Some(gap);
            }
            judgement.measures.push(measure);
        }
    }
    let Some(worst) = Verdict::worst(judgement.measures.iter().map(|m| m.verdict)) else {
        return Judgement::not_applicable("there is no objective to judge by", RULE);
    };
    judgement.verdict = worst;
    judgement.headline = match (judgement.findings.first(), open) {
        (Some(first), _) => {
            judgement.next.push(first.next.clone());
            first.title.clone()
        }
        (None, Some((cause, text))) => {
            judgement.cause = Some(cause);
            text
        }
        (None, None) => {
            format!("{} keeps all {} objectives", seen.source, judgement.measures.len())
        }
    };
    judgement
}

fn finding(objective: &Objective, measure: &Measure, scope: &str) -> Finding {
    let value = measure.seen.unwrap_or_default();
    let shown = measure.unit.show(value);
    let name = objective.name();
    let title = match objective.metric() {
        Metric::Latency { .. } => {
            format!("{shown} of requests to {scope} are slower than {}", objective.limit())
        }
        _ => format!("{name} of {scope}: {shown}; the limit is {}", objective.limit()),
    };
    Finding {
        fingerprint: format!("{name}:{scope}"),
        title,
        place: Some(scope.to_owned()),
        value,
        unit: measure.unit,
        next: format!("find what changed {name} of {scope}"),
    }
}

/// The measure, and why it would be open.
fn measure(
    policy: &ObservedPolicy,
    scope: &str,
    objective: &Objective,
    seen: &Observed,
) -> (Measure, (Cause, String)) {
    let window = policy.window(objective);
    let asked = if scope == ALL { objective.to_string() } else { format!("{scope}: {objective}") };
    let empty = Measure {
        asked: asked.clone(),
        seen: None,
        lower: None,
        upper: None,
        limit: None,
        unit: Unit::Ppm,
        samples: 0,
        verdict: Verdict::Inconclusive,
    };
    let Some(known) = seen.window(scope, window) else {
        let text = format!("{} says nothing of {scope} over {window}", seen.source);
        return (empty, (Cause::NoData, text));
    };
    let judged = match (objective.metric(), objective.limit()) {
        (Metric::Latency { quantile_bp }, Limit::Latency(limit)) => {
            slower(policy, known, quantile_bp, limit)
        }
        (Metric::Throughput, Limit::Rate(limit)) => throughput(known, limit),
        (metric, Limit::Ratio(limit)) => failed(
            policy,
            known,
            limit.0.min(10_000) * 100,
            matches!(metric, Metric::Uptime { .. }),
        ),
        _ => None,
    };
    let Some(judged) = judged else {
        return (empty, gap(scope, objective, known, &seen.source));
    };
    let mut measure = Measure { asked, ..judged };
    let mut why = (Cause::Undecided, undecided(scope, objective, &measure));
    if measure.samples < policy.min_samples {
        measure.verdict = Verdict::Inconclusive;
        let text = format!(
            "{scope} has {} requests over {window}; {} are needed to judge",
            measure.samples, policy.min_samples
        );
        why = (Cause::TooFewSamples, text);
    }
    let is_whole = matches!(objective.metric(), Metric::Uptime { .. } | Metric::Throughput);
    if is_whole && !known.is_covered() {
        measure.verdict = Verdict::Inconclusive;
        let text = format!(
            "{} has data for {} of the {window} that {objective} is about",
            seen.source,
            Micros(known.covered_us)
        );
        why = (Cause::TooFewSamples, text);
    }
    (measure, why)
}

fn undecided(scope: &str, objective: &Objective, measure: &Measure) -> String {
    format!("{} requests to {scope} cannot decide {objective}", measure.samples)
}

/// What the source did not tell.
fn gap(scope: &str, objective: &Objective, known: &WindowSeen, source: &str) -> (Cause, String) {
    let latency = matches!(objective.metric(), Metric::Latency { .. });
    let names: &[&str] = if latency { &["latency"] } else { &["requests", "errors"] };
    match names.iter().find_map(|name| known.gap(name)) {
        Some(gap) => {
            let text = format!("no {} of {scope} from {source}: {}", gap.what, gap.detail);
            (gap.cause, text)
        }
        None => (Cause::NoData, format!("{scope} received no request that {source} knows of")),
    }
}

fn slower(
    policy: &ObservedPolicy,
    known: &WindowSeen,
    quantile_bp: u32,
    limit: Micros,
) -> Option<Measure> {
    let (fewest, most, all) = known.slower_than(limit.0)?;
    let allowed = (10_000 - quantile_bp.min(10_000)) * 100;
    let alpha = tail(policy.confidence_bp);
    let (lower, upper) = (lower_ppm(fewest, all, alpha), upper_ppm(most, all, alpha));
    Some(Measure {
        verdict: decide(upper <= allowed, lower > allowed),
        ..ratio((most, all), (lower, upper), allowed)
    })
}

fn failed(policy: &ObservedPolicy, known: &WindowSeen, limit: u32, good: bool) -> Option<Measure> {
    let (requests, errors) = known.counts()?;
    let hits = if good { requests - errors } else { errors };
    let alpha = tail(policy.confidence_bp);
    let (lower, upper) = (lower_ppm(hits, requests, alpha), upper_ppm(hits, requests, alpha));
    let verdict = if good {
        decide(lower >= limit, upper < limit)
    } else {
        decide(upper <= limit, lower > limit)
    };
    Some(Measure { verdict, ..ratio((hits, requests), (lower, upper), limit) })
}

fn ratio((hits, all): (u64, u64), (lower, upper): (u32, u32), limit: u32) -> Measure {
    let seen = u128::from(hits) * 1_000_000 / u128::from(all.max(1));
    Measure {
        asked: String::new(),
        seen: i64::try_from(seen).ok(),
        lower: Some(lower.into()),
        upper: Some(upper.into()),
        limit: Some(limit.into()),
        unit: Unit::Ppm,
        samples: all,
        verdict: Verdict::Inconclusive,
    }
}

fn throughput(known: &WindowSeen, limit: Rate) -> Option<Measure> {
    let (requests, errors) = known.counts()?;
    // Nobody came in the time without data, or nobody knows of it: both have to agree.
    let good = requests - errors;
    let (covered, window) = (known.covered_us, known.window_us);
    let least = Rate::of(good, Micros(covered.max(window)));
    let most = Rate::of(good, Micros(covered));
    Some(Measure {
        seen: i64::try_from(least.milli_per_s).ok(),
        limit: i64::try_from(limit.milli_per_s).ok(),
        lower: i64::try_from(least.milli_per_s).ok(),
        upper: i64::try_from(most.milli_per_s).ok(),
        unit: Unit::MilliPerSecond,
        samples: requests,
        asked: String::new(),
        verdict: decide(least >= limit, most < limit),
    })
}

#[cfg(test)]
mod tests {
    use super::super::telemetry::{Bucket, Gap};
    use super::*;

    const HOUR: Micros = Micros::from_secs(3_600);

    fn verdict(objective: &str, seen: WindowSeen) -> (Verdict, Option<Cause>, String) {
        let objective: Objective = objective.parse().unwrap();
        let scopes = vec![ScopePolicy { scope: "all".to_owned(), objectives: vec![objective] }];
        let policy = ObservedPolicy { scopes, window: HOUR, confidence_bp: 9_500, min_samples: 10 };
        let wanted = policy.wanted().remove(0);
        let seen = WindowSeen { scope: "all".to_owned(), window_us: wanted.window.0, ..seen };
        let judgement = judge_observed(&policy, &Observed::new("prom", vec![seen]));
        (judgement.verdict, judgement.cause, judgement.headline)
    }

    fn counts(requests: u64, errors: u64) -> WindowSeen {
        WindowSeen {
            requests: Some(requests),
            errors: Some(errors),
            covered_us: HOUR.0,
            ..WindowSeen::default()
        }
    }

    #[test]
    fn pass_fail_boundary_and_no_data() {
        use Verdict::{Fail, Inconclusive, Pass};
        let buckets = |within: u64| WindowSeen {
            buckets: Some(vec![
                Bucket { le_us: Some(250_000), count: within },
                Bucket { le_us: Some(1_000_000), count: 1_000 },
                Bucket { le_us: None, count: 1_000 },
            ]),
            ..counts(1_000, 0)
        };
        let undecided = Some(Cause::Undecided);
        let most_of_an_hour =
            |requests| WindowSeen { covered_us: HOUR.0 / 20 * 19, ..counts(requests, 0) };
        for (objective, seen, expected) in [
            ("errors < 1%", counts(367, 0), (Inconclusive, undecided)),
            ("errors < 1%", counts(368, 0), (Pass, None)),
            ("errors < 1%", counts(1_000, 30), (Fail, None)),
            ("errors < 1%", counts(0, 0), (Inconclusive, Some(Cause::NoData))),
            ("errors < 1%", counts(9, 9), (Inconclusive, Some(Cause::TooFewSamples))),
            ("errors < 1%", WindowSeen::default(), (Inconclusive, Some(Cause::NoData))),
            ("p95 < 250ms", buckets(1_000), (Pass, None)),
            ("p95 < 250ms", buckets(950), (Inconclusive, undecided)),
            ("p95 < 250ms", buckets(900), (Fail, None)),
            // No bucket ends at 500 ms: 900 of 1,000 may be slower, or none.
            ("p95 < 500ms", buckets(100), (Inconclusive, undecided)),
            ("p95 < 500ms", buckets(1_000), (Pass, None)),
            ("p95 < 250ms", counts(1_000, 0), (Inconclusive, Some(Cause::NoData))),
            ("throughput > 1/s", counts(3_600, 0), (Pass, None)),
            ("throughput > 1/s", counts(3_600, 1), (Fail, None)),
            (
                "throughput > 1/s",
                WindowSeen { covered_us: HOUR.0 / 10, ..counts(3_600, 0) },
                (Inconclusive, Some(Cause::TooFewSamples)),
            ),
            // Three of sixty minutes without a request: 0.95 to 1 a second.
            ("throughput > 1/s", most_of_an_hour(3_420), (Inconclusive, undecided)),
            ("throughput > 1/s", most_of_an_hour(3_600), (Pass, None)),
            ("throughput > 1/s", most_of_an_hour(3_419), (Fail, None)),
            ("uptime > 99% over 1h", counts(1_000, 0), (Pass, None)),
            ("uptime > 99% over 1h", counts(1_000, 100), (Fail, None)),
            ("uptime > 99% over 2h", counts(1_000, 0), (Inconclusive, Some(Cause::TooFewSamples))),
        ] {
            let (verdict, cause, headline) = verdict(objective, seen.clone());
            assert_eq!((verdict, cause), expected, "{objective} {seen:?}: {headline}");
        }
    }

    #[test]
    fn a_gap_says_why() {
        let detail = "answered nothing".to_owned();
        let gap = Gap { what: "errors".to_owned(), cause: Cause::Timeout, detail };
        let seen = WindowSeen { requests: Some(5), gaps: vec![gap], ..WindowSeen::default() };
        let (verdict, cause, headline) = verdict("errors < 1%", seen);
        assert_eq!((verdict, cause), (Verdict::Inconclusive, Some(Cause::Timeout)));
        assert_eq!(headline, "no errors of all from prom: answered nothing");
    }
}
