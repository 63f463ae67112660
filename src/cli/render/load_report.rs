//! A load result as a page: the verdict first, then objectives, latencies and charts. One
//! self-contained file without scripts; everything that comes from outside is escaped.

use minijinja::{AutoEscape, Environment};
use serde_json::{Value, json};

use crate::base::clock::Timestamp;
use crate::base::units::{Micros, Rate};
use crate::evidence::chart;
use crate::gate::check::{Check as _, Series};
use crate::gate::verdict::Measure;
use crate::load::result::{LoadResult, Percentiles, Second};
use crate::load::slo_check::{LoadCheck, Policy};

const TEMPLATE: &str = include_str!("load_report.html.j2");

/// The page.
pub(crate) fn html(result: &LoadResult) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment
        .render_str(TEMPLATE, minijinja::value::Serde(context(result)))
        .expect("the template is tested")
}

fn context(result: &LoadResult) -> Value {
    let judgement = result.judgement.as_ref();
    let measures = judgement.map_or(&[][..], |judgement| &judgement.measures);
    let fallback = format!("{} requests, without objectives", result.requests);
    json!({
        "target": result.target,
        "when": Timestamp::from_us(result.started_us).rfc3339(),
        "verdict": result.verdict.label(),
        "class": result.verdict.as_str(),
        "headline": judgement.map_or(fallback.as_str(), |judgement| &judgement.headline),
        "stopped_early": result.stopped_early.is_some(),
        "facts": facts(result),
        "objectives": measures.iter().map(objective).collect::<Vec<_>>(),
        "endpoints": endpoints(result),
        "charts": charts(result),
        "errors": result.errors_by_kind.iter().collect::<Vec<_>>(),
        "next": judgement.map_or(&[][..], |judgement| &judgement.next),
    })
}

fn facts(result: &LoadResult) -> Vec<(&'static str, String)> {
    let rate = |milli_per_s| Rate { milli_per_s }.to_string();
    let asked = result.asked_milli_per_s.map_or("as fast as answered".to_owned(), rate);
    let mut facts = vec![
        ("target", result.target.clone()),
        ("asked", asked),
        ("sent", rate(result.rate_milli_per_s)),
        ("for", Micros(result.duration_us).to_string()),
        ("connections", result.connections.to_string()),
        ("requests", result.requests.to_string()),
        ("failed", result.errors.to_string()),
        ("due and never sent", result.dropped.to_string()),
        ("sent late by this machine", result.late_starts.to_string()),
        ("processor time of orca", Micros(result.cpu_us).to_string()),
    ];
    if let Some(shards) = result.merged_shards {
        facts.push(("merged from", format!("{shards} shards, exactly")));
    }
    if result.redirects > 0 {
        facts.push(("redirects, not followed", result.redirects.to_string()));
    }
    facts
}

fn objective(measure: &Measure) -> Value {
    let show = |value: Option<i64>| {
        value.map_or_else(|| "unknown".to_owned(), |value| measure.unit.show(value))
    };
    json!({
        "asked": measure.asked,
        "verdict": measure.verdict.label(),
        "class": measure.verdict.as_str(),
        "seen": show(measure.seen),
        "limit": show(measure.limit),
        "samples": measure.samples,
        "interval": measure.interval(),
    })
}

fn endpoints(result: &LoadResult) -> Vec<Value> {
    let row = |name: &str, counts: [u64; 3], p: &Percentiles| {
        let times = [p.p50, p.p90, p.p95, p.p99, p.p999, p.max].map(|us| Micros(us).to_string());
        let numbers: Vec<String> = counts.iter().map(u64::to_string).chain(times).collect();
        json!({"name": name, "numbers": numbers})
    };
    let whole = row("all", [result.requests, result.errors, result.dropped], &result.latency_us);
    let each = result.endpoints.iter().filter(|_| result.endpoints.len() > 1);
    std::iter::once(whole)
        .chain(each.map(|e| row(&e.name, [e.requests, e.errors, e.dropped], &e.latency_us)))
        .collect()
}

fn charts(result: &LoadResult) -> Vec<Value> {
    // The few answers after the last whole row would look like a collapse.
    let mut whole = result.clone();
    let each = result.interval_secs;
    let end = |row: &Second| row.t.saturating_add(each).saturating_mul(1_000_000);
    whole.seconds.retain(|row| end(row) <= result.duration_us);
    if whole.seconds.is_empty() {
        whole.seconds.clone_from(&result.seconds);
    }
    let mut series = LoadCheck::chart(&Policy::default(), &whole);
    let title = match each {
        1 => "Answers and failures each second".to_owned(),
        secs => format!("Answers and failures in each {secs} seconds"),
    };
    series.push(by_second(&title, "answers", &whole, |s| s.requests));
    series.push(by_second(&title, "failures", &whole, |s| s.errors));
    let mut groups: Vec<Vec<Series>> = Vec::new();
    for one in series {
        match groups.last_mut() {
            Some(group) if group[0].title == one.title => group.push(one),
            _ => groups.push(vec![one]),
        }
    }
    let drawn = groups.iter().filter_map(|group| {
        let svg = chart::svg(group)?;
        Some(json!({"title": group[0].title, "legend": chart::legend(group), "svg": svg}))
    });
    drawn.collect()
}

fn by_second(title: &str, name: &str, result: &LoadResult, value: fn(&Second) -> u64) -> Series {
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    Series {
        title: title.to_owned(),
        name: name.to_owned(),
        x_unit: "s".to_owned(),
        y_unit: "count".to_owned(),
        points: result.seconds.iter().map(|s| (signed(s.t), signed(value(s)))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::render::load_exports::tests::result;

    #[test]
    fn the_page_says_the_verdict_first_and_lets_no_name_out_of_its_place() {
        let mut result = result();
        result.target = "<script>alert(1)</script>".into();
        let page = html(&result);
        assert!(!page.contains("<script"), "{page}");
        let (verdict, chart) = (page.find("<h1>fail: ").unwrap(), page.find("<svg").unwrap());
        assert!(verdict < chart);
        for text in ["errors &lt; 1%", "status_5xx", "due and never sent"] {
            assert!(page.contains(text), "{text}");
        }
    }
}
