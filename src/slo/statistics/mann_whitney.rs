//! Whether the values of one arm are larger than those of another: H. B. Mann and D. R. Whitney,
//! Annals of Mathematical Statistics 18 (1947), with tie and continuity correction.
//!
//! Counts and rank sums are exact integers; only the normal tail is a float. p-values are rounded up
//! to whole ppm. The shift is of J. L. Hodges and E. L. Lehmann (1963); its interval is a pair of
//! order statistics of all pairwise differences, found by counting and never by a root search with
//! a tolerance, so it does not depend on the unit.

use schemars::JsonSchema;
use serde::Serialize;

use super::binomial::{float, round_up_ppm};
use crate::base::histogram::Histogram;

/// Distinct values in ascending order, each with how often it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Weighted {
    values: Vec<(u64, u64)>,
    count: u64,
}

impl From<&Histogram> for Weighted {
    /// Every value stands at the lower edge of its bucket.
    fn from(histogram: &Histogram) -> Self {
        Self::of(histogram.buckets())
    }
}

impl Weighted {
    /// Every value stands at the upper edge of its bucket.
    pub(crate) fn at_upper_edges(histogram: &Histogram) -> Self {
        Self::of(histogram.upper_buckets())
    }

    fn of(buckets: impl Iterator<Item = (u64, u64)>) -> Self {
        let values: Vec<_> = buckets.filter(|(_, count)| *count > 0).collect();
        let count = values.iter().map(|(_, count)| count).sum();
        Self { values, count }
    }

    /// Of samples in ascending order.
    pub(crate) fn from_sorted(samples: &[u64]) -> Self {
        debug_assert!(samples.is_sorted(), "samples are sorted");
        let values: Vec<_> = samples
            .chunk_by(|a, b| a == b)
            .map(|run| (run[0], u64::try_from(run.len()).unwrap_or(u64::MAX)))
            .collect();
        let count = values.iter().map(|(_, count)| count).sum();
        Self { values, count }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Distinct values in ascending order, each with how often it was seen.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.values.iter().copied()
    }

    /// The middle value, the lower of two.
    pub(crate) fn median(&self) -> Option<u64> {
        let rank = self.count.div_ceil(2);
        let mut seen = 0;
        self.values.iter().find_map(|(value, count)| {
            seen += count;
            (seen >= rank).then_some(*value)
        })
    }
}

/// What the comparison of `x` with `y` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the unit stands last in every name")]
pub(crate) struct MannWhitney {
    /// The chance of a rank sum at least this large for `x` when both are alike, rounded up.
    pub(crate) p_greater_ppm: u32,
    /// The same in either direction.
    pub(crate) p_two_sided_ppm: u32,
    /// P(x > y) + P(x = y) / 2.
    pub(crate) effect_ppm: u32,
    /// The upper end of the effect's interval: the estimate plus `z` standard errors of the null.
    pub(crate) effect_upper_ppm: u32,
}

/// `None` when an arm is empty. `alpha` is one tail of the effect's interval.
pub(crate) fn mann_whitney(x: &Weighted, y: &Weighted, alpha: f64) -> Option<MannWhitney> {
    if x.count == 0 || y.count == 0 {
        return None;
    }
    let pairs = u128::from(x.count) * u128::from(y.count);
    let doubled = doubled_u(x, y);
    // Twice U less twice its mean is exact, so a tie of both arms gives exactly p = 0.5.
    let (above, below) = (doubled.saturating_sub(pairs), pairs.saturating_sub(doubled));
    let excess = (wide(above) - wide(below)) / 2.0;
    let sigma = null_sigma(x, y, true);
    let p = |excess: f64| if sigma > 0.0 { upper_tail((excess - 0.5) / sigma) } else { 1.0 };
    let effect = wide(doubled) / wide(pairs) / 2.0;
    let upper = effect + normal_quantile(1.0 - alpha) * sigma / wide(pairs);
    Some(MannWhitney {
        p_greater_ppm: round_up_ppm(p(excess)),
        p_two_sided_ppm: round_up_ppm(2.0 * p(excess.abs())),
        effect_ppm: u32::try_from((doubled * 1_000_000 + pairs) / (2 * pairs)).unwrap_or(1_000_000),
        effect_upper_ppm: round_up_ppm(upper),
    })
}

/// The shift of `x` against `y` with its interval, in the unit of the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Shift {
    pub(crate) lower: i64,
    pub(crate) estimate: i64,
    pub(crate) upper: i64,
}

/// Hodges-Lehmann: the median of all differences x - y; `alpha` is one tail of the interval.
pub(crate) fn shift(x: &Weighted, y: &Weighted, alpha: f64) -> Option<Shift> {
    if x.count == 0 || y.count == 0 {
        return None;
    }
    let pairs = u128::from(x.count) * u128::from(y.count);
    // Between two differences no value of x ties with one of y: only ties inside an arm count.
    let reach = normal_quantile(1.0 - alpha) * null_sigma(x, y, false) + 0.5;
    let rank = whole(libm::ceil(wide(pairs) / 2.0 - reach)).clamp(1, pairs.div_ceil(2));
    let (low, high) = (difference(x, y, pairs.div_ceil(2))?, difference(x, y, pairs / 2 + 1)?);
    Some(Shift {
        lower: difference(x, y, rank)?,
        estimate: i64::midpoint(low, high),
        upper: difference(x, y, pairs + 1 - rank)?,
    })
}

/// Twice the number of pairs with x > y, ties counted half.
fn doubled_u(x: &Weighted, y: &Weighted) -> u128 {
    let mut rest = y.values.iter().peekable();
    let mut below = 0_u128;
    let mut doubled = 0_u128;
    for (value, count) in &x.values {
        while let Some((_, smaller)) = rest.next_if(|(other, _)| other < value) {
            below += u128::from(*smaller);
        }
        let equal = rest.peek().filter(|(other, _)| other == value).map_or(0, |(_, n)| *n);
        doubled += u128::from(*count) * (2 * below + u128::from(equal));
    }
    doubled
}

/// The standard deviation of U when both arms are alike; ties across the arms on request.
fn null_sigma(x: &Weighted, y: &Weighted, across: bool) -> f64 {
    let (m, n) = (float(x.count), float(y.count));
    let total = m + n;
    let cubes = |counts: &mut dyn Iterator<Item = u64>| -> f64 {
        counts.map(|t| float(t) * (float(t) * float(t) - 1.0)).sum()
    };
    let ties = if across {
        cubes(&mut merged_counts(x, y))
    } else {
        cubes(&mut x.values.iter().chain(&y.values).map(|(_, t)| *t))
    };
    let spread = (total + 1.0) - ties / (total * (total - 1.0)).max(1.0);
    libm::sqrt((m * n / 12.0 * spread).max(0.0))
}

/// How often each distinct value of both arms together was seen.
fn merged_counts<'a>(x: &'a Weighted, y: &'a Weighted) -> impl Iterator<Item = u64> + 'a {
    let (mut left, mut right) = (x.values.iter().peekable(), y.values.iter().peekable());
    std::iter::from_fn(move || {
        let value = match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((only, _)), None) | (None, Some((only, _))) => *only,
            (None, None) => return None,
        };
        let take = |from: &mut std::iter::Peekable<std::slice::Iter<'_, (u64, u64)>>| {
            from.next_if(|(v, _)| *v == value).map_or(0, |(_, count)| *count)
        };
        Some(take(&mut left) + take(&mut right))
    })
}

/// The `rank`-th smallest difference (1-based) of all pairs.
fn difference(x: &Weighted, y: &Weighted, rank: u128) -> Option<i64> {
    let ends = |w: &Weighted| {
        let (first, last) = (w.values.first()?.0, w.values.last()?.0);
        Some((i128::from(first), i128::from(last)))
    };
    let ((x_min, x_max), (y_min, y_max)) = (ends(x)?, ends(y)?);
    let (mut low, mut high) = (x_min - y_max, x_max - y_min);
    while low < high {
        let middle = low + (high - low).div_euclid(2);
        if at_most(x, y, middle) >= rank { high = middle } else { low = middle + 1 }
    }
    i64::try_from(low).ok()
}

/// How many differences x - y are at most `limit`.
fn at_most(x: &Weighted, y: &Weighted, limit: i128) -> u128 {
    // x <= y + limit: as y grows, so does the set of x.
    let mut rest = x.values.iter().peekable();
    let mut covered = 0_u128;
    let mut total = 0_u128;
    for (value, count) in &y.values {
        let bound = i128::from(*value) + limit;
        while let Some((_, more)) = rest.next_if(|(v, _)| i128::from(*v) <= bound) {
            covered += u128::from(*more);
        }
        total += covered * u128::from(*count);
    }
    total
}

/// P(Z >= z) of the standard normal.
fn upper_tail(z: f64) -> f64 {
    0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2)
}

/// The z with P(Z <= z) = `probability`, by bisection.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-40.0, 40.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if upper_tail(middle) > 1.0 - probability { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[expect(clippy::cast_precision_loss, reason = "a relative error of 1e-16 of a pair count")]
fn wide(count: u128) -> f64 {
    count as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates at zero, and pair counts stay below 2^127"
)]
fn whole(value: f64) -> u128 {
    value.max(0.0) as u128
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: f64 = 0.025;

    /// scipy 1.17.1: `mannwhitneyu(x, y, alternative, method="asymptotic")`, and numpy's median of
    /// all differences.
    #[test]
    fn as_scipy_with_ties_and_both_corrections() {
        type Row = (&'static [u64], &'static [u64], u32, u32, u32, i64);
        let table: [Row; 6] = [
            (&[1, 2, 3, 4, 5], &[1, 2, 3, 4, 5], 542_236, 1_000_000, 500_000, 0),
            (&[5, 5, 5, 6], &[4, 4, 5, 5], 66_808, 133_615, 812_500, 1),
            (&[1, 1, 2, 2, 2, 3, 9], &[1, 1, 1, 2, 2, 3], 224_146, 448_292, 630_952, 0),
            (&[10, 20, 30, 40], &[1, 2, 3], 25_915, 51_830, 1_000_000, 23),
            (&[7, 7], &[7, 7, 7], 1_000_000, 1_000_000, 500_000, 0),
            (&[1, 1, 1, 2], &[3, 3, 4], 991_983, 41_587, 0, -2),
        ];
        for (x, y, greater, two_sided, effect, estimate) in table {
            let (left, right) = (Weighted::from_sorted(x), Weighted::from_sorted(y));
            let seen = mann_whitney(&left, &right, ALPHA).unwrap();
            let got = (seen.p_greater_ppm, seen.p_two_sided_ppm, seen.effect_ppm);
            assert_eq!(got, (greater, two_sided, effect), "{x:?} {y:?}");
            assert_eq!(shift(&left, &right, ALPHA).unwrap().estimate, estimate, "{x:?} {y:?}");
        }
        let empty = Weighted::from_sorted(&[]);
        assert_eq!(mann_whitney(&empty, &Weighted::from_sorted(&[1]), ALPHA), None);
        assert_eq!(shift(&empty, &empty, ALPHA), None);
        assert_eq!(empty.median(), None);
    }

    /// The interval is that of the sorted list of all differences, and does not depend on the unit.
    #[test]
    fn the_shift_is_exact_on_all_differences_in_any_unit() {
        let x: Vec<u64> = (0..40).map(|i| 100 + (i * 37) % 53).collect();
        let y: Vec<u64> = (0..30).map(|i| 90 + (i * 29) % 47).collect();
        let sorted = |values: &[u64], unit: u64| {
            let mut values: Vec<u64> = values.iter().map(|v| v * unit).collect();
            values.sort_unstable();
            Weighted::from_sorted(&values)
        };
        let mut all: Vec<i64> = x
            .iter()
            .flat_map(|a| y.iter().map(|b| i64::try_from(*a).unwrap() - i64::try_from(*b).unwrap()))
            .collect();
        all.sort_unstable();
        let (left, right) = (sorted(&x, 1), sorted(&y, 1));
        for rank in [1, 2, 599, 600, 601, 1_199, 1_200] {
            let seen = difference(&left, &right, u128::try_from(rank).unwrap());
            assert_eq!(seen, Some(all[rank - 1]), "{rank}");
        }
        let one = shift(&left, &right, ALPHA).unwrap();
        let thousand = shift(&sorted(&x, 1_000), &sorted(&y, 1_000), ALPHA).unwrap();
        assert_eq!(
            (one.lower * 1_000, one.upper * 1_000, one.estimate * 1_000),
            (thousand.lower, thousand.upper, thousand.estimate)
        );
        assert!(one.lower < one.estimate && one.estimate < one.upper);
    }

    #[test]
    fn a_histogram_is_its_samples() {
        let samples: Vec<u64> = (1..=500).map(|i| i % 97 + 1).collect();
        let mut histogram = Histogram::default();
        for value in &samples {
            histogram.record(*value);
        }
        let mut sorted = samples;
        sorted.sort_unstable();
        let (of_histogram, of_slice) = (Weighted::from(&histogram), Weighted::from_sorted(&sorted));
        assert_eq!(of_histogram, of_slice);
        assert_eq!((of_slice.count(), of_slice.median()), (500, Some(47)));
    }

    #[test]
    fn normal_quantiles() {
        for (probability, z) in [(0.5, 0.0), (0.975, 1.959_963_984_540), (0.995, 2.575_829_303_549)]
        {
            assert!((normal_quantile(probability) - z).abs() < 1e-9, "{probability}");
        }
    }
}
