//! The snapshot as Prometheus text (exposition format 0.0.4). Pure.

use std::fmt::Write as _;

use crate::base::histogram::Histogram;

use super::metrics::{ArmMetrics, RouterMetrics};
use super::state::RouterState;

/// Upper edges of the exported latency buckets, in microseconds.
const EDGES_US: [(u64, &str); 11] = [
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// Cumulative counts of everything since the router started.
pub(crate) fn text(metrics: &RouterMetrics, state: &RouterState) -> String {
    let mut out = String::new();
    head(&mut out, "orca_router_weight_basis_points", "gauge", "Canary share, 10000 is all.");
    line(&mut out, "orca_router_weight_basis_points", state.weight.basis_points());
    head(&mut out, "orca_router_generation", "gauge", "Number of traffic changes.");
    line(&mut out, "orca_router_generation", state.generation);
    head(&mut out, "orca_router_closed", "gauge", "1 while users get the maintenance page.");
    line(&mut out, "orca_router_closed", u8::from(state.closed));
    head(&mut out, "orca_router_responses_total", "counter", "Answers by status class.");
    for row in &metrics.total {
        for (class, count) in &row.status {
            let labels = format!("{},class=\"{class}\"", labels(row));
            line(&mut out, &format!("orca_router_responses_total{{{labels}}}"), count);
        }
    }
    head(&mut out, "orca_router_faults_total", "counter", "Requests without a whole answer.");
    for row in &metrics.total {
        for (kind, count) in &row.faults {
            let labels = format!("{},kind=\"{kind}\"", labels(row));
            line(&mut out, &format!("orca_router_faults_total{{{labels}}}"), count);
        }
    }
    head(&mut out, "orca_router_latency_seconds", "histogram", "Arrival to answer head.");
    for row in &metrics.total {
        latency(&mut out, row);
    }
    out
}

fn latency(out: &mut String, row: &ArmMetrics) {
    let histogram = Histogram::try_from(&row.latency).unwrap_or_default();
    let labels = labels(row);
    for (edge, text) in EDGES_US {
        let count = histogram.count() - histogram.count_above(edge);
        let name = format!("orca_router_latency_seconds_bucket{{{labels},le=\"{text}\"}}");
        line(out, &name, count);
    }
    let count = histogram.count();
    line(out, &format!("orca_router_latency_seconds_bucket{{{labels},le=\"+Inf\"}}"), count);
    let sum_us = u128::from(histogram.mean_us()) * u128::from(count);
    let sum = format!("{}.{:06}", sum_us / 1_000_000, sum_us % 1_000_000);
    line(out, &format!("orca_router_latency_seconds_sum{{{labels}}}"), sum);
    line(out, &format!("orca_router_latency_seconds_count{{{labels}}}"), count);
}

fn labels(row: &ArmMetrics) -> String {
    format!("arm=\"{}\",source=\"{}\"", row.arm.name(), row.source.name())
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::super::metrics::{Outcome, Sample, Shard, snapshot};
    use super::super::split::{Arm, Source};
    use super::super::state::Upstream;
    use super::*;
    use crate::base::clock::Timestamp;

    #[test]
    fn buckets_are_cumulative_and_labelled() {
        let shard = Shard::default();
        for latency_us in [4_000, 40_000, 20_000_000] {
            shard.record(&Sample {
                generation: 1,
                arm: Arm::Canary,
                source: Source::Users,
                bucket: None,
                by_weight: false,
                latency_us: Some(latency_us),
                outcome: Outcome::Status(200),
            });
        }
        let metrics = snapshot([&shard].into_iter(), 1, Timestamp::from_us(0));
        let base = Upstream {
            deployment: "one".into(),
            url: "http://one".into(),
            commit: None,
            digest: None,
        };
        let text = text(&metrics, &RouterState::all_base(base));
        for expected in [
            "orca_router_generation 1\n",
            "orca_router_responses_total{arm=\"canary\",source=\"users\",class=\"2xx\"} 3\n",
            "orca_router_latency_seconds_bucket{arm=\"canary\",source=\"users\",le=\"0.005\"} 1\n",
            "orca_router_latency_seconds_bucket{arm=\"canary\",source=\"users\",le=\"0.05\"} 2\n",
            "orca_router_latency_seconds_bucket{arm=\"canary\",source=\"users\",le=\"10\"} 2\n",
            "orca_router_latency_seconds_bucket{arm=\"canary\",source=\"users\",le=\"+Inf\"} 3\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
    }
}
