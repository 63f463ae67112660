//! What acts at once, without waiting for the end of a stage.

use super::statistics::binomial::lower_ppm;
use crate::base::units::Weight;

/// Fewer failures never act at once.
const FAILURES_MIN: u64 = 5;

/// Whether the exact one-sided 99 % lower bound of the failure ratio lies beyond the limit, with at
/// least five failures.
pub(crate) fn is_breached(failures: u64, attempts: u64, limit_ppm: u32) -> bool {
    failures >= FAILURES_MIN && lower_ppm(failures.min(attempts), attempts, 0.01) > limit_ppm
}

/// Whether chance explains with less than 0.1 % that none of `keys` sticky keys reached a canary
/// with this weight while the base served them.
pub(crate) fn is_unreachable(weight: Weight, keys: u64) -> bool {
    let share = f64::from(weight.basis_points()) / 10_000.0;
    if share <= 0.0 || keys == 0 {
        return false;
    }
    #[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
    let keys = keys as f64;
    keys * libm::log1p(-share) < libm::log(0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_each_boundary() {
        for (failures, attempts, breached) in
            [(0, 0, false), (4, 4, false), (5, 5, true), (5, 1_000, false), (25, 1_000, true)]
        {
            assert_eq!(is_breached(failures, attempts, 10_000), breached, "{failures}/{attempts}");
        }
        let weight = |bp| Weight::from_basis_points(bp).unwrap();
        for (bp, keys, unreachable) in [
            (100, 687, false),
            (100, 688, true),
            (0, 9_999, false),
            (10_000, 1, true),
            (500, 0, false),
        ] {
            assert_eq!(is_unreachable(weight(bp), keys), unreachable, "{bp} {keys}");
        }
    }
}
