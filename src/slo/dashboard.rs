//! A Grafana dashboard from the manifest: one row a scope, each objective with its limit. Pure.

use serde_json::{Value, json};

use super::alerts::{Watched, error_ratio, percentile};
use super::burn::{alerts, budget_of};
use super::objective::{Limit, Metric, Objective};
use super::source::over;
use crate::base::units::Micros;

const WIDTH: u64 = 8;
const HEIGHT: u64 = 8;
const SCHEMA: u64 = 39;

/// As Grafana imports it; the data source is chosen there.
pub(crate) fn dashboard(service: &str, watched: &[Watched<'_>]) -> Value {
    let mut panels = Vec::new();
    let mut y = 0;
    for of in watched {
        let place = json!({"h": 1, "w": 24, "x": 0, "y": y});
        panels
            .push(json!({"type": "row", "title": of.scope, "gridPos": place, "collapsed": false}));
        y += 1;
        let mut x = 0;
        for panel in scope_panels(of) {
            let mut panel = panel;
            panel["gridPos"] = json!({"h": HEIGHT, "w": WIDTH, "x": x, "y": y});
            panels.push(panel);
            x += WIDTH;
            if x >= 24 {
                (x, y) = (0, y + HEIGHT);
            }
        }
        if x > 0 {
            y += HEIGHT;
        }
    }
    for (id, panel) in (1..).zip(&mut panels) {
        panel["id"] = json!(id);
    }
    json!({
        "title": format!("{service}: objectives"),
        "uid": uid(service),
        "tags": ["orca", "slo"],
        "schemaVersion": SCHEMA,
        "editable": true,
        "time": {"from": "now-24h", "to": "now"},
        "refresh": "1m",
        "templating": {"list": [{
            "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        }]},
        "panels": panels,
    })
}

/// Grafana takes letters, digits, `-` and `_`, forty at most.
fn uid(service: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    format!("orca-slo-{service}").chars().map(plain).take(40).collect()
}

fn scope_panels(of: &Watched<'_>) -> Vec<Value> {
    let mut panels = Vec::new();
    if let Some(total) = &of.queries.total {
        let window = Micros::from_secs(300);
        let expr = format!("({}) / 300", over(total, window));
        panels.push(series("requests a second", "reqps", &[("requests", expr)], None));
    }
    for objective in of.objectives {
        panels.extend(objective_panels(of, objective));
    }
    panels
}

fn objective_panels(of: &Watched<'_>, objective: &Objective) -> Vec<Value> {
    let title = objective.to_string();
    match (objective.metric(), objective.limit()) {
        (Metric::Latency { .. }, Limit::Latency(limit)) => {
            percentile(of.queries, objective, of.window)
                .map(|expr| {
                    let limit = json!(seconds(limit));
                    series(&title, "s", &[(&objective.name(), expr)], Some(limit))
                })
                .into_iter()
                .collect()
        }
        (Metric::Errors, Limit::Ratio(limit)) => error_ratio(of.queries, of.window)
            .map(|expr| {
                let limit = json!(f64::from(limit.0) / 10_000.0);
                series(&title, "percentunit", &[("errors", expr)], Some(limit))
            })
            .into_iter()
            .collect(),
        (Metric::Uptime { .. }, _) => budget_panels(of, objective),
        _ => Vec::new(),
    }
}

fn budget_panels(of: &Watched<'_>, objective: &Objective) -> Vec<Value> {
    let Some((allowed_ppm, period)) = budget_of(objective) else { return Vec::new() };
    let allowed = f64::from(allowed_ppm) / 1_000_000.0;
    let left = error_ratio(of.queries, period)
        .map(|ratio| series_left(&format!("left of the budget of {objective}"), &ratio, allowed));
    let burns: Vec<(String, String)> = alerts(period)
        .into_iter()
        .filter_map(|alert| {
            let ratio = error_ratio(of.queries, alert.long)?;
            Some((super::objective::span(alert.long), format!("({ratio}) / {allowed}")))
        })
        .collect();
    let burns: Vec<(&str, String)> = burns.iter().map(|(n, e)| (n.as_str(), e.clone())).collect();
    let burn = (!burns.is_empty())
        .then(|| series(&format!("burn rate of {objective}"), "none", &burns, Some(json!(1))));
    left.into_iter().chain(burn).collect()
}

fn seconds(limit: Micros) -> f64 {
    limit.duration().as_secs_f64()
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

fn targets(lines: &[(&str, String)]) -> Vec<Value> {
    ('A'..)
        .zip(lines)
        .map(|(id, (legend, expr))| {
            json!({"refId": id.to_string(), "expr": expr, "legendFormat": legend,
                   "datasource": source()})
        })
        .collect()
}

/// Lines over time; above `limit` is red.
fn series(title: &str, unit: &str, lines: &[(&str, String)], limit: Option<Value>) -> Value {
    let mut steps = vec![json!({"color": "green", "value": null})];
    let mode = if limit.is_some() { "line" } else { "off" };
    steps.extend(limit.map(|value| json!({"color": "red", "value": value})));
    json!({
        "type": "timeseries",
        "title": title,
        "datasource": source(),
        "targets": targets(lines),
        "fieldConfig": {
            "defaults": {
                "unit": unit,
                "custom": {"thresholdsStyle": {"mode": mode}},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
    })
}

fn series_left(title: &str, ratio: &str, allowed: f64) -> Value {
    let expr = format!("1 - ({ratio}) / {allowed}");
    json!({
        "type": "stat",
        "title": title,
        "datasource": source(),
        "targets": targets(&[("left", expr)]),
        "fieldConfig": {
            "defaults": {
                "unit": "percentunit",
                "thresholds": {"mode": "absolute", "steps": [
                    {"color": "red", "value": null},
                    {"color": "yellow", "value": 0.0},
                    {"color": "green", "value": 0.25},
                ]},
            },
            "overrides": [],
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slo::source::Queries;

    #[test]
    fn each_objective_has_its_panel_and_its_limit() {
        let objectives = ["uptime > 99.9% over 30d", "p95 < 500ms", "errors < 1%"]
            .map(|text| text.parse().unwrap());
        let queries = Queries {
            total: Some("sum(increase(a[{window}]))".to_owned()),
            errors: Some("sum(increase(b[{window}]))".to_owned()),
            latency: Some("sum by (le) (increase(c_bucket[{window}]))".to_owned()),
        };
        let window = Micros::from_secs(3_600);
        let of = Watched { scope: "all", objectives: &objectives, queries: &queries, window };
        let board = dashboard("Shop & Co", &[of]);
        assert_eq!(board["uid"], "orca-slo-Shop---Co");
        let panels = board["panels"].as_array().unwrap();
        let titles: Vec<&str> = panels.iter().map(|p| p["title"].as_str().unwrap()).collect();
        assert_eq!(
            titles,
            [
                "all",
                "requests a second",
                "left of the budget of uptime > 99.9% over 30d",
                "burn rate of uptime > 99.9% over 30d",
                "p95 < 500ms",
                "errors < 1%",
            ]
        );
        let steps = &panels[4]["fieldConfig"]["defaults"]["thresholds"]["steps"];
        assert_eq!(steps[1]["value"], 0.5);
        assert_eq!(
            panels[2]["targets"][0]["expr"].as_str().unwrap(),
            "1 - ((sum(increase(b[30d]))) / (sum(increase(a[30d])))) / 0.001"
        );
        // Nothing overlaps: no two panels share a corner.
        let mut corners: Vec<_> = panels.iter().map(|p| p["gridPos"].to_string()).collect();
        corners.sort();
        corners.dedup();
        assert_eq!(corners.len(), panels.len());
    }
}
