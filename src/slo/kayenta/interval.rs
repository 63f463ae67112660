//! The shift of one arm against the other with its interval, as roots of the rank statistic.

use super::arm::Arm;
use super::root::root;
use crate::slo::statistics::binomial::float;
use crate::slo::statistics::mann_whitney::normal_quantile;

/// How much larger `x` is than `y`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) estimate: f64,
}

/// `None` where every value of both arms is tied at a place the search tries.
pub(super) fn interval(x: &Arm, y: &Arm, confidence: f64) -> Option<Interval> {
    let ((x_min, x_max), (y_min, y_max)) = (x.ends()?, y.ends()?);
    let ends = (x_min - y_max, x_max - y_min);
    let tail = normal_quantile((1.0 - confidence) / 2.0);
    let search = |z: f64, stops_at_ends: bool| {
        let f = |shift: f64| rank_z(x, y, shift).map(|value| value - z);
        let (low, high) = (f(ends.0)?, f(ends.1)?);
        match stops_at_ends {
            true if low <= 0.0 => Some(ends.0),
            true if high >= 0.0 => Some(ends.1),
            _ => root(ends, (low, high), f),
        }
    };
    Some(Interval {
        low: search(-tail, true)?,
        high: search(tail, true)?,
        estimate: search(0.0, false)?,
    })
}

/// The rank sum of `x - shift` against `y` in standard deviations, with tie and continuity
/// correction; `None` when everything is tied.
#[expect(clippy::many_single_char_names, reason = "the letters of the published formula")]
pub(super) fn rank_z(x: &Arm, y: &Arm, shift: f64) -> Option<f64> {
    let (m, n) = (x.count(), y.count());
    let mut left = x.values().iter().map(|(v, c)| (v - shift, *c)).peekable();
    let mut right = y.values().iter().copied().peekable();
    let (mut below, mut rank_sum, mut ties) = (0.0, 0.0, 0.0);
    loop {
        let value = match (left.peek(), right.peek()) {
            (Some((a, _)), Some((b, _))) => a.min(*b),
            (Some((only, _)), None) | (None, Some((only, _))) => *only,
            (None, None) => break,
        };
        let (mut own, mut others) = (0, 0);
        while let Some((_, count)) = left.next_if(|(v, _)| *v <= value) {
            own += count;
        }
        while let Some((_, count)) = right.next_if(|(v, _)| *v <= value) {
            others += count;
        }
        let tied = float(own + others);
        rank_sum += float(own) * (below + f64::midpoint(tied, 1.0));
        ties += tied * tied * tied - tied;
        below += tied;
    }
    let excess = rank_sum - m * (m + 1.0) / 2.0 - m * n / 2.0;
    let correction = if excess.abs() > 0.0 { 0.5_f64.copysign(excess) } else { 0.0 };
    let spread = (m + n + 1.0) - ties / ((m + n) * (m + n - 1.0));
    let sigma = libm::sqrt(m * n / 12.0 * spread);
    (sigma > 0.0).then(|| (excess - correction) / sigma)
}
