//! The exact interval of a ratio: C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
//!
//! Bounds are found by bisection on whole parts per million, so they are rounded outward by
//! construction: the lower bound down, the upper bound up. Functions come from `libm`.

const PPM: u32 = 1_000_000;

/// P(X >= k) for n trials with success probability p: the regularised incomplete beta `I_p(k, n-k+1)`.
pub(crate) fn at_least(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    incomplete_beta(float(k), float(n - k) + 1.0, p)
}

/// P(X <= k).
pub(crate) fn at_most(k: u64, n: u64, p: f64) -> f64 {
    if k >= n {
        return 1.0;
    }
    if p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    incomplete_beta(float(n - k), float(k) + 1.0, 1.0 - p)
}

/// The largest ppm that `k` or more of `n` reject at one-sided level `alpha`.
pub(crate) fn lower_ppm(k: u64, n: u64, alpha: f64) -> u32 {
    if k == 0 || n == 0 {
        return 0;
    }
    first(|ppm| at_least(k, n, ratio(ppm)) > alpha).saturating_sub(1)
}

/// The smallest ppm that `k` or fewer of `n` reject at one-sided level `alpha`.
pub(crate) fn upper_ppm(k: u64, n: u64, alpha: f64) -> u32 {
    if k >= n || n == 0 {
        return PPM;
    }
    first(|ppm| at_most(k, n, ratio(ppm)) <= alpha)
}

/// The two-sided level of one tail at a confidence: 9,500 gives 0.025.
pub(crate) fn tail(confidence_bp: u32) -> f64 {
    f64::from(10_000 - confidence_bp.min(10_000)) / 20_000.0
}

/// The first whole ppm where `holds` turns true; it stays true above.
fn first(holds: impl Fn(u32) -> bool) -> u32 {
    let (mut low, mut high) = (0, PPM);
    while low < high {
        let middle = u32::midpoint(low, high);
        if holds(middle) { high = middle } else { low = middle + 1 }
    }
    low
}

fn ratio(ppm: u32) -> f64 {
    f64::from(ppm) / f64::from(PPM)
}

/// A probability in whole ppm, rounded up and never 0: no p-value looks smaller than it is.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 1,000,000 by the clamp"
)]
pub(crate) fn round_up_ppm(probability: f64) -> u32 {
    (libm::ceil(probability.clamp(0.0, 1.0) * f64::from(PPM)) as u32).max(1)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// `I_x(a, b)` by Lentz's continued fraction (Press et al., Numerical Recipes, 6.4).
fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    let front = libm::exp(
        libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b)
            + a * libm::log(x)
            + b * libm::log1p(-x),
    );
    if x < (a + 1.0) / (a + b + 2.0) {
        front * fraction(a, b, x) / a
    } else {
        1.0 - front * fraction(b, a, 1.0 - x) / b
    }
}

#[expect(clippy::many_single_char_names, reason = "the letters of the published formula")]
fn fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut value = d;
    let mut m = 0.0;
    for _ in 0..200_000 {
        m += 1.0;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        value *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        value *= d * c;
        if (d * c - 1.0).abs() < 1e-15 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_clean_samples_and_known_cases() {
        let upper = |k, n| upper_ppm(k, n, tail(9_500));
        assert!(upper(0, 367) > 10_000 && upper(0, 368) <= 10_000);
        assert!(upper(0, 3_687) > 1_000 && upper(0, 3_688) <= 1_000);
        assert!(upper_ppm(0, 298, 0.05) > 10_000 && upper_ppm(0, 299, 0.05) <= 10_000);
        // 5/1000: 1.16 %; 10/2000: 0.92 %.
        assert_eq!((upper(5, 1_000) / 100, upper(10, 2_000) / 100), (116, 91));
        assert_eq!((lower_ppm(0, 10, 0.025), upper(10, 10), upper(0, 0)), (0, PPM, PPM));
        // 1 of 1: the lower bound is alpha itself.
        assert!((24_999..=25_000).contains(&lower_ppm(1, 1, 0.025)));
    }

    /// scipy 1.17.1: `binomtest(k, n).proportion_ci(confidence, "exact")`, rounded outward.
    #[test]
    fn as_scipy() {
        for (k, n, confidence_bp, lower, upper) in [
            (0, 368, 9_500, 0, 9_975),
            (5, 1_000, 9_500, 1_625, 11_630),
            (10, 2_000, 9_500, 2_400, 9_176),
            (1, 10, 9_500, 2_528, 445_017),
            (9, 10, 9_500, 554_983, 997_472),
            (50, 100, 9_900, 368_861, 631_139),
            (123, 98_765, 9_900, 975, 1_565),
            (3, 7, 9_000, 128_756, 774_679),
        ] {
            let alpha = tail(confidence_bp);
            let seen = (lower_ppm(k, n, alpha), upper_ppm(k, n, alpha));
            assert_eq!(seen, (lower, upper), "{k}/{n}");
        }
    }

    #[test]
    fn a_p_value_is_never_rounded_down() {
        let table = [(0.0, 1), (1e-12, 1), (0.5, 500_000), (1.0, PPM), (2.0, PPM)];
        assert!(table.iter().all(|(p, ppm)| round_up_ppm(*p) == *ppm));
    }
}
