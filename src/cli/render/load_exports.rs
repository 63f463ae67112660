//! A load result in the formats of others: CSV by second, JUnit by objective, Prometheus text.

use crate::evidence::chart::escape;
use crate::gate::verdict::Verdict;
use crate::load::result::{LoadResult, Percentiles};

/// One line a second, or an interval of several in a run of more than an hour.
pub(crate) fn csv(result: &LoadResult) -> String {
    let mut text = String::from("second,requests,errors,p50_us,p95_us\n");
    for s in &result.seconds {
        text.push_str(&format!("{},{},{},{},{}\n", s.t, s.requests, s.errors, s.p50, s.p95));
    }
    text
}

/// One test case an objective; what could not be decided is an error, not a failure.
pub(crate) fn junit(result: &LoadResult) -> String {
    let measures = result.judgement.as_ref().map_or(&[][..], |judgement| &judgement.measures);
    let headline = result.judgement.as_ref().map_or("", |judgement| &judgement.headline);
    let count = |verdict| measures.iter().filter(|m| m.verdict == verdict).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"orca load {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\">\n",
        escape(&result.target),
        measures.len(),
        count(Verdict::Fail),
        count(Verdict::Inconclusive),
    );
    for measure in measures {
        let show = |value: Option<i64>| {
            value.map_or_else(|| "unknown".to_owned(), |value| measure.unit.show(value))
        };
        let seen = format!("{} of {} samples", show(measure.seen), measure.samples);
        text.push_str(&format!(
            "  <testcase classname=\"orca.load\" name=\"{}\">",
            escape(&measure.asked)
        ));
        let kind = match measure.verdict {
            Verdict::Fail => Some("failure"),
            Verdict::Inconclusive => Some("error"),
            Verdict::NotApplicable | Verdict::Pass | Verdict::Waived => None,
        };
        if let Some(kind) = kind {
            let message = format!("{}: {headline}", measure.verdict.label());
            text.push_str(&format!(
                "<{kind} message=\"{}\">{}</{kind}>",
                escape(&message),
                escape(&seen)
            ));
        }
        text.push_str("</testcase>\n");
    }
    text.push_str("</testsuite>\n");
    text
}

/// Gauges about a finished run.
pub(crate) fn prometheus(result: &LoadResult) -> String {
    let mut text = String::new();
    let mut metric = |name: &str, help: &str, rows: Vec<(String, String)>| {
        text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
        for (labels, value) in rows {
            text.push_str(&format!("{name}{labels} {value}\n"));
        }
    };
    let endpoints = &result.endpoints;
    let by_endpoint = |value: fn(&crate::load::result::EndpointResult) -> u64| {
        let row = |e| (labels(&[("endpoint", name_of(e))]), value(e).to_string());
        endpoints.iter().map(row).collect::<Vec<_>>()
    };
    metric("orca_load_requests", "Requests sent.", by_endpoint(|e| e.requests));
    metric("orca_load_dropped", "Requests due and never sent.", by_endpoint(|e| e.dropped));
    let errors = endpoints.iter().flat_map(|e| {
        let row = |(kind, count): (&String, &u64)| {
            (labels(&[("endpoint", &e.name), ("kind", kind)]), count.to_string())
        };
        e.errors_by_kind.iter().map(row)
    });
    metric("orca_load_errors", "Requests that failed.", errors.collect());
    let latency = endpoints.iter().flat_map(|e| {
        quantiles(&e.latency_us).map(|(quantile, us)| {
            (labels(&[("endpoint", &e.name), ("quantile", quantile)]), secs(us))
        })
    });
    metric("orca_load_latency_seconds", "From when a request was due.", latency.collect());
    let late = vec![(String::new(), result.late_starts.to_string())];
    metric("orca_load_late_starts", "Requests this machine sent late.", late);
    let passed = u8::from(matches!(result.verdict, Verdict::Pass | Verdict::Waived));
    let verdict = labels(&[("verdict", result.verdict.as_str())]);
    metric(
        "orca_load_passed",
        "Whether every objective holds.",
        vec![(verdict, passed.to_string())],
    );
    text
}

fn name_of(endpoint: &crate::load::result::EndpointResult) -> &str {
    &endpoint.name
}

fn quantiles(p: &Percentiles) -> [(&'static str, u64); 6] {
    [
        ("0.5", p.p50),
        ("0.9", p.p90),
        ("0.95", p.p95),
        ("0.99", p.p99),
        ("0.999", p.p999),
        ("1", p.max),
    ]
}

/// Microseconds as seconds.
fn secs(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

fn labels(pairs: &[(&str, &str)]) -> String {
    let one = |(name, value): &(&str, &str)| {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        format!("{name}=\"{value}\"")
    };
    format!("{{{}}}", pairs.iter().map(one).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::load::plan::{Bounds, Draft, Endpoint, LoadPlan, Shape, Target};
    use crate::load::recorder::{Failure, Outcome, Recorder};
    use crate::load::result::{Raw, Second};
    use crate::load::slo_check::{self, Policy};

    pub(in crate::cli::render) fn result() -> LoadResult {
        let (target, _) = Target::parse("http://shop.example/").unwrap();
        let endpoint = Endpoint { name: "a\"<b>".into(), ..Endpoint::get("/") };
        let rate = "100/s".parse().unwrap();
        let shape = Shape::constant(rate, "10s".parse().unwrap());
        let draft = Draft {
            target,
            endpoints: vec![endpoint],
            shape,
            ..crate::load::plan::tests::draft(80)
        };
        let plan = LoadPlan::new(draft, &Bounds::default()).unwrap();
        let mut recorder = Recorder::new(1);
        for n in 0..1_000 {
            let answer = if n < 50 { Err(Failure::Status5xx) } else { Ok(200) };
            recorder.sent(0);
            recorder.ended(0, Outcome { latency_us: 1_500, service_us: 1_000, answer });
        }
        let endpoints = recorder.swap();
        let seconds = vec![Second::of(0, &endpoints[0])];
        let raw = Raw { endpoints, seconds, sending_us: 10_000_000, ..Raw::default() };
        let policy = Policy {
            overall: vec!["errors < 1%".parse().unwrap(), "p95 < 5ms".parse().unwrap()],
            confidence_bp: 9_500,
            min_samples: 10,
            errors: std::iter::once("status_5xx".to_owned()).collect(),
            ..Policy::default()
        };
        let result = LoadResult::new(&plan, raw);
        let judgement = slo_check::judge(&policy, &result);
        result.judged(judgement)
    }

    #[test]
    fn each_format_carries_the_result() {
        let result = result();
        assert_eq!(csv(&result).lines().nth(1), Some("0,1000,50,1500,1500"));
        let junit = junit(&result);
        assert!(junit.contains("tests=\"2\" failures=\"1\" errors=\"0\""), "{junit}");
        assert!(junit.contains("name=\"errors &lt; 1%\"><failure message=\"fail: "), "{junit}");
        let text = prometheus(&result);
        assert!(text.contains("orca_load_requests{endpoint=\"a\\\"<b>\"} 1000\n"), "{text}");
        assert!(text.contains("kind=\"status_5xx\"} 50\n"), "{text}");
        assert!(text.contains("quantile=\"0.95\"} 0.001500\n"), "{text}");
        assert!(text.contains("orca_load_passed{verdict=\"fail\"} 0\n"), "{text}");
    }
}
