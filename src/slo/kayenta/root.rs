//! A root of a falling function between two places: R. P. Brent, Algorithms for Minimization without
//! Derivatives (1973), 4.6, with the absolute tolerance of the original judge.

const TOLERANCE: f64 = 1e-4;
const STEPS_MAX: u32 = 1_001;

/// A place and the function's value there.
#[derive(Debug, Clone, Copy)]
struct Point {
    at: f64,
    value: f64,
}

impl Point {
    fn is_root(self) -> bool {
        self.value.abs() < f64::MIN_POSITIVE
    }
}

/// `None` where the function has no value at a place that is tried.
pub(super) fn root(
    (low, high): (f64, f64),
    (at_low, at_high): (f64, f64),
    f: impl Fn(f64) -> Option<f64>,
) -> Option<f64> {
    // `best` is the newest guess, `last` the one before, `other` lies across the root.
    let mut last = Point { at: low, value: at_low };
    let mut best = Point { at: high, value: at_high };
    if last.is_root() {
        return Some(low);
    }
    if best.is_root() {
        return Some(high);
    }
    let mut other = last;
    for _ in 0..STEPS_MAX {
        let before = best.at - last.at;
        if other.value.abs() < best.value.abs() {
            last = best;
            best = other;
            other = last;
        }
        let enough = 2.0 * f64::EPSILON * best.at.abs() + TOLERANCE / 2.0;
        let half = (other.at - best.at) / 2.0;
        if half.abs() <= enough || best.is_root() {
            break;
        }
        let may_interpolate = before.abs() >= enough && last.value.abs() > best.value.abs();
        let step = Some((last, best, other))
            .filter(|_| may_interpolate)
            .and_then(|points| interpolated(points, before, enough))
            .unwrap_or(half);
        let step = if step.abs() >= enough { step } else { enough.copysign(positive(step)) };
        last = best;
        best.at += step;
        best.value = f(best.at)?;
        if best.value * other.value > 0.0 {
            other = last;
        }
    }
    Some(best.at)
}

/// Zero counts as negative, as in the original.
fn positive(step: f64) -> f64 {
    if step > 0.0 { 1.0 } else { -1.0 }
}

/// The step of the secant, or of the inverse parabola through three places, when it stays well
/// inside the bracket and gets shorter fast enough.
fn interpolated(
    (last, best, other): (Point, Point, Point),
    before: f64,
    enough: f64,
) -> Option<f64> {
    let width = other.at - best.at;
    let t2 = best.value / last.value;
    let (p, q) = if last.at.to_bits() == other.at.to_bits() {
        (width * t2, 1.0 - t2)
    } else {
        let (q, t1) = (last.value / other.value, best.value / other.value);
        (
            t2 * (width * q * (q - t1) - (best.at - last.at) * (t1 - 1.0)),
            (q - 1.0) * (t1 - 1.0) * (t2 - 1.0),
        )
    };
    let (p, q) = if p > 0.0 { (p, -q) } else { (-p, q) };
    let fits = p < 0.75 * width * q - (enough * q).abs() / 2.0 && p < (before * q / 2.0).abs();
    fits.then(|| p / q)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_of_smooth_and_stepped_functions() {
        let of = |f: &dyn Fn(f64) -> f64, low: f64, high: f64| {
            root((low, high), (f(low), f(high)), |x| Some(f(x))).unwrap()
        };
        assert!((of(&|x| 2.0 - x * x, 0.0, 2.0) - std::f64::consts::SQRT_2).abs() < 1e-4);
        assert!((of(&|x| if x < 0.3 { 1.0 } else { -1.0 }, -5.0, 5.0) - 0.3).abs() < 1e-4);
        assert!((of(&|x| -x, 0.0, 5.0)).abs() < 1e-12);
        assert_eq!(root((0.0, 1.0), (1.0, -1.0), |_| None), None);
    }
}
