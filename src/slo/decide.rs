//! What an interval says of a limit, and the two questions people ask of plain numbers. Pure.

use super::statistics::binomial::{lower_ppm, tail, upper_ppm};
use super::statistics::quantile::{Ranks, ranks};
use crate::gate::verdict::Verdict;

/// Fail outranks Pass, and neither is Inconclusive.
pub(crate) fn decide(passes: bool, fails: bool) -> Verdict {
    match (passes, fails) {
        (_, true) => Verdict::Fail,
        (true, false) => Verdict::Pass,
        (false, false) => Verdict::Inconclusive,
    }
}

/// Whether `errors` of `n` keep a limit, with the exact interval in ppm. Nothing decides nothing.
pub(crate) fn ratio(
    errors: u64,
    n: u64,
    limit_ppm: u32,
    confidence_bp: u32,
) -> (Verdict, u32, u32) {
    let alpha = tail(confidence_bp);
    let (lower, upper) = (lower_ppm(errors, n, alpha), upper_ppm(errors, n, alpha));
    (decide(n > 0 && upper <= limit_ppm, n > 0 && lower > limit_ppm), lower, upper)
}

/// Whether a percentile of ascending samples keeps a limit, with the ranks that enclose it.
pub(crate) fn percentile(
    sorted: &[u64],
    quantile_bp: u32,
    limit: u64,
    confidence_bp: u32,
) -> (Verdict, Ranks) {
    let n = u64::try_from(sorted.len()).unwrap_or(u64::MAX);
    let ranks = ranks(n, quantile_bp, confidence_bp);
    let at = |rank: Option<u64>| {
        let index = usize::try_from(rank?.checked_sub(1)?).ok()?;
        sorted.get(index).copied()
    };
    let passes = at(ranks.upper).is_some_and(|value| value <= limit);
    let fails = at(ranks.lower).is_some_and(|value| value > limit);
    (decide(passes, fails), ranks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Fail, Inconclusive, Pass};

    #[test]
    fn a_ratio_on_both_sides_of_its_limit() {
        for (errors, n, limit_ppm, expected) in [
            (0, 0, 1_000_000, Inconclusive),
            (0, 367, 10_000, Inconclusive),
            (0, 368, 10_000, Pass),
            (10, 10, 1_000_000, Pass),
            (10, 2_000, 9_175, Inconclusive),
            (10, 2_000, 9_176, Pass),
            (10, 2_000, 2_400, Inconclusive),
            (10, 2_000, 2_399, Fail),
        ] {
            assert_eq!(ratio(errors, n, limit_ppm, 9_500).0, expected, "{errors}/{n} {limit_ppm}");
        }
    }

    #[test]
    fn a_percentile_on_both_sides_of_its_limit() {
        let samples: Vec<u64> = (1..=400).collect();
        for (limit, expected) in
            [(388, Inconclusive), (389, Pass), (371, Inconclusive), (370, Fail)]
        {
            assert_eq!(percentile(&samples, 9_500, limit, 9_500).0, expected, "{limit}");
        }
        assert_eq!(percentile(&[], 9_500, 1, 9_500).0, Inconclusive);
        assert_eq!(percentile(&samples[..71], 9_500, 1_000, 9_500).0, Inconclusive);
    }
}
