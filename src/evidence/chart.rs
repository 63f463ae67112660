//! Line charts as inline SVG. Pure: the same series give the same text; every name is escaped, so
//! a hostile one cannot leave its label. Colours come from the page (`--c0` and on).
//!
//! An x axis in `nines_ppm` (a quantile in parts per million) is drawn by the nines: 50 %, 90 %,
//! 99 %, 99.9 % stand at equal steps. Every other axis is linear.

use std::fmt::Write as _;

use crate::base::units::Micros;
use crate::gate::check::Series;

/// The x unit that is drawn by the nines.
pub(crate) const NINES: &str = "nines_ppm";

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 68.0;
const RIGHT: f64 = 120.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;
/// Most points drawn of one line; more cannot be seen.
const POINTS_MAX: usize = 2_000;

/// Escapes text for HTML and SVG, in text and in attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

struct Axis {
    low: f64,
    high: f64,
    nines: bool,
    /// Where ticks stand, in the unit of the data.
    ticks: Vec<i64>,
}

impl Axis {
    /// Where `value` stands between 0 and 1.
    fn place(&self, value: i64) -> f64 {
        let (low, high) = (self.scale(self.low), self.scale(self.high));
        ((self.scale(float(value)) - low) / (high - low)).clamp(0.0, 1.0)
    }

    fn scale(&self, value: f64) -> f64 {
        if self.nines {
            -libm::log10((1_000_000.0 - value.min(999_999.0)) / 1_000_000.0)
        } else {
            value
        }
    }

    fn linear(values: impl Iterator<Item = i64> + Clone, from_zero: bool) -> Self {
        let low = values.clone().min().unwrap_or(0);
        let low = if from_zero { low.min(0) } else { low };
        let high = values.max().unwrap_or(1).max(low.saturating_add(1));
        let step = nice_step(high.saturating_sub(low));
        let first = low.div_euclid(step).saturating_mul(step);
        let last = if from_zero {
            high.div_euclid(step)
                .saturating_add(i64::from(high.rem_euclid(step) > 0))
                .saturating_mul(step)
        } else {
            high
        };
        let ticks = (0..12).map(|n| first.saturating_add(step.saturating_mul(n)));
        let ticks = ticks.filter(|t| (low..=last).contains(t)).collect();
        Self { low: float(low), high: float(last), nines: false, ticks }
    }

    fn nines(values: impl Iterator<Item = i64>) -> Self {
        const TICKS: [i64; 7] = [0, 500_000, 900_000, 990_000, 999_000, 999_900, 999_990];
        let high = values.max().unwrap_or(990_000).clamp(900_000, 999_999);
        let ticks = TICKS.into_iter().filter(|t| *t <= high).collect();
        Self { low: 0.0, high: float(high), nines: true, ticks }
    }
}

#[expect(clippy::cast_precision_loss, reason = "only for drawing")]
fn float(value: i64) -> f64 {
    value as f64
}

/// About five steps of 1, 2 or 5 times a power of ten.
fn nice_step(span: i64) -> i64 {
    let mut step = 1_i64;
    loop {
        for factor in [1, 2, 5] {
            let nice = step.saturating_mul(factor);
            if nice >= span / 5 || nice > i64::MAX / 20 {
                return nice.max(1);
            }
        }
        step = step.saturating_mul(10);
    }
}

/// A tick as people read it.
fn show(unit: &str, value: i64) -> String {
    let magnitude = value.unsigned_abs();
    match unit {
        _ if value == 0 && unit != NINES => "0".to_owned(),
        "us" | "microseconds" => Micros(magnitude).to_string(),
        "ms" => Micros::from_millis(magnitude).to_string(),
        "s" | "seconds" => Micros::from_secs(magnitude).to_string(),
        "ppm" | NINES => percent(value, 10_000),
        "bp" | "basis_points" => percent(value, 100),
        "" | "count" => value.to_string(),
        other => format!("{value} {other}"),
    }
}

fn percent(value: i64, scale: i64) -> String {
    let text = format!("{:.4}", float(value) / float(scale));
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// One chart of all `series`, which share their axes; nothing when there is no point.
pub(crate) fn svg(series: &[Series]) -> Option<String> {
    let first = series.first()?;
    let points = || series.iter().flat_map(|s| s.points.iter());
    points().next()?;
    let nines = first.x_unit == NINES;
    let xs = points().map(|p| p.0);
    let x = if nines { Axis::nines(xs) } else { Axis::linear(xs, false) };
    let y = Axis::linear(points().map(|p| p.1), true);
    let names: Vec<&str> = series.iter().map(|s| s.name.as_str()).collect();
    let label = escape(&format!("{}: {}", first.title, names.join(", ")));
    let mut out = format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{label}\">"
    );
    axes(&mut out, (&x, &first.x_unit), (&y, &first.y_unit));
    let mut label_ys: Vec<f64> = Vec::new();
    for (index, one) in series.iter().enumerate() {
        line(&mut out, index, one, (&x, &y), &mut label_ys);
    }
    out.push_str("</svg>");
    Some(out)
}

/// Which line is which, for screens too narrow for the labels at the lines.
pub(crate) fn legend(series: &[Series]) -> String {
    let name = |(index, one): (usize, &Series)| {
        format!("<span class=\"key c{}\">{}</span>", index % 6, escape(&one.name))
    };
    format!("<p class=\"legend\">{}</p>", series.iter().enumerate().map(name).collect::<String>())
}

fn at(x: &Axis, y: &Axis, point: (i64, i64)) -> (f64, f64) {
    let across = (WIDTH - LEFT - RIGHT).mul_add(x.place(point.0), LEFT);
    (across, (HEIGHT - TOP - BOTTOM).mul_add(1.0 - y.place(point.1), TOP))
}

fn axes(out: &mut String, (x, x_unit): (&Axis, &str), (y, y_unit): (&Axis, &str)) {
    let (floor, end) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
    for tick in &y.ticks {
        let (_, v) = at(x, y, (0, *tick));
        let text = escape(&show(y_unit, *tick));
        let _ = write!(
            out,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{v:.1}\" y2=\"{v:.1}\"/>\
             <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            LEFT - 8.0,
            v + 4.0
        );
    }
    for tick in &x.ticks {
        let (h, _) = at(x, y, (*tick, 0));
        let text = escape(&show(x_unit, *tick));
        let _ = write!(
            out,
            "<line class=\"axis\" x1=\"{h:.1}\" x2=\"{h:.1}\" y1=\"{floor}\" y2=\"{:.1}\"/>\
             <text class=\"tick\" x=\"{h:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            floor + 5.0,
            floor + 20.0
        );
    }
    let axis = if x.nines { "share of requests at most this slow" } else { "" };
    let _ = write!(
        out,
        "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{end}\" y1=\"{floor}\" y2=\"{floor}\"/>\
         <text class=\"tick\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{axis}</text>",
        f64::midpoint(LEFT, end),
        HEIGHT - 6.0
    );
}

fn line(out: &mut String, index: usize, one: &Series, (x, y): (&Axis, &Axis), ys: &mut Vec<f64>) {
    let Some(last) = one.points.last() else { return };
    let colour = index % 6;
    let every = one.points.len().div_ceil(POINTS_MAX).max(1);
    let mut path = String::new();
    for point in one.points.iter().step_by(every).chain([last]) {
        let (h, v) = at(x, y, *point);
        let _ = write!(path, "{}{h:.1},{v:.1}", if path.is_empty() { "" } else { " " });
    }
    let (h, v) = at(x, y, *last);
    // Direct labels: moved apart when two lines end at the same height.
    let mut label = v;
    while ys.iter().any(|other| (other - label).abs() < 15.0) && label < HEIGHT {
        label += 5.0;
    }
    ys.push(label);
    let name: String = one.name.chars().take(16).collect();
    let _ = write!(
        out,
        "<polyline class=\"line c{colour}\" points=\"{path}\"/>\
         <circle class=\"dot c{colour}\" cx=\"{h:.1}\" cy=\"{v:.1}\" r=\"3.5\"/>\
         <text class=\"label c{colour}\" x=\"{:.1}\" y=\"{:.1}\">{}</text>",
        h + 9.0,
        label + 4.0,
        escape(&name)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, x_unit: &str, points: &[(i64, i64)]) -> Series {
        Series {
            title: "latency".into(),
            name: name.into(),
            x_unit: x_unit.into(),
            y_unit: "us".into(),
            points: points.to_vec(),
        }
    }

    #[test]
    fn nothing_to_draw_is_no_chart() {
        assert_eq!(svg(&[]), None);
        assert_eq!(svg(&[series("a", "s", &[])]), None);
    }

    #[test]
    fn nines_stand_at_equal_steps() {
        let axis = Axis::nines([999_000].into_iter());
        for (value, place) in [(0, 0.0), (900_000, 1.0 / 3.0), (990_000, 2.0 / 3.0), (999_000, 1.0)]
        {
            assert!((axis.place(value) - place).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn extreme_values_and_hostile_names_are_drawn_safely() {
        let points = [(i64::MIN, i64::MIN), (0, 0), (i64::MAX, i64::MAX)];
        let drawn = svg(&[series("</text><script>", "s", &points)]).unwrap();
        assert!(!legend(&[series("<script>", "s", &points)]).contains("<script"));
        assert!(!drawn.contains("<script") && !drawn.contains("NaN") && !drawn.contains("inf"));
        assert!(drawn.contains("&lt;script&gt;"));
        let one = svg(&[series("a", NINES, &[(1_000_000, 7)])]).unwrap();
        assert!(!one.contains("NaN") && !one.contains("inf"));
    }

    #[test]
    fn ticks_are_round_and_end_above_the_highest_value() {
        let axis = Axis::linear([0, 437].into_iter(), true);
        assert_eq!(axis.ticks, [0, 100, 200, 300, 400, 500]);
        assert_eq!(show("us", 2_500), "2.5 ms");
        assert_eq!(show(NINES, 999_000), "99.9 %");
        assert_eq!(show("count", 3), "3");
    }
}
