//! Whether one arm fails more often than another: R. A. Fisher's exact test, one-sided.
//!
//! With all margins given, the failures of one arm follow the hypergeometric distribution. Its tail
//! is summed from the observed count outward, where terms only fall; p is rounded up to whole ppm.

use super::binomial::{float, round_up_ppm};

/// Failures among attempts of one arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) failures: u64,
    pub(crate) attempts: u64,
}

/// The chance that `x` has at least this many of all failures when both arms fail alike.
pub(crate) fn greater_ppm(x: Share, y: Share) -> u32 {
    let table = Table {
        failures: x.failures.min(x.attempts) + y.failures.min(y.attempts),
        attempts: x.attempts + y.attempts,
        arm: x.attempts,
    };
    let seen = x.failures.min(x.attempts);
    let (fewest, most) = table.ends();
    if seen <= fewest {
        return 1_000_000;
    }
    // Sum the tail on whose side of the mean the observation lies: terms fall from its first one.
    let is_above = u128::from(seen) * u128::from(table.attempts)
        >= u128::from(table.failures) * u128::from(table.arm);
    let p = if is_above {
        table.sum(seen, |k| (k < most).then(|| (k + 1, table.ratio_up(k))))
    } else {
        1.0 - table.sum(seen - 1, |k| (k > fewest).then(|| (k - 1, 1.0 / table.ratio_up(k - 1))))
    };
    round_up_ppm(p)
}

/// The margins of the two-by-two table.
struct Table {
    failures: u64,
    attempts: u64,
    arm: u64,
}

impl Table {
    /// The fewest and most failures that the arm can have.
    fn ends(&self) -> (u64, u64) {
        let others = self.attempts - self.arm;
        (self.failures.saturating_sub(others), self.failures.min(self.arm))
    }

    /// P(k + 1) / P(k).
    fn ratio_up(&self, k: u64) -> f64 {
        let successes = self.attempts - self.failures;
        let (fails_left, room_left) = (float(self.failures - k), float(self.arm - k));
        let others = float(successes + k + 1) - float(self.arm);
        fails_left * room_left / (float(k + 1) * others)
    }

    fn probability(&self, k: u64) -> f64 {
        let successes = self.attempts - self.failures;
        libm::exp(
            log_choose(self.failures, k) + log_choose(successes, self.arm - k)
                - log_choose(self.attempts, self.arm),
        )
    }

    fn sum(&self, start: u64, next: impl Fn(u64) -> Option<(u64, f64)>) -> f64 {
        let (mut k, mut term) = (start, self.probability(start));
        let mut sum = term;
        while let Some((following, ratio)) = next(k) {
            term *= ratio;
            if term < sum * 1e-17 {
                break;
            }
            sum += term;
            k = following;
        }
        sum
    }
}

fn log_choose(n: u64, k: u64) -> f64 {
    let log_factorial = |count: u64| libm::lgamma(float(count) + 1.0);
    log_factorial(n) - log_factorial(k) - log_factorial(n - k)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scipy 1.17.1: `fisher_exact([[a, n-a], [b, m-b]], alternative="greater")`.
    #[test]
    fn as_scipy() {
        for ((failures, attempts), (others, of), expected) in [
            ((2, 100), (10, 10_000), 6_005),
            ((0, 10), (5, 10), 1_000_000),
            ((5, 10), (0, 10), 16_254),
            ((10, 1_000), (10, 1_000), 588_543),
            ((30, 1_000), (10, 1_000), 1_005),
            ((1, 1), (0, 1), 500_000),
            ((0, 0), (3, 10), 1_000_000),
            ((500, 100_000), (400, 100_000), 466),
            ((3, 50), (40, 60), 1_000_000),
            ((12, 400), (300, 40_000), 76),
        ] {
            let x = Share { failures, attempts };
            let y = Share { failures: others, attempts: of };
            let seen = greater_ppm(x, y);
            assert!(seen.abs_diff(expected) <= 1, "{x:?} {y:?}: {seen}, not {expected}");
        }
    }

    #[test]
    fn everything_failed_and_nothing_failed() {
        let share = |failures, attempts| Share { failures, attempts };
        assert_eq!(greater_ppm(share(0, 100), share(0, 100)), 1_000_000);
        assert_eq!(greater_ppm(share(100, 100), share(100, 100)), 1_000_000);
        assert_eq!(greater_ppm(share(100, 100), share(0, 100)), 1);
    }
}
