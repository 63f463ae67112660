//! The values of one arm in ascending order, and what is done to them before they are compared.

use crate::slo::statistics::binomial::float;
use crate::slo::statistics::mann_whitney::{Weighted, normal_quantile};

/// Distinct finite values in ascending order, each with how often it was seen.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Arm {
    values: Vec<(f64, u64)>,
}

/// What a value that is not a number stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NanStrategy {
    /// Nothing: it is left out.
    Remove,
    /// Zero.
    Replace,
}

/// What happens to values far from the rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Outliers {
    Keep,
    /// Beyond the quartiles by more than this many times their distance, and beyond the first and
    /// the last hundredth.
    Remove {
        factor: f64,
    },
}

/// Noise on a constant arm, as a share of its value.
const NOISE: f64 = 1e-5;
/// As many different values as noise makes of a constant at most.
const NOISE_LEVELS: u64 = 1_000;

impl From<&Weighted> for Arm {
    fn from(weighted: &Weighted) -> Self {
        Self { values: weighted.pairs().map(|(value, count)| (float(value), count)).collect() }
    }
}

impl Arm {
    /// Of values in any order, where `None` is not a number.
    pub(crate) fn of(values: &[Option<f64>], nan: NanStrategy, outliers: Outliers) -> Self {
        let mut numbers: Vec<f64> = match nan {
            NanStrategy::Remove => values.iter().flatten().copied().collect(),
            NanStrategy::Replace => values.iter().map(|v| v.unwrap_or_default()).collect(),
        };
        // Adding zero makes one zero of the two.
        for value in &mut numbers {
            *value += 0.0;
        }
        numbers.sort_unstable_by(f64::total_cmp);
        if let (Outliers::Remove { factor }, false) = (outliers, numbers.is_empty()) {
            let (low, high) = fences(&numbers, factor);
            numbers.retain(|v| (low..=high).contains(v));
        }
        let values = numbers
            .chunk_by(|a, b| a.total_cmp(b).is_eq())
            .map(|run| (run[0], u64::try_from(run.len()).unwrap_or(u64::MAX)))
            .collect();
        Self { values }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub(super) fn values(&self) -> &[(f64, u64)] {
        &self.values
    }

    pub(super) fn count(&self) -> f64 {
        float(self.values.iter().map(|(_, count)| count).sum())
    }

    /// The smallest and the largest value.
    pub(super) fn ends(&self) -> Option<(f64, f64)> {
        Some((self.values.first()?.0, self.values.last()?.0))
    }

    /// The one value of an arm that never varies.
    pub(super) fn constant(&self) -> Option<f64> {
        match self.values.as_slice() {
            [(value, _)] => Some(*value),
            _ => None,
        }
    }

    /// The mean, with the rounding of its sum corrected once.
    pub(super) fn mean(&self) -> f64 {
        let count = self.count();
        let sum = |of: &dyn Fn(f64) -> f64| -> f64 {
            self.values.iter().map(|(value, n)| of(*value) * float(*n)).sum()
        };
        let mean = sum(&|v| v) / count;
        mean + sum(&|v| v - mean) / count
    }

    /// A constant arm with a little normal noise, so that its ranks are not all tied; the original
    /// draws it, orca takes normal scores (G. Blom, 1958), so that the answer is always the same.
    pub(super) fn with_noise(&self) -> Self {
        let (Some(value), [(_, count)]) = (self.constant(), self.values.as_slice()) else {
            return self.clone();
        };
        let levels = (*count).min(NOISE_LEVELS);
        let deviation = (value * NOISE).abs();
        let noisy = |level: u64| {
            let place = (float(level) + 0.625) / (float(levels) + 0.25);
            let share = count / levels + u64::from(level < count % levels);
            (value + deviation * normal_quantile(place), share)
        };
        if deviation > 0.0 {
            Self { values: (0..levels).map(noisy).collect() }
        } else {
            self.clone()
        }
    }
}

/// The values between which nothing is an outlier. `sorted` is not empty.
fn fences(sorted: &[f64], factor: f64) -> (f64, f64) {
    let (p25, p75) = (percentile(sorted, 0.25), percentile(sorted, 0.75));
    let reach = factor * (p75 - p25);
    ((p25 - reach).min(percentile(sorted, 0.01)), (p75 + reach).max(percentile(sorted, 0.99)))
}

/// R's seventh definition (R. J. Hyndman and Y. Fan, 1996). `sorted` is not empty.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of a slice in memory"
)]
fn percentile(sorted: &[f64], p: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * p;
    let below = libm::floor(place) as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (place - below as f64) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// numpy 2: `numpy.percentile(values, p)`, whose default is the same definition.
    #[test]
    fn percentiles_as_numpy() {
        let values = [21.0, 21.0, 23.0, 23.0, 24.0, 25.0, 29.0, 50.0];
        for (p, expected) in [(0.25, 22.5), (0.75, 26.0), (0.99, 48.53), (0.01, 21.0)] {
            assert!((percentile(&values, p) - expected).abs() < 1e-9, "{p}");
        }
    }

    #[test]
    fn not_a_number_is_left_out_or_zero_and_outliers_go() {
        let arm = |values: &[Option<f64>], nan, outliers| Arm::of(values, nan, outliers).values;
        let holes = [Some(2.0), None, Some(-0.0), Some(2.0)];
        assert_eq!(arm(&holes, NanStrategy::Remove, Outliers::Keep), [(0.0, 1), (2.0, 2)]);
        assert_eq!(arm(&holes, NanStrategy::Replace, Outliers::Keep), [(0.0, 2), (2.0, 2)]);
        let mut far: Vec<Option<f64>> = (0..200).map(|i| Some(f64::from(i % 10))).collect();
        far.push(Some(1_000.0));
        let kept = arm(&far, NanStrategy::Remove, Outliers::Remove { factor: 3.0 });
        assert_eq!(kept.last(), Some(&(9.0, 20)));
        assert!(arm(&[], NanStrategy::Remove, Outliers::Remove { factor: 3.0 }).is_empty());
    }

    #[test]
    fn noise_spreads_a_constant_and_leaves_zero() {
        let constant = |value: f64, n| Arm { values: vec![(value, n)] };
        let noisy = constant(10.0, 5).with_noise();
        assert_eq!((noisy.values.len(), noisy.count()), (5, 5.0));
        assert!((noisy.mean() - 10.0).abs() < 1e-9);
        assert_eq!(constant(0.0, 5).with_noise(), constant(0.0, 5));
        let many = constant(3.0, 2_500).with_noise();
        assert_eq!((many.values.len(), many.count()), (1_000, 2_500.0));
    }
}
