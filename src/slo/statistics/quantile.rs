//! The interval of a percentile from order statistics, free of any distribution: H. A. David and
//! H. N. Nagaraja, Order Statistics (2003), 7.1.

use super::binomial::{at_least, at_most, tail};

/// 1-based ranks whose values enclose the percentile; a rank that does not exist bounds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ranks {
    pub(crate) lower: Option<u64>,
    pub(crate) upper: Option<u64>,
}

pub(crate) fn ranks(n: u64, quantile_bp: u32, confidence_bp: u32) -> Ranks {
    let (q, alpha) = (f64::from(quantile_bp) / 10_000.0, tail(confidence_bp));
    // The largest l with P(X <= l-1) <= alpha; the smallest u with P(X >= u) <= alpha.
    let lower = first(n, |l| at_most(l, n, q) > alpha);
    let upper = first(n, |u| at_least(u, n, q) <= alpha);
    Ranks {
        lower: Some(lower).filter(|l| (1..=n).contains(l)),
        upper: Some(upper).filter(|u| (1..=n).contains(u)),
    }
}

/// The first of `0..=n` where `holds` turns true, else `n + 1`.
fn first(n: u64, holds: impl Fn(u64) -> bool) -> u64 {
    let (mut low, mut high) = (0, n + 1);
    while low < high {
        let middle = u64::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_binomial() {
        assert_eq!(ranks(400, 9_500, 9_500), Ranks { lower: Some(371), upper: Some(389) });
        for (n, quantile, exists) in
            [(71, 9_500, false), (72, 9_500, true), (367, 9_900, false), (368, 9_900, true)]
        {
            assert_eq!(ranks(n, quantile, 9_500).upper.is_some(), exists, "{n}");
        }
        assert_eq!(ranks(0, 9_500, 9_500), Ranks { lower: None, upper: None });
    }
}
