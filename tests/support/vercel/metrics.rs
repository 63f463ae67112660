//! Observability: what was served, counted by filter and by step of time.
//!
//! The names of dimensions are this fake's own; what Vercel calls them is in no contract. A filter on a
//! name that nobody knows finds nothing, which is the worst that it could do to whoever asks.

use serde_json::{Value, json};

use super::documents;
use super::project::{Project, now_ms};
use super::{PROJECT, TEAM};

/// One page that was served.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    pub(crate) at_ms: i64,
    pub(crate) deployment: String,
    pub(crate) path: String,
    pub(crate) status: u16,
    pub(crate) took_ms: f64,
}

/// How counts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Told {
    #[default]
    Truly,
    /// Nothing instead of what is known.
    Empty,
    Null,
    /// Half a request more.
    Fraction,
    /// As if a filter on a name that nobody knows were none.
    Carelessly,
    /// The same where it compares, and only there.
    CarelesslyCompared,
    /// With a zero for each step of which nothing is known.
    ZeroFilled,
}

/// What is known, and for how long.
#[derive(Debug, Clone)]
pub(crate) struct Metrics {
    pub(crate) hits: Vec<Hit>,
    pub(crate) told: Told,
    /// Older pages are forgotten.
    pub(crate) kept_ms: i64,
    /// The body of each query.
    pub(crate) asked: Vec<Value>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { hits: Vec::new(), told: Told::Truly, kept_ms: i64::MAX, asked: Vec::new() }
    }
}

impl Metrics {
    /// `count` pages spread evenly over the time until now, as if they had been served.
    pub(crate) fn served(&mut self, count: u32, over_ms: i64, change: impl Fn(u32, &mut Hit)) {
        let now = now_ms();
        for number in 0..count {
            let mut hit = Hit {
                at_ms: now - over_ms * i64::from(number) / i64::from(count),
                deployment: "dpl_1".to_owned(),
                path: "/".to_owned(),
                status: 200,
                took_ms: 20.0,
            };
            change(number, &mut hit);
            self.hits.push(hit);
        }
    }
}

/// The metrics that the catalogue lists.
const LISTED: [&str; 3] =
    ["vercel.request.count", "vercel.request.bytes", "vercel.function_invocation.count"];

/// `GET /v2/observability/schema`.
pub(super) fn catalogue() -> (u16, Value) {
    let metric = |id: &&str| json!({"id": id, "description": format!("{id} of the fake")});
    (200, json!({"metrics": LISTED.iter().map(metric).collect::<Vec<_>>()}))
}

/// `POST /metrics/v1`.
pub(super) fn query(project: &mut Project, body: &Value) -> (u16, Value) {
    let metrics = &mut project.metrics;
    metrics.asked.push(body.clone());
    let refused = |text: &str| documents::error((400, "bad_request", text));
    if body["scope"] != json!({"ownerId": TEAM, "projectIds": [PROJECT]}) {
        return documents::error((403, "forbidden", "Not authorized"));
    }
    let [name] = body["outputs"].as_array().map(Vec::as_slice).unwrap_or_default() else {
        return refused("one output is known here");
    };
    let name = name.as_str().unwrap_or_default();
    let wanted = &body["metrics"][name];
    if wanted["metric"] != LISTED[0] || wanted["aggregation"] != "sum" {
        return refused("unknown metric or aggregation");
    }
    let time = |key: &str| body["timeRange"][key].as_str().and_then(epoch_ms);
    let step_ms = body["bucketSeconds"].as_i64().unwrap_or_default() * 1_000;
    let (Some(start), Some(end)) = (time("start"), time("end")) else {
        return refused("no time");
    };
    if step_ms < 60_000 || start % step_ms != 0 || end % step_ms != 0 || start >= end {
        return refused("the time range is not whole steps");
    }
    let filter = body["filter"].as_str().unwrap_or_default();
    let known_since = now_ms().saturating_sub(metrics.kept_ms);
    let of = |hit: &&Hit| (start..end).contains(&hit.at_ms) && hit.at_ms >= known_since;
    let told = metrics.told;
    let is_picked = |hit: &&Hit| picks(filter, hit, told);
    let found: Vec<&Hit> = metrics.hits.iter().filter(of).filter(is_picked).collect();
    let row = |count: usize, at_ms: Option<i64>| {
        let count = match told {
            Told::Null => Value::Null,
            Told::Fraction => json!(f64::from(u32::try_from(count).unwrap_or_default()) + 0.5),
            _ => {
                json!(f64::from(u32::try_from(count).unwrap_or_default()))
            }
        };
        let mut row = json!({"values": {name: count}});
        if let Some(at_ms) = at_ms {
            row["timestamp"] = json!(format!("{}", at_ms / 1_000));
        }
        row
    };
    let is_silent = found.is_empty() || told == Told::Empty;
    let summary: Vec<Value> = if is_silent { Vec::new() } else { vec![row(found.len(), None)] };
    let steps = (0..(end - start) / step_ms).map(|number| start + number * step_ms);
    let series = steps.filter_map(|at_ms| {
        let within = found.iter().filter(|hit| (at_ms..at_ms + step_ms).contains(&hit.at_ms));
        let count = within.count();
        ((count > 0 || told == Told::ZeroFilled) && !is_silent).then(|| row(count, Some(at_ms)))
    });
    let statistics =
        json!({"rowsRead": found.len(), "bytesRead": 1, "databaseElapsedMs": 1, "elapsedMs": 1});
    let meta = json!({"statistics": statistics, "sources": [{"id": "requests"}]});
    (200, json!({"series": series.collect::<Vec<_>>(), "summary": summary, "meta": meta}))
}

/// `2026-11-22T04:05:00Z`, whole seconds only.
fn epoch_ms(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let numbers = |text: &str, mark| {
        text.split(mark).map(|part| part.parse::<i64>().ok()).collect::<Option<Vec<_>>>()
    };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let ([year, month, day], [hour, minute, second]) = (date.as_slice(), time.as_slice()) else {
        return None;
    };
    // Days since 1970 by Howard Hinnant's civil calendar.
    let (y, m) = if *month <= 2 { (year - 1, month + 9) } else { (*year, month - 3) };
    let era = y.div_euclid(400);
    let of_era = y - era * 400;
    let of_year = (153 * m + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000)
}

/// A little KQL: terms joined by `AND`, each of them in brackets or not.
fn picks(filter: &str, hit: &Hit, told: Told) -> bool {
    filter.split(" AND ").filter(|term| !term.is_empty()).all(|term| {
        let term = term.trim_start_matches('(').trim_end_matches(')');
        let at = term.find([':', '<', '>']).unwrap_or_else(|| panic!("no term: {term}"));
        let (name, rest) = term.split_at(at);
        let sign = rest.chars().take_while(|c| ":<>=".contains(*c)).collect::<String>();
        let wanted = rest[sign.len()..].trim().trim_matches('"');
        let number = |value: f64| {
            let wanted: f64 = wanted.parse().expect("a number");
            match sign.as_str() {
                "<" => value < wanted,
                "<=" => value <= wanted,
                ">" => value > wanted,
                ">=" => value >= wanted,
                _ => (value - wanted).abs() < 1e-9,
            }
        };
        match name.trim() {
            "environment" => wanted == "production",
            "path" => hit.path == wanted,
            "deployment" => hit.deployment == wanted,
            "http_status" => number(f64::from(hit.status)),
            "duration_ms" => number(hit.took_ms),
            _ => match told {
                Told::Carelessly => true,
                Told::CarelesslyCompared => sign != ":",
                _ => false,
            },
        }
    })
}
