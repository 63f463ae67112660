//! Several looks at data that is still coming in, without a larger chance of a wrong alarm: K. K. G.
//! Lan and D. L. `DeMets`, Biometrika 70 (1983), with their function of Pocock's kind.
//!
//! Each look may spend what the function grants since the look before, and no more. Levels of single
//! looks add up to the whole, so this holds whatever the looks have in common (it is stricter than
//! joint boundaries, and needs no normal approximation).

use super::binomial::float;

/// The two-sided confidence of one look (1-based) out of `looks`; 10,000 decides nothing. Rounded
/// against deciding.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 10,000 by the function"
)]
pub(crate) fn confidence_at(confidence_bp: u32, look: u32, looks: u32) -> u32 {
    let whole = f64::from(10_000 - confidence_bp.min(10_000));
    let spent = |look: u32| {
        let share = float(look.min(looks).into()) / float(looks.max(1).into());
        whole * libm::log1p((std::f64::consts::E - 1.0) * share)
    };
    // The last digits of the logarithm must not cost a whole basis point.
    let granted = libm::floor(spent(look) - spent(look.saturating_sub(1)) + 1e-6);
    10_000 - granted as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Python: `alpha * (log(1 + (e - 1) * k / K) - log(1 + (e - 1) * (k - 1) / K))`, rounded down.
    #[test]
    fn looks_share_the_chance_of_a_wrong_alarm() {
        for (confidence_bp, looks, granted) in [
            (9_500, 1, vec![500, 0]),
            (9_500, 4, vec![178, 131, 103, 86, 0]),
            (9_500, 5, vec![147, 113, 92, 78, 67, 0]),
            (9_900, 3, vec![45, 31, 23, 0, 0]),
        ] {
            let seen: Vec<u32> = (1..)
                .zip(&granted)
                .map(|(k, _)| 10_000 - confidence_at(confidence_bp, k, looks))
                .collect();
            assert_eq!(seen, granted, "{looks} looks");
            assert!(seen.iter().sum::<u32>() <= 10_000 - confidence_bp);
        }
    }
}
