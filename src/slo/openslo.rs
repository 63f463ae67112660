//! An `OpenSLO` v1 file as objectives in words. Pure.
//!
//! What orca has a place for is taken: ratio indicators asked of a Prometheus, with a target and a
//! rolling window. Every other field is listed with its value, so that nothing is lost unseen.

use serde_json::Value;

use crate::base::units::{BasisPoints, Micros};

/// What was taken of a file, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Imported {
    pub(crate) levels: Vec<Level>,
    /// `SLO/name: path = value`.
    pub(crate) not_taken: Vec<String>,
}

/// One objective with the queries behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Level {
    pub(crate) name: String,
    /// Such as `uptime > 99.9% over 30d`.
    pub(crate) objective: String,
    pub(crate) total: String,
    pub(crate) errors: String,
}

/// `documents` are those of one file, in their order.
pub(crate) fn import(documents: &[Value]) -> Imported {
    let documents: Vec<&Value> = documents.iter().filter(|d| !d.is_null()).collect();
    let found: Vec<Option<Found>> = documents.iter().map(|d| level(d, &documents)).collect();
    let is_taken = |sli: &str| found.iter().flatten().any(|f| f.sli.as_deref() == Some(sli));
    let mut imported = Imported::default();
    for (document, found) in documents.iter().zip(&found) {
        let kind = document["kind"].as_str().unwrap_or("?");
        let name = document["metadata"]["name"].as_str().unwrap_or("?");
        let mut taken: Vec<String> =
            ["apiVersion", "kind", "metadata.name"].map(str::to_owned).to_vec();
        if let Some(found) = found {
            taken.extend(found.paths.iter().cloned());
            imported.levels.push(found.level.clone());
        } else if kind == "SLI" && is_taken(name) {
            taken.extend(ratio_paths("spec"));
        }
        let mut leaves = Vec::new();
        leaf_paths(document, String::new(), &mut leaves);
        leaves.retain(|(path, _)| !taken.contains(path));
        let lines = leaves.iter().map(|(path, value)| format!("{kind}/{name}: {path} = {value}"));
        imported.not_taken.extend(lines);
    }
    imported
}

/// What was taken of one document.
struct Found {
    level: Level,
    paths: Vec<String>,
    /// The indicator that stands apart.
    sli: Option<String>,
}

fn level(document: &Value, documents: &[&Value]) -> Option<Found> {
    if document["kind"] != "SLO" {
        return None;
    }
    let spec = &document["spec"];
    let (ratio, prefix) = indicator(spec, documents)?;
    let query = |which: &str| ratio[which]["metricSource"]["spec"]["query"].as_str();
    let total = query("total")?;
    let errors = match (query("bad"), query("good")) {
        (Some(bad), _) => bad.to_owned(),
        (None, Some(good)) => format!("({total}) - ({good})"),
        (None, None) => return None,
    };
    let window_text = spec["timeWindow"][0]["duration"].as_str()?;
    let rolling = spec["timeWindow"][0]["isRolling"].as_bool() == Some(true);
    let window: Micros = window_text.parse().ok().filter(|_| rolling)?;
    let objective = &spec["objectives"][0];
    let (target, path) = match (objective["targetPercent"].as_f64(), objective["target"].as_f64()) {
        (Some(percent), _) => (percent, "targetPercent"),
        (None, share) => (share? * 100.0, "target"),
    };
    let target: BasisPoints = format!("{target:.2}%").parse().ok()?;
    let mut paths: Vec<String> = [
        "spec.timeWindow[0].duration",
        "spec.timeWindow[0].isRolling",
        "spec.indicatorRef",
        &format!("spec.objectives[0].{path}"),
    ]
    .map(str::to_owned)
    .to_vec();
    paths.extend(ratio_paths(&prefix));
    if spec["budgetingMethod"] == "Occurrences" {
        paths.push("spec.budgetingMethod".to_owned());
    }
    let share = target.to_string().replace(' ', "");
    let level = Level {
        name: document["metadata"]["name"].as_str()?.to_owned(),
        objective: format!("uptime >= {share} over {}", super::objective::span(window)),
        total: with_window(total, window_text),
        errors: with_window(&errors, window_text),
    };
    Some(Found { level, paths, sli: spec["indicatorRef"].as_str().map(str::to_owned) })
}

/// The ratio of an indicator, and the path of its specification in the document of the SLO.
fn indicator<'a>(spec: &'a Value, documents: &[&'a Value]) -> Option<(&'a Value, String)> {
    let own = &spec["indicator"]["spec"]["ratioMetric"];
    if own.is_object() {
        return Some((own, "spec.indicator.spec".to_owned()));
    }
    let wanted = spec["indicatorRef"].as_str()?;
    let found = documents.iter().find(|d| d["kind"] == "SLI" && d["metadata"]["name"] == wanted)?;
    Some((&found["spec"]["ratioMetric"], "spec".to_owned()))
}

fn ratio_paths(prefix: &str) -> Vec<String> {
    let mut paths = vec![format!("{prefix}.ratioMetric.counter")];
    for which in ["good", "bad", "total"] {
        for field in ["type", "spec.query"] {
            paths.push(format!("{prefix}.ratioMetric.{which}.metricSource.{field}"));
        }
    }
    paths
}

/// Ranges of exactly the window, or of a template's, become the placeholder.
fn with_window(query: &str, window: &str) -> String {
    [window, "{{.window}}", "{{window}}", "$window", "$__range"]
        .iter()
        .fold(query.trim().to_owned(), |query, range| {
            query.replace(&format!("[{range}]"), "[{window}]")
        })
}

fn leaf_paths(value: &Value, path: String, leaves: &mut Vec<(String, String)>) {
    let join = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                leaf_paths(inner, join(key), leaves);
            }
        }
        Value::Array(list) => {
            for (index, inner) in list.iter().enumerate() {
                leaf_paths(inner, format!("{path}[{index}]"), leaves);
            }
        }
        leaf => {
            let text: String = leaf.to_string().chars().take(120).collect();
            leaves.push((path, text));
        }
    }
}

/// The manifest of what was taken, ready to be written down.
pub(crate) fn manifest(imported: &Imported) -> String {
    let quoted = |text: &str| Value::String(text.to_owned()).to_string();
    let mut endpoints = String::new();
    let mut queries = String::new();
    for level in &imported.levels {
        let name: String = level.name.split_whitespace().collect::<Vec<_>>().join("-");
        endpoints.push_str(&format!(
            "  - name: {}\n    path: / # OpenSLO names no path\n    objectives: [{}]\n",
            quoted(&name),
            quoted(&level.objective)
        ));
        queries.push_str(&format!(
            "      {}:\n        total: {}\n        errors: {}\n",
            quoted(&name),
            quoted(&level.total),
            quoted(&level.errors)
        ));
    }
    format!(
        "version: 1\nendpoints:\n{endpoints}sources:\n  prom:\n    type: prometheus\n    \
         url_env: PROMETHEUS_URL\n    endpoints:\n{queries}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slo() -> Value {
        let source =
            |query: &str| json!({"metricSource": {"type": "Prometheus", "spec": {"query": query}}});
        json!({
            "apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": "checkout", "labels": {"team": "pay"}},
            "spec": {
                "service": "shop",
                "indicator": {"spec": {"ratioMetric": {
                    "counter": true,
                    "good": source("sum(increase(good[28d]))"),
                    "total": source("sum(increase(all[28d]))"),
                }}},
                "timeWindow": [{"duration": "28d", "isRolling": true}],
                "budgetingMethod": "Occurrences",
                "objectives": [{"displayName": "fine", "target": 0.999}],
                "alertPolicies": ["page"],
            },
        })
    }

    #[test]
    fn what_fits_is_taken_and_the_rest_is_listed() {
        let imported = import(&[slo()]);
        assert_eq!(
            imported.levels,
            [Level {
                name: "checkout".to_owned(),
                objective: "uptime >= 99.9% over 28d".to_owned(),
                total: "sum(increase(all[{window}]))".to_owned(),
                errors: "(sum(increase(all[{window}]))) - (sum(increase(good[{window}])))"
                    .to_owned(),
            }]
        );
        assert_eq!(
            imported.not_taken,
            [
                "SLO/checkout: metadata.labels.team = \"pay\"",
                "SLO/checkout: spec.alertPolicies[0] = \"page\"",
                "SLO/checkout: spec.objectives[0].displayName = \"fine\"",
                "SLO/checkout: spec.service = \"shop\"",
            ]
        );
        let text = manifest(&imported);
        let read = crate::slo::manifest::Manifest::parse(&text, std::path::Path::new("m.yaml"));
        assert_eq!(read.map(|m| m.sources.len()).map_err(|e| e.to_string()), Ok(1), "{text}");
    }

    #[test]
    fn an_indicator_may_stand_apart_and_what_does_not_fit_is_all_listed() {
        let mut whole = slo();
        let spec = whole["spec"].as_object_mut().unwrap();
        let indicator = spec.remove("indicator").unwrap();
        spec.insert("indicatorRef".to_owned(), json!("sli"));
        let sli = json!({"kind": "SLI", "metadata": {"name": "sli"}, "spec": indicator["spec"]});
        let imported = import(&[whole.clone(), sli]);
        assert_eq!(imported.levels.len(), 1);
        assert!(imported.not_taken.iter().all(|line| !line.contains("ratioMetric")));
        // A calendar window and a threshold metric have no place here.
        whole["spec"]["timeWindow"] = json!([{"duration": "1M", "calendar": {"timeZone": "UTC"}}]);
        let imported = import(&[
            whole,
            json!({"kind": "Service", "metadata": {"name": "s"}, "spec": {"x": 1}}),
        ]);
        assert!(imported.levels.is_empty());
        assert!(imported.not_taken.contains(&"Service/s: spec.x = 1".to_owned()));
        assert!(imported.not_taken.iter().any(|line| line.contains("spec.objectives[0].target")));
    }
}
