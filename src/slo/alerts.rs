//! Prometheus rules from the manifest: what the objectives are worth while nobody ships. Pure.
//!
//! Budgets get the multi-window burn alerts of the SRE workbook over recorded ratios; latency and
//! errors get one alert each over the source's window.

use serde_json::{Value, json};

use super::burn::{Severity, alerts, budget_of};
use super::objective::{Limit, Metric, Objective};
use super::source::{Queries, over, promql_duration};
use crate::base::units::Micros;

/// A scope with its objectives and what a Prometheus is asked about it.
#[derive(Debug, Clone)]
pub(crate) struct Watched<'a> {
    pub(crate) scope: &'a str,
    pub(crate) objectives: &'a [Objective],
    pub(crate) queries: &'a Queries,
    /// Of objectives that name no window.
    pub(crate) window: Micros,
}

/// The rule file; JSON is YAML, too.
pub(crate) fn rules(service: &str, watched: &[Watched<'_>]) -> Value {
    let groups: Vec<Value> = watched
        .iter()
        .map(|of| {
            let mut rules = Vec::new();
            for objective in of.objectives {
                rules.extend(budget_rules(service, of, objective));
                rules.extend(limit_rule(service, of, objective));
            }
            rules.extend(no_data_rule(service, of));
            json!({"name": format!("orca-slo-{service}-{}", of.scope), "rules": rules})
        })
        .collect();
    json!({"groups": groups})
}

/// The share of failed requests over a window.
pub(crate) fn error_ratio(queries: &Queries, window: Micros) -> Option<String> {
    let (errors, total) = (queries.errors.as_ref()?, queries.total.as_ref()?);
    Some(format!("({}) / ({})", over(errors, window), over(total, window)))
}

fn recorded(window: Micros) -> String {
    format!("orca:slo_error_ratio:rate{}", promql_duration(window))
}

fn labels(service: &str, scope: &str) -> Value {
    json!({"service": service, "scope": scope})
}

fn selector(service: &str, scope: &str) -> String {
    format!("{{service=\"{service}\",scope=\"{scope}\"}}")
}

fn budget_rules(service: &str, of: &Watched<'_>, objective: &Objective) -> Vec<Value> {
    let Some((allowed_ppm, period)) = budget_of(objective) else { return Vec::new() };
    let mut rules = Vec::new();
    for alert in alerts(period) {
        for window in [alert.short, alert.long] {
            if let Some(expr) = error_ratio(of.queries, window) {
                let labels = labels(service, of.scope);
                rules.push(json!({"record": recorded(window), "expr": expr, "labels": labels}));
            }
        }
        let limit_ppb = u128::from(alert.threshold_milli) * u128::from(allowed_ppm);
        let limit = decimal(limit_ppb, 9);
        let series = |window| format!("{}{}", recorded(window), selector(service, of.scope));
        let (long, short) = (series(alert.long), series(alert.short));
        let severity = match alert.severity {
            Severity::Page => "page",
            Severity::Ticket => "ticket",
        };
        let summary = format!(
            "the error budget of {} ({objective}) burns {} times too fast over {}",
            of.scope,
            decimal(alert.threshold_milli.into(), 3),
            promql_duration(alert.long)
        );
        rules.push(json!({
            "alert": "OrcaErrorBudgetBurn",
            "expr": format!("{long} > {limit} and {short} > {limit}"),
            "labels": {"severity": severity, "service": service, "scope": of.scope,
                       "window": promql_duration(alert.long)},
            "annotations": {"summary": summary, "next": "orca slo budget"},
        }));
    }
    rules
}

fn limit_rule(service: &str, of: &Watched<'_>, objective: &Objective) -> Option<Value> {
    let (name, expr) = match (objective.metric(), objective.limit()) {
        (Metric::Latency { .. }, Limit::Latency(limit)) => {
            let limit = decimal(limit.0.into(), 6);
            ("OrcaLatency", format!("{} > {limit}", percentile(of.queries, objective, of.window)?))
        }
        (Metric::Errors, Limit::Ratio(limit)) => {
            let limit = decimal(limit.0.into(), 4);
            ("OrcaErrors", format!("{} > {limit}", error_ratio(of.queries, of.window)?))
        }
        _ => return None,
    };
    Some(json!({
        "alert": name,
        "expr": expr,
        "for": promql_duration(Micros((of.window.0 / 12).max(1_000_000))),
        "labels": {"severity": "ticket", "service": service, "scope": of.scope},
        "annotations": {
            "summary": format!("{} does not keep {objective}", of.scope),
            "next": "orca slo check",
        },
    }))
}

/// The percentile of an objective, in seconds.
pub(crate) fn percentile(
    queries: &Queries,
    objective: &Objective,
    window: Micros,
) -> Option<String> {
    let Metric::Latency { quantile_bp } = objective.metric() else { return None };
    let buckets = over(queries.latency.as_ref()?, window);
    Some(format!("histogram_quantile({}, {buckets})", decimal(quantile_bp.into(), 4)))
}

/// Silence is no good news.
fn no_data_rule(service: &str, of: &Watched<'_>) -> Option<Value> {
    let total = over(of.queries.total.as_ref()?, of.window);
    Some(json!({
        "alert": "OrcaSloNoData",
        "expr": format!("absent({total})"),
        "for": "10m",
        "labels": {"severity": "ticket", "service": service, "scope": of.scope},
        "annotations": {"summary": format!("nothing is known of {} any more", of.scope),
                        "next": "orca slo check"},
    }))
}

/// `value` with its last `places` digits behind the point, without zeros at the end.
fn decimal(value: u128, places: usize) -> String {
    let digits = format!("{value:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match fraction.trim_end_matches('0') {
        "" => whole.to_owned(),
        fraction => format!("{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burn_alerts_have_both_windows_and_the_limit_of_the_workbook() {
        let objectives = ["uptime > 99.9% over 30d", "p95 < 500ms", "errors < 1%"]
            .map(|text| text.parse().unwrap());
        let queries = Queries {
            total: Some("sum(increase(a[{window}]))".to_owned()),
            errors: Some("sum(increase(b[{window}]))".to_owned()),
            latency: Some("sum by (le) (increase(c_bucket[{window}]))".to_owned()),
        };
        let window = Micros::from_secs(3_600);
        let watched = Watched { scope: "all", objectives: &objectives, queries: &queries, window };
        let rules = rules("shop", &[watched]);
        let of = |name: &str| -> Vec<String> {
            let all = rules["groups"][0]["rules"].as_array().unwrap().iter();
            all.filter(|rule| rule["alert"] == name)
                .map(|rule| rule["expr"].as_str().unwrap().to_owned())
                .collect()
        };
        let burns = of("OrcaErrorBudgetBurn");
        assert_eq!(burns.len(), 4);
        assert_eq!(
            burns[0],
            "orca:slo_error_ratio:rate1h{service=\"shop\",scope=\"all\"} > 0.0144 and \
             orca:slo_error_ratio:rate5m{service=\"shop\",scope=\"all\"} > 0.0144"
        );
        assert_eq!(
            of("OrcaLatency"),
            ["histogram_quantile(0.95, sum by (le) (increase(c_bucket[1h]))) > 0.5"]
        );
        assert_eq!(of("OrcaErrors"), ["(sum(increase(b[1h]))) / (sum(increase(a[1h]))) > 0.01"]);
        assert_eq!(of("OrcaSloNoData").len(), 1);
    }

    #[test]
    fn decimals() {
        for (value, places, expected) in [
            (14_400, 6, "0.0144"),
            (500_000, 6, "0.5"),
            (2_000_000, 6, "2"),
            (0, 3, "0"),
            (7, 0, "7"),
        ] {
            assert_eq!(decimal(value, places), expected);
        }
    }
}
