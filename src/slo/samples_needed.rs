//! How many samples an objective needs before its interval can decide, and how long or how much
//! traffic that takes. Pure; a stage that cannot be decided is refused with these numbers.
//!
//! A percentile is a ratio in disguise: p95 < 500ms says that at most 5 % are slower. So both are
//! searched with the exact binomial interval that the judge uses.

use super::objective::{Limit, Metric, Objective};
use super::statistics::binomial::{lower_ppm, tail, upper_ppm};
use crate::base::units::{Micros, Rate, Weight};

const PPM: u32 = 1_000_000;
/// More samples than anybody waits for.
const SAMPLES_MAX: u64 = 1_000_000_000;

/// The fewest samples that pass when nothing is wrong; `None` when no number does. A throughput is
/// measured by time, not by samples: one is enough.
pub(crate) fn clean_samples_needed(objective: &Objective, confidence_bp: u32) -> Option<u64> {
    samples_needed_at(objective, confidence_bp, 0)
}

/// The samples after which the interval decides either way if `observed_ppm` of them go on to be
/// bad: failed for errors and uptime, slower than the limit for a percentile. `None` when the rate
/// is at the limit, or so close that no traffic decides.
pub(crate) fn samples_needed_at(
    objective: &Objective,
    confidence_bp: u32,
    observed_ppm: u32,
) -> Option<u64> {
    let Some(allowed_ppm) = allowed_ppm(objective) else {
        return Some(1);
    };
    let alpha = tail(confidence_bp);
    let is_within = observed_ppm < allowed_ppm;
    // Counts are whole: rounding them against the decision makes every larger n decide, too.
    let decides = |n: u64| {
        let bad = u128::from(n) * u128::from(observed_ppm.min(PPM));
        let whole = if is_within { bad.div_ceil(u128::from(PPM)) } else { bad / u128::from(PPM) };
        let bad = u64::try_from(whole).unwrap_or(n);
        if is_within {
            upper_ppm(bad, n, alpha) <= allowed_ppm
        } else {
            lower_ppm(bad, n, alpha) > allowed_ppm
        }
    };
    if observed_ppm == allowed_ppm || alpha <= 0.0 {
        return (allowed_ppm >= PPM && alpha > 0.0).then_some(1);
    }
    let mut high = 1_u64;
    while !decides(high) {
        high = high.checked_mul(2).filter(|n| *n <= SAMPLES_MAX)?;
    }
    let mut low = high / 2;
    while low + 1 < high {
        let middle = u64::midpoint(low, high);
        if decides(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The share of samples that may be bad; nothing for a throughput.
fn allowed_ppm(objective: &Objective) -> Option<u32> {
    match (objective.metric(), objective.limit()) {
        (Metric::Latency { quantile_bp }, _) => Some((10_000 - quantile_bp.min(10_000)) * 100),
        (Metric::Errors, Limit::Ratio(limit)) => Some(limit.0.min(10_000) * 100),
        (Metric::Uptime { .. }, Limit::Ratio(limit)) => Some((10_000 - limit.0.min(10_000)) * 100),
        _ => None,
    }
}

/// How long `samples` take for an arm that gets `weight` of all traffic. `None` without traffic.
pub(crate) fn time_needed(samples: u64, traffic: Rate, weight: Weight) -> Option<Micros> {
    let per_second = u128::from(traffic.milli_per_s) * u128::from(weight.basis_points());
    // samples / (milli/s / 1,000 * bp / 10,000), in microseconds.
    let micros = (u128::from(samples) * 10_000_000 * 1_000_000).checked_div(per_second)?;
    let exact = micros * per_second == u128::from(samples) * 10_000_000 * 1_000_000;
    u64::try_from(if exact { micros } else { micros + 1 }).ok().map(Micros)
}

/// The smallest weight that brings `samples` within `hold`. `None` when all traffic does not.
pub(crate) fn weight_needed(samples: u64, traffic: Rate, hold: Micros) -> Option<Weight> {
    let in_hold = u128::from(traffic.milli_per_s) * u128::from(hold.0);
    // weight = samples / (milli/s / 1,000 * us / 1,000,000), in basis points.
    let wanted = u128::from(samples) * 10_000 * 1_000_000_000;
    let basis_points = if in_hold == 0 { return None } else { wanted.div_ceil(in_hold) };
    u32::try_from(basis_points).ok().and_then(|bp| Weight::from_basis_points(bp).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_samples_are_those_of_the_judge() {
        for (objective, confidence_bp, expected) in [
            ("errors < 1%", 9_500, Some(368)),
            ("errors < 1%", 9_000, Some(299)),
            ("errors < 0.1%", 9_500, Some(3_688)),
            ("errors < 0%", 9_500, None),
            ("errors < 100%", 9_500, Some(1)),
            ("errors < 1%", 10_000, None),
            ("p95 < 500ms", 9_500, Some(72)),
            ("p99 < 500ms", 9_500, Some(368)),
            ("p50 < 500ms", 9_500, Some(6)),
            ("uptime > 99.9% over 7d", 9_500, Some(3_688)),
            ("uptime > 100% over 7d", 9_500, None),
            ("throughput > 10/s", 9_500, Some(1)),
        ] {
            let parsed = objective.parse().unwrap();
            assert_eq!(clean_samples_needed(&parsed, confidence_bp), expected, "{objective}");
        }
    }

    #[test]
    fn at_a_rate_the_number_decides_and_the_limit_itself_never_does() {
        let objective: Objective = "errors < 1%".parse().unwrap();
        let needed = |ppm| samples_needed_at(&objective, 9_500, ppm);
        assert_eq!((needed(10_000), needed(10_001)), (None, None));
        // 5 in 1,000 is not enough, 10 in 2,000 is.
        assert!(needed(5_000).is_some_and(|n| (1_001..=2_000).contains(&n)), "{:?}", needed(5_000));
        assert!(needed(50_000).is_some_and(|n| n < 300), "{:?}", needed(50_000));
        assert_eq!(needed(1_000_000), Some(1));
    }

    #[test]
    fn time_and_weight_that_would_decide() {
        let weight = |bp| Weight::from_basis_points(bp).unwrap();
        for (samples, rate, bp, expected) in [
            (368, Rate::per_second(100), 100, Some(Micros::from_secs(368))),
            (368, Rate::per_second(100), 10_000, Some(Micros(3_680_000))),
            (1, Rate::per_second(3), 10_000, Some(Micros(333_334))),
            (368, Rate::default(), 100, None),
            (368, Rate::per_second(100), 0, None),
        ] {
            assert_eq!(time_needed(samples, rate, weight(bp)), expected, "{samples} {bp}");
        }
        for (samples, rate, secs, expected) in [
            (368, Rate::per_second(100), 368, Some(weight(100))),
            (369, Rate::per_second(100), 368, Some(weight(101))),
            (368, Rate::per_second(1), 367, None),
            (368, Rate::per_second(1), 368, Some(Weight::FULL)),
            (368, Rate::default(), 368, None),
        ] {
            let seen = weight_needed(samples, rate, Micros::from_secs(secs));
            assert_eq!(seen, expected, "{samples} {secs}");
        }
    }
}
