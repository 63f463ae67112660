//! When to try again, and for how long in all. Pure: the caller sleeps.

use std::time::Duration;

use super::clock::Entropy;

/// A bounded number of tries with exponential waits and full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RetryBudget {
    /// Tries in all, the first included.
    pub(crate) tries: u32,
    /// Longest wait before the second try; it doubles from there.
    pub(crate) first_wait: Duration,
    /// No wait is longer than this.
    pub(crate) wait_max: Duration,
}

impl RetryBudget {
    pub(crate) const NONE: Self =
        Self { tries: 1, first_wait: Duration::ZERO, wait_max: Duration::ZERO };

    /// The wait after `failed` failed tries, or nothing when the budget is spent.
    /// Full jitter: uniform between zero and the exponential bound
    /// (AWS Architecture Blog, "Exponential Backoff And Jitter").
    pub(crate) fn wait_after(&self, failed: u32, entropy: &Entropy) -> Option<Duration> {
        if failed >= self.tries {
            return None;
        }
        let doubled = self.first_wait.saturating_mul(1_u32 << failed.saturating_sub(1).min(16));
        let bound = u64::try_from(doubled.min(self.wait_max).as_micros()).unwrap_or(u64::MAX);
        Some(Duration::from_micros(entropy.below(bound.saturating_add(1))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_stay_bounded_and_end() {
        let budget = RetryBudget {
            tries: 5,
            first_wait: Duration::from_millis(100),
            wait_max: Duration::from_millis(300),
        };
        let entropy = Entropy::seeded(3);
        for (failed, bound_ms) in [(1, 100), (2, 200), (3, 300), (4, 300)] {
            let wait = budget.wait_after(failed, &entropy).unwrap();
            assert!(wait <= Duration::from_millis(bound_ms));
        }
        assert_eq!(budget.wait_after(5, &entropy), None);
        assert_eq!(RetryBudget::NONE.wait_after(1, &entropy), None);
    }
}
