//! Judges a canary against the base that served beside it. Pure.
//!
//! Three questions, the worst answer counts: is the slow end slower (p95 ratio), is the typical
//! request slower (Mann-Whitney with an effect and a shift), does it fail more often (Fisher with an
//! increase). Each says Fail only when the canary is worse beyond chance AND by more than the stated
//! margin, and Pass only when the interval excludes more than the margin (non-inferiority). A small
//! p-value alone never decides: with enough samples every difference is significant.
//!
//! Latencies come in buckets. Fail takes the canary at the lower edges of its buckets and the base
//! at the upper edges, Pass the other way round: the width of a bucket never decides.
//!
//! Intervals of ratios and differences recover the variance of two exact intervals: G. Y. Zou and
//! A. Donner, Statistics in Medicine 27 (2008).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::decide::decide;
use super::sample::Sample;
use super::statistics::binomial::{self, float};
use super::statistics::fisher::{self, Share};
use super::statistics::mann_whitney::{Weighted, mann_whitney, shift};
use super::statistics::quantile;
use crate::base::histogram::{Histogram, VALUE_US_MAX};
use crate::gate::verdict::{Cause, Finding, Judgement, Measure, Unit, Verdict};

pub(crate) const RULE: &str = "slo.comparison v1";

const P95_BP: u32 = 9_500;
const PPM: f64 = 1_000_000.0;

/// How much worse a canary may be, and how sure one has to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ComparisonPolicy {
    /// Two-sided, in basis points: 9,500 leaves 2.5 % to chance on the harmful side.
    pub(crate) confidence_bp: u32,
    /// The canary's p95 as a share of the base's: 110 allows 10 % more. The typical request may be
    /// slower by the same share.
    pub(crate) p95_ratio_max_pct: u32,
    /// The share of pairs in which the canary's request may be the slower one; 500,000 is alike.
    pub(crate) effect_ppm_min: u32,
    /// How many more of all requests may fail than on the base.
    pub(crate) error_increase_bp_max: u32,
    /// Fewer requests in an arm decide nothing.
    pub(crate) min_samples: u64,
}

impl Default for ComparisonPolicy {
    /// 95 %; 10 % slower, or slower in 56 of 100 pairs (a small effect); one percent point more
    /// errors, which 368 clean requests can exclude; 400 requests an arm.
    fn default() -> Self {
        Self {
            confidence_bp: 9_500,
            p95_ratio_max_pct: 110,
            effect_ppm_min: 560_000,
            error_increase_bp_max: 100,
            min_samples: 400,
        }
    }
}

/// Both arms, ready to be compared.
struct Arms<'a> {
    policy: &'a ComparisonPolicy,
    base: &'a Sample,
    canary: &'a Sample,
    base_latency: Histogram,
    canary_latency: Histogram,
    alpha: f64,
}

pub(crate) fn compare(policy: &ComparisonPolicy, base: &Sample, canary: &Sample) -> Judgement {
    let scope = &canary.scope;
    for (name, arm) in [("base", base), ("canary", canary)] {
        if arm.attempts() == 0 {
            let text = format!("the {name} received no request to {scope}");
            return Judgement::inconclusive(Cause::NoData, text, RULE);
        }
    }
    for (name, arm) in [("base", base), ("canary", canary)] {
        if arm.attempts() < policy.min_samples {
            let text = format!(
                "the {name} received {} requests to {scope}; {} are needed to compare",
                arm.attempts(),
                policy.min_samples
            );
            return Judgement::inconclusive(Cause::TooFewSamples, text, RULE);
        }
    }
    let (base_latency, canary_latency) = match (latencies(base), latencies(canary)) {
        (Ok(base), Ok(canary)) => (base, canary),
        (Err(error), _) | (_, Err(error)) => {
            return Judgement::inconclusive(Cause::NoData, error, RULE);
        }
    };
    let alpha = binomial::tail(policy.confidence_bp);
    let arms = Arms { policy, base, canary, base_latency, canary_latency, alpha };
    let mut measures = vec![arms.p95_ratio()];
    measures.extend(arms.typical());
    measures.extend(arms.errors());
    conclude(scope, canary, measures)
}

/// What was never sent counts as slower than everything that was.
fn latencies(arm: &Sample) -> Result<Histogram, String> {
    let mut histogram = Histogram::try_from(&arm.latency).map_err(|e| e.to_string())?;
    if histogram.count() == 0 && arm.dropped == 0 {
        return Err(format!("no latency of {} was recorded", arm.scope));
    }
    histogram.record_many(VALUE_US_MAX + 1, arm.dropped);
    Ok(histogram)
}

impl Arms<'_> {
    fn p95_ratio(&self) -> Measure {
        let limit_bp = u64::from(self.policy.p95_ratio_max_pct) * 100;
        let (base, canary) = (self.p95(&self.base_latency), self.p95(&self.canary_latency));
        let log = |us: u64| libm::log(float(us.max(1)));
        let basis_points = |log: f64| libm::exp(log) * 10_000.0;
        // At least this much slower: the canary's lower edges against the base's upper edges.
        let least = log(canary.seen.0) - log(base.seen.1);
        let lower = canary.lower.zip(base.upper).map(|(low, high)| {
            least - libm::hypot(log(canary.seen.0) - log(low), log(high) - log(base.seen.1))
        });
        let most = log(canary.seen.1) - log(base.seen.0);
        let upper = canary.upper.zip(base.lower).map(|(high, low)| {
            most + libm::hypot(log(high) - log(canary.seen.1), log(base.seen.0) - log(low))
        });
        let lower = lower.map(|l| signed(libm::floor(basis_points(l))));
        let upper = upper.map(|u| signed(libm::ceil(basis_points(u))));
        let limit = i64::try_from(limit_bp).unwrap_or(i64::MAX);
        let is_worse = lower.is_some_and(|l| l > limit)
            || (signed(libm::floor(basis_points(least))) > limit
                && lower.is_some_and(|l| l > 10_000)
                && self.is_significantly_slower());
        let seen = log(canary.seen.1) - log(base.seen.1);
        Measure {
            asked: format!(
                "p95 of the canary <= {} % of the base's",
                self.policy.p95_ratio_max_pct
            ),
            seen: Some(signed(libm::round(basis_points(seen)))),
            lower,
            upper,
            limit: Some(limit),
            unit: Unit::BasisPoints,
            samples: self.canary_latency.count(),
            verdict: decide(upper.is_some_and(|u| u <= limit), is_worse),
        }
    }

    fn p95(&self, latency: &Histogram) -> Interval {
        let n = latency.count();
        let ranks = quantile::ranks(n, P95_BP, self.policy.confidence_bp);
        // A rank among the clamped is longer than anything measured: it has no upper edge.
        let measured = n - latency.clamped().min(n);
        let middle = u128::from(n) * u128::from(P95_BP);
        let middle = u64::try_from(middle.div_ceil(10_000)).unwrap_or(n);
        Interval {
            seen: latency.edges_at_rank(middle.max(1)).unwrap_or_default(),
            lower: ranks.lower.and_then(|r| latency.edges_at_rank(r)).map(|(low, _)| low),
            upper: ranks
                .upper
                .filter(|r| *r <= measured)
                .and_then(|r| latency.edges_at_rank(r))
                .map(|(_, high)| high),
        }
    }

    /// The canary at the lower edges of its buckets against the base at the upper ones.
    fn least(&self) -> (Weighted, Weighted) {
        (Weighted::from(&self.canary_latency), Weighted::at_upper_edges(&self.base_latency))
    }

    /// The other way round.
    fn most(&self) -> (Weighted, Weighted) {
        (Weighted::at_upper_edges(&self.canary_latency), Weighted::from(&self.base_latency))
    }

    fn is_significantly_slower(&self) -> bool {
        let (x, y) = self.least();
        mann_whitney(&x, &y, self.alpha)
            .is_some_and(|m| i64::from(m.p_greater_ppm) <= self.alpha_ppm())
    }

    /// The typical request: the chance of being slower, and by how much. Both have to be beyond
    /// their margins for a Fail, one within its margin is enough for a Pass: a shift of one
    /// millisecond may be seen in every pair and matter to nobody.
    fn typical(&self) -> Vec<Measure> {
        let (x, y) = (Weighted::from(&self.canary_latency), Weighted::from(&self.base_latency));
        let both = |(x, y): (Weighted, Weighted)| {
            mann_whitney(&x, &y, self.alpha).zip(shift(&x, &y, self.alpha))
        };
        let (Some((ranks, _)), Some(least), Some(most), Some(median)) =
            (both((x.clone(), y.clone())), both(self.least()), both(self.most()), y.median())
        else {
            return Vec::new();
        };
        let effect_max = i64::from(self.policy.effect_ppm_min);
        let share = u128::from(self.policy.p95_ratio_max_pct.saturating_sub(100));
        let shift_max = i64::try_from(u128::from(median) * share / 100).unwrap_or(i64::MAX);
        let p = i64::from(least.0.p_greater_ppm);
        let fails = p <= self.alpha_ppm()
            && i64::from(least.0.effect_ppm) > effect_max
            && least.1.estimate > shift_max;
        let effect_upper = i64::from(most.0.effect_upper_ppm);
        let verdict = decide(effect_upper <= effect_max || most.1.upper <= shift_max, fails);
        let row = |asked: &str, (seen, lower, upper), limit, unit| Measure {
            asked: asked.to_owned(),
            seen: Some(seen),
            lower,
            upper,
            limit: Some(limit),
            unit,
            samples: x.count(),
            verdict,
        };
        let shift = shift(&x, &y, self.alpha).map_or(least.1.estimate, |s| s.estimate);
        vec![
            row(
                "share of pairs with the slower canary",
                (i64::from(ranks.effect_ppm), None, Some(effect_upper)),
                effect_max,
                Unit::Ppm,
            ),
            row(
                "shift of the typical latency",
                (shift, Some(least.1.lower), Some(most.1.upper)),
                shift_max,
                Unit::Microseconds,
            ),
            row("chance of it (Mann-Whitney)", (p, None, None), self.alpha_ppm(), Unit::Ppm),
        ]
    }

    fn errors(&self) -> Vec<Measure> {
        let limit_ppm = i64::from(self.policy.error_increase_bp_max) * 100;
        let share = |s: &Sample| Share { failures: s.failures(), attempts: s.attempts() };
        let (base, canary) = (share(self.base), share(self.canary));
        let p = i64::from(fisher::greater_ppm(canary, base));
        let ratio = |s: Share| float(s.failures) / float(s.attempts) * PPM;
        let lower = |s: Share| f64::from(binomial::lower_ppm(s.failures, s.attempts, self.alpha));
        let upper = |s: Share| f64::from(binomial::upper_ppm(s.failures, s.attempts, self.alpha));
        let increase = ratio(canary) - ratio(base);
        let down = libm::hypot(ratio(canary) - lower(canary), upper(base) - ratio(base));
        let up = libm::hypot(upper(canary) - ratio(canary), ratio(base) - lower(base));
        let (seen, upper) = (signed(libm::round(increase)), signed(libm::ceil(increase + up)));
        let lower = signed(libm::floor(increase - down));
        // A few failures more than expected are soon beyond chance and beyond the margin, each by
        // itself; only an interval that lies beyond the margin says both at once.
        let fails = p <= self.alpha_ppm() && lower > limit_ppm;
        let verdict = decide(upper <= limit_ppm, fails);
        let row = |asked: &str, (seen, lower, upper), limit| Measure {
            asked: asked.to_owned(),
            seen: Some(seen),
            lower,
            upper,
            limit: Some(limit),
            unit: Unit::Ppm,
            samples: canary.attempts,
            verdict,
        };
        vec![
            row("increase of errors", (seen, Some(lower), Some(upper)), limit_ppm),
            row("chance of it (Fisher)", (p, None, None), self.alpha_ppm()),
        ]
    }

    fn alpha_ppm(&self) -> i64 {
        signed(libm::round(self.alpha * PPM))
    }
}

/// A percentile with its order-statistic interval; an end that does not exist bounds nothing.
struct Interval {
    /// Both edges of its bucket.
    seen: (u64, u64),
    lower: Option<u64>,
    upper: Option<u64>,
}

#[expect(clippy::cast_possible_truncation, reason = "saturates, and the callers round before")]
fn signed(value: f64) -> i64 {
    value as i64
}

fn conclude(scope: &str, canary: &Sample, measures: Vec<Measure>) -> Judgement {
    let verdict =
        Verdict::worst(measures.iter().map(|m| m.verdict)).unwrap_or(Verdict::Inconclusive);
    let decisive = measures.iter().find(|m| m.verdict == verdict).cloned();
    let judgement = match (verdict, decisive) {
        (Verdict::Pass, _) => {
            let text = format!("the canary serves {scope} no worse than the base");
            Judgement::pass(text, RULE)
        }
        (Verdict::Fail, Some(worst)) => {
            let finding = finding(scope, &worst);
            Judgement::fail(finding.title.clone(), RULE, finding)
        }
        (_, open) => {
            let asked = open.map_or_else(String::new, |m| format!(": {}", m.asked));
            let text = format!(
                "{} requests to {scope} cannot tell whether the canary is worse{asked}",
                canary.attempts()
            );
            Judgement::inconclusive(Cause::Undecided, text, RULE)
                .with_next("hold longer, or give the canary more traffic")
        }
    };
    judgement.with_measures(measures)
}

fn finding(scope: &str, worst: &Measure) -> Finding {
    let value = worst.seen.unwrap_or_default();
    let limit = worst.limit.unwrap_or_default();
    Finding {
        fingerprint: format!("comparison:{scope}:{}", worst.asked.replace(' ', "-")),
        title: format!(
            "the canary serves {scope} worse than the base: {}: {}; the limit is {}",
            worst.asked,
            worst.unit.show(value),
            worst.unit.show(limit)
        ),
        place: Some(scope.to_owned()),
        value,
        unit: worst.unit,
        next: format!("find what the canary does differently on {scope}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::Counts;
    use super::*;
    use crate::base::units::Micros;

    /// `requests` latencies spread evenly from 50 % to 150 % of `center_us`, and `errors`.
    fn arm(requests: u64, errors: u64, center_us: u64) -> Sample {
        let mut histogram = Histogram::default();
        (0..requests).for_each(|i| {
            histogram.record(center_us / 2 + center_us * ((i * 7_919) % 10_007) / 10_007);
        });
        sample(requests, errors, 0, &histogram)
    }

    /// All requests take the same time.
    fn constant(requests: u64, errors: u64, dropped: u64, us: u64) -> Sample {
        let mut histogram = Histogram::default();
        histogram.record_many(us, requests);
        sample(requests, errors, dropped, &histogram)
    }

    fn sample(requests: u64, errors: u64, dropped: u64, histogram: &Histogram) -> Sample {
        let counts = Counts { requests, errors, dropped, duration: Micros::from_secs(60) };
        Sample::new("checkout", counts, histogram)
    }

    fn verdict(base: &Sample, canary: &Sample) -> (Verdict, Option<Cause>) {
        let judgement = compare(&ComparisonPolicy::default(), base, canary);
        (judgement.verdict, judgement.cause)
    }

    #[test]
    fn latency_is_worse_beyond_chance_and_margin_or_it_is_not() {
        let undecided = (Verdict::Inconclusive, Some(Cause::Undecided));
        let (pass, fail) = ((Verdict::Pass, None), (Verdict::Fail, None));
        let base = arm(20_000, 0, 100_000);
        for (what, canary, expected) in [
            ("the same", arm(10_000, 0, 100_000), pass),
            ("faster", arm(10_000, 0, 60_000), pass),
            ("significant and small", arm(20_000, 0, 102_000), pass),
            ("slower by half", arm(10_000, 0, 150_000), fail),
            ("slower, few samples", arm(400, 0, 150_000), fail),
            ("near the margin, few samples", arm(400, 0, 109_000), undecided),
            ("just within the margin", arm(10_000, 0, 109_800), undecided),
        ] {
            assert_eq!(verdict(&base, &canary), expected, "{what}");
        }
    }

    /// 1,100,000 us and 1,100,999 us share a bucket, as do 1,000,448 us and the million: with the
    /// values alone it is 10 % in one case and less in the other, with buckets one cannot tell.
    #[test]
    fn the_width_of_a_bucket_never_decides() {
        let base = constant(20_000, 0, 0, 1_000_000);
        let width = |us| {
            let mut histogram = Histogram::default();
            histogram.record(us);
            let (low, high) = histogram.edges_at_rank(1).unwrap();
            assert!(high > low, "{us}");
            (low, high)
        };
        let ((_, base_high), (low, _)) = (width(1_000_000), width(1_100_000));
        // The whole bucket at the margin: neither side is shown.
        let (seen, _) = verdict(&base, &constant(20_000, 0, 0, base_high * 11 / 10));
        assert_eq!(seen, Verdict::Inconclusive);
        assert!(low <= 1_100_000);
        // A bucket further on either side it is.
        assert_eq!(verdict(&base, &constant(20_000, 0, 0, 1_098_000)).0, Verdict::Pass);
        assert_eq!(verdict(&base, &constant(20_000, 0, 0, 1_104_000)).0, Verdict::Fail);
    }

    #[test]
    fn a_p_value_alone_never_decides() {
        let (base, canary) = (constant(100_000, 0, 0, 100_000), constant(100_000, 0, 0, 101_000));
        let judgement = compare(&ComparisonPolicy::default(), &base, &canary);
        assert_eq!(judgement.verdict, Verdict::Pass);
        let p = judgement.measures.iter().find(|m| m.asked == "chance of it (Mann-Whitney)");
        assert_eq!(p.unwrap().seen, Some(1));
    }

    #[test]
    fn a_slow_tail_fails_even_when_the_typical_request_is_the_same() {
        let mut tail = Histogram::default();
        tail.record_many(1_000, 9_000);
        tail.record_many(50_000, 1_000);
        let canary = sample(10_000, 0, 0, &tail);
        let judgement =
            compare(&ComparisonPolicy::default(), &constant(10_000, 0, 0, 1_000), &canary);
        assert_eq!(judgement.verdict, Verdict::Fail);
        assert!(judgement.headline.contains("p95"), "{}", judgement.headline);
    }

    #[test]
    fn errors_on_both_sides_of_the_margin() {
        let undecided = (Verdict::Inconclusive, Some(Cause::Undecided));
        for ((n, errors), (canary_n, canary_errors), expected) in [
            ((10_000, 0), (399, 0), (Verdict::Inconclusive, Some(Cause::TooFewSamples))),
            ((10_000, 0), (400, 0), (Verdict::Pass, None)),
            ((10_000, 10), (10_000, 20), (Verdict::Pass, None)),
            ((10_000, 100), (10_000, 200), undecided),
            ((10_000, 100), (10_000, 233), undecided),
            ((10_000, 100), (10_000, 250), (Verdict::Fail, None)),
            ((10_000, 0), (400, 2), undecided),
            ((3_930, 17), (400, 8), undecided),
            ((10_000, 0), (400, 20), (Verdict::Fail, None)),
            ((10_000, 5_000), (10_000, 5_000), undecided),
        ] {
            let (base, canary) =
                (constant(n, errors, 0, 1_000), constant(canary_n, canary_errors, 0, 1_000));
            assert_eq!(
                verdict(&base, &canary),
                expected,
                "{errors}/{n} {canary_errors}/{canary_n}"
            );
        }
    }

    #[test]
    fn no_data_is_said_and_dropped_requests_are_slow_failures() {
        let full = constant(1_000, 0, 0, 1_000);
        let no_data = (Verdict::Inconclusive, Some(Cause::NoData));
        assert_eq!(verdict(&full, &constant(0, 0, 0, 1)), no_data);
        assert_eq!(verdict(&constant(0, 0, 0, 1), &full), no_data);
        assert_eq!(verdict(&full, &sample(1_000, 0, 0, &Histogram::default())), no_data);
        assert_eq!(verdict(&full, &constant(1_000, 0, 100, 1_000)), (Verdict::Fail, None));
        // Both arms broken alike: their real latencies are unknown.
        let broken = constant(1_000, 1_000, 0, VALUE_US_MAX + 1);
        let (seen, _) = verdict(&broken, &broken);
        assert_eq!(seen, Verdict::Inconclusive);
    }
}
