//! An objective in the words people say: `p95 < 500ms`, `errors < 1%`, `throughput > 100/s`,
//! `uptime > 99.9% over 7d`.
//!
//! A value equal to the limit passes, in the strict form as in the loose one. [`fmt::Display`]
//! writes the canonical text, which parses back to the same objective; stored forms hold it.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::histogram::VALUE_US_MAX;
use crate::base::units::{BasisPoints, Micros, Rate};
use crate::base::yaml::nearest_name;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Metric {
    /// The latency below which this share of all requests stays: 9,500 is p95.
    Latency { quantile_bp: u32 },
    /// (errors + dropped) / (requests + dropped).
    Errors,
    /// Requests answered without error, per second.
    Throughput,
    /// The share of requests answered without error over a window.
    Uptime { window: Micros },
}

/// How the value has to stand to the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Comparison {
    Below,
    AtMost,
    Above,
    AtLeast,
}

impl Comparison {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Below => "<",
            Self::AtMost => "<=",
            Self::Above => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether smaller values are better.
    pub(crate) const fn is_upper_limit(self) -> bool {
        matches!(self, Self::Below | Self::AtMost)
    }
}

/// The limit, in the unit of its metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Limit {
    Latency(Micros),
    Ratio(BasisPoints),
    Rate(Rate),
}

/// A metric, a comparison and a limit that fit each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Objective {
    metric: Metric,
    comparison: Comparison,
    limit: Limit,
}

impl JsonSchema for Objective {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Objective".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "an objective in words",
            "examples": ["p95 < 500ms", "errors < 1%", "throughput > 100/s", "uptime > 99.9% over 7d"]
        })
    }
}

/// Why a text is not an objective, where in it, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not an objective: {problem} (column {column})")]
pub(crate) struct ObjectiveError {
    pub(crate) text: String,
    /// 1-based, in characters.
    pub(crate) column: usize,
    pub(crate) problem: String,
    pub(crate) suggestion: String,
}

impl Objective {
    pub(crate) fn metric(&self) -> Metric {
        self.metric
    }

    pub(crate) fn comparison(&self) -> Comparison {
        self.comparison
    }

    pub(crate) fn limit(&self) -> Limit {
        self.limit
    }

    /// The metric as people name it: `p95`, `errors`, `throughput`, `uptime`.
    pub(crate) fn name(&self) -> String {
        self.metric.to_string()
    }

    /// One plain sentence of what has to hold.
    pub(crate) fn sentence(&self) -> String {
        let limit = self.limit;
        match self.metric {
            Metric::Latency { quantile_bp } => format!(
                "{} of all requests are answered within {limit}",
                exact(u64::from(quantile_bp), 100, "%")
            ),
            Metric::Errors => format!(
                "at most {limit} of all requests fail, those due but never sent counted as failed"
            ),
            Metric::Throughput => format!("at least {limit} requests succeed"),
            Metric::Uptime { window } => {
                format!("at least {limit} of all probes succeed over {}", span(window))
            }
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency { quantile_bp } => {
                f.write_str(&format!("p{}", exact(u64::from(*quantile_bp), 100, "")))
            }
            Self::Errors => f.write_str("errors"),
            Self::Throughput => f.write_str("throughput"),
            Self::Uptime { .. } => f.write_str("uptime"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&match self {
            Self::Latency(limit) => span(*limit),
            Self::Ratio(limit) => exact(u64::from(limit.0), 100, "%"),
            Self::Rate(limit) => exact(limit.milli_per_s, 1_000, "/s"),
        })
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.metric, self.comparison.as_str(), self.limit)?;
        match self.metric {
            Metric::Uptime { window } => write!(f, " over {}", span(window)),
            _ => Ok(()),
        }
    }
}

impl From<Objective> for String {
    fn from(objective: Objective) -> Self {
        objective.to_string()
    }
}

impl TryFrom<String> for Objective {
    type Error = ObjectiveError;

    fn try_from(text: String) -> Result<Self, ObjectiveError> {
        text.parse()
    }
}

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let cursor = Cursor { text };
        let at = text.find(['<', '>', '=']).ok_or_else(|| {
            cursor.error(text.trim_end().len(), "a comparison is missing", EXAMPLES)
        })?;
        let (name, rest) = text.split_at(at);
        let (comparison, width) = comparison(rest).ok_or_else(|| {
            cursor.error(
                at,
                "a comparison is <, <=, > or >=",
                "write < or <= for an upper limit, > or >= for a lower one",
            )
        })?;
        let start = at + width + leading_space(&rest[width..]);
        let value = text[start..].trim_end();
        let (metric, limit) = metric_and_limit(&cursor, name, (start, value))?;
        let wants_upper = matches!(metric, Metric::Latency { .. } | Metric::Errors);
        if comparison.is_upper_limit() != wants_upper {
            let right = if wants_upper { "<" } else { ">" };
            let problem =
                format!("{metric} is good when {}", if wants_upper { "low" } else { "high" });
            return Err(cursor.error(
                at,
                &problem,
                &format!("write {right} in place of {}", comparison.as_str()),
            ));
        }
        Ok(Self { metric, comparison, limit })
    }
}

const EXAMPLES: &str =
    "write one such as p95 < 500ms, errors < 1%, throughput > 100/s or uptime > 99.9% over 7d";

/// The text being read, to name places in it.
struct Cursor<'a> {
    text: &'a str,
}

impl Cursor<'_> {
    fn error(&self, byte: usize, problem: &str, suggestion: &str) -> ObjectiveError {
        ObjectiveError {
            text: self.text.chars().take(200).collect(),
            column: self.text[..byte].chars().count() + 1,
            problem: problem.to_owned(),
            suggestion: suggestion.to_owned(),
        }
    }
}

fn leading_space(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

fn comparison(rest: &str) -> Option<(Comparison, usize)> {
    let symbol = rest.get(..2).filter(|two| two.ends_with(['=', '<', '>'])).unwrap_or(&rest[..1]);
    let found = match symbol {
        "<" => Comparison::Below,
        "<=" => Comparison::AtMost,
        ">" => Comparison::Above,
        ">=" => Comparison::AtLeast,
        _ => return None,
    };
    Some((found, symbol.len()))
}

fn metric_and_limit(
    cursor: &Cursor<'_>,
    name: &str,
    (start, value): (usize, &str),
) -> Result<(Metric, Limit), ObjectiveError> {
    let place = leading_space(name);
    match name.trim() {
        "errors" => Ok((Metric::Errors, ratio(cursor, start, value)?)),
        "throughput" => rate(cursor, start, value).map(|limit| (Metric::Throughput, limit)),
        "uptime" => uptime(cursor, start, value),
        other => {
            match other.strip_prefix('p').filter(|q| q.starts_with(|c: char| c.is_ascii_digit())) {
                Some(quantile) => {
                    let quantile_bp = format!("{quantile}%").parse::<BasisPoints>().ok();
                    let quantile_bp =
                        quantile_bp.map(|bp| bp.0).filter(|bp| (1..10_000).contains(bp));
                    let Some(quantile_bp) = quantile_bp else {
                        let problem = format!("'{other}' is not a percentile");
                        return Err(cursor.error(
                            place,
                            &problem,
                            "write one between p0.01 and p99.99, such as p95 or p99.9",
                        ));
                    };
                    Ok((Metric::Latency { quantile_bp }, latency(cursor, start, value)?))
                }
                None => Err(unknown_metric(cursor, place, other)),
            }
        }
    }
}

fn unknown_metric(cursor: &Cursor<'_>, place: usize, name: &str) -> ObjectiveError {
    let known = match name {
        "latency" | "response_time" | "duration" => Some("p95"),
        "error_rate" | "error_ratio" => Some("errors"),
        "rps" | "rate" => Some("throughput"),
        "availability" => Some("uptime"),
        _ => nearest_name(name, ["errors", "throughput", "uptime", "p95", "p99"]),
    };
    let suggestion = known.map_or_else(|| EXAMPLES.to_owned(), |k| format!("did you mean `{k}`?"));
    let problem = if name.is_empty() {
        "the metric is missing".to_owned()
    } else {
        format!("'{name}' is not a metric")
    };
    cursor.error(place, &problem, &suggestion)
}

fn is_number(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

fn latency(cursor: &Cursor<'_>, start: usize, value: &str) -> Result<Limit, ObjectiveError> {
    if is_number(value) {
        return Err(cursor.error(
            start,
            "the unit is missing",
            &format!("write the unit: {value}ms"),
        ));
    }
    let limit: Micros = value.parse().map_err(|_| {
        let problem = format!("'{value}' is not a duration");
        cursor.error(start, &problem, "write a number and a unit: 250us, 500ms or 1.5s")
    })?;
    if limit.0 == 0 || limit.0 > VALUE_US_MAX {
        let problem = format!("'{value}' is outside of what is measured");
        return Err(cursor.error(start, &problem, "write a limit from 1us to 60s"));
    }
    Ok(Limit::Latency(limit))
}

fn ratio(cursor: &Cursor<'_>, start: usize, value: &str) -> Result<Limit, ObjectiveError> {
    if is_number(value) {
        return Err(cursor.error(
            start,
            "the unit is missing",
            &format!("write the unit: {value}%"),
        ));
    }
    value.parse().map(Limit::Ratio).map_err(|_| {
        let problem = format!("'{value}' is not a percentage from 0% to 100% in steps of 0.01%");
        cursor.error(start, &problem, "write a number and %: 1%, 0.25% or 99.95%")
    })
}

fn rate(cursor: &Cursor<'_>, start: usize, value: &str) -> Result<Limit, ObjectiveError> {
    if is_number(value) {
        return Err(cursor.error(
            start,
            "the unit is missing",
            &format!("write the unit: {value}/s"),
        ));
    }
    value.parse().map(Limit::Rate).map_err(|_| {
        let problem = format!("'{value}' is not a rate");
        cursor.error(start, &problem, "write a number per second, minute or hour: 100/s or 30/m")
    })
}

fn uptime(
    cursor: &Cursor<'_>,
    start: usize,
    value: &str,
) -> Result<(Metric, Limit), ObjectiveError> {
    let Some((share, window)) = value.split_once(" over ") else {
        let end = start + value.len();
        let suggestion = format!("write the window: {} over 7d", value.trim());
        return Err(cursor.error(end, "the window is missing", &suggestion));
    };
    let limit = ratio(cursor, start, share.trim_end())?;
    let place = start + share.len() + " over ".len() + leading_space(window);
    let window: Micros =
        window.trim().parse().ok().filter(|w: &Micros| w.0 > 0).ok_or_else(|| {
            let problem = format!("'{}' is not a window", window.trim());
            cursor.error(place, &problem, "write a number and a unit: 30m, 24h or 7d")
        })?;
    Ok((Metric::Uptime { window }, limit))
}

/// A duration as it is written, exactly: `500ms`, `1.5s`, `7d`.
pub(crate) fn span(value: Micros) -> String {
    const UNITS: [(u64, &str); 4] =
        [(86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s")];
    match UNITS.iter().find(|(scale, _)| value.0 >= *scale && value.0.is_multiple_of(*scale)) {
        Some((scale, unit)) => format!("{}{unit}", value.0 / scale),
        None if value.0 >= 1_000_000 => exact(value.0, 1_000_000, "s"),
        None if value.0 >= 1_000 => exact(value.0, 1_000, "ms"),
        None => format!("{}us", value.0),
    }
}

/// `value / scale` with every digit, trailing zeros cut. `scale` is a power of ten.
fn exact(value: u64, scale: u64, unit: &str) -> String {
    let width = usize::try_from(scale.ilog10()).unwrap_or_default();
    let rest = format!("{:0width$}", value % scale);
    match rest.trim_end_matches('0') {
        "" => format!("{}{unit}", value / scale),
        digits => format!("{}.{digits}{unit}", value / scale),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_canonical_text_comes_back() {
        for text in [
            "p95 < 500ms",
            "p99.9 <= 2s",
            "p50 < 250us",
            "p99.99 < 1.5s",
            "p95 < 1.234ms",
            "errors < 1%",
            "errors <= 0.25%",
            "errors <= 0%",
            "throughput > 100/s",
            "throughput >= 0.5/s",
            "uptime > 99.9% over 7d",
            "uptime >= 99.95% over 90m",
        ] {
            let objective: Objective = text.parse().unwrap();
            assert_eq!(objective.to_string(), text);
            let json = serde_json::to_string(&objective).unwrap();
            assert_eq!(serde_json::from_str::<Objective>(&json).unwrap(), objective);
        }
        let loose: Objective = "  p95<0.5s ".parse().unwrap();
        assert_eq!(loose.to_string(), "p95 < 500ms");
        assert_eq!(loose.metric(), Metric::Latency { quantile_bp: 9_500 });
        assert_eq!(loose.limit(), Limit::Latency(Micros(500_000)));
    }

    #[test]
    fn every_mistake_has_a_place_and_a_way_out() {
        for (text, column, suggestion) in [
            ("p95 < 500", 7, "write the unit: 500ms"),
            ("errors < 1", 10, "write the unit: 1%"),
            ("throughput > 100", 14, "write the unit: 100/s"),
            ("p95 500ms", 10, EXAMPLES),
            ("", 1, EXAMPLES),
            ("p95 = 500ms", 5, "write < or <= for an upper limit, > or >= for a lower one"),
            ("p95 << 5ms", 5, "write < or <= for an upper limit, > or >= for a lower one"),
            ("p95 > 500ms", 5, "write < in place of >"),
            ("throughput < 5/s", 12, "write > in place of <"),
            ("erors < 1%", 1, "did you mean `errors`?"),
            ("latency < 1s", 1, "did you mean `p95`?"),
            ("availability > 99%", 1, "did you mean `uptime`?"),
            ("< 1s", 1, EXAMPLES),
            ("p100 < 1s", 1, "write one between p0.01 and p99.99, such as p95 or p99.9"),
            ("p95 < 61s", 7, "write a limit from 1us to 60s"),
            ("p95 < 0ms", 7, "write a limit from 1us to 60s"),
            ("p95 < 5 parsecs", 7, "write a number and a unit: 250us, 500ms or 1.5s"),
            ("errors < 101%", 10, "write a number and %: 1%, 0.25% or 99.95%"),
            ("uptime > 99.9%", 15, "write the window: 99.9% over 7d"),
            ("uptime > 99.9% over week", 21, "write a number and a unit: 30m, 24h or 7d"),
            ("µ95 < ", 1, "did you mean `p95`?"),
            ("p95 <é", 6, "write a number and a unit: 250us, 500ms or 1.5s"),
        ] {
            let error = text.parse::<Objective>().unwrap_err();
            assert_eq!((error.column, error.suggestion.as_str()), (column, suggestion), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_parses_comes_back(text in "[p0-9.<>=%a-z/ é]{0,24}") {
            if let Ok(objective) = text.parse::<Objective>() {
                proptest::prop_assert_eq!(objective.to_string().parse(), Ok(objective));
            }
        }
    }
}
