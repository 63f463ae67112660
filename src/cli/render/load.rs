//! Load for people: how it goes while it runs, and what came of it.

use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc::UnboundedReceiver;

use super::table::table;
use crate::base::units::{Micros, Rate};
use crate::cli::context::Context;
use crate::gate::verdict::Measure;
use crate::load::collector::Progress;
use crate::load::plan::LoadPlan;
use crate::load::result::{LoadResult, Percentiles};
use crate::load::slo_check;

/// A bar on a terminal that may have one, else a line now and then.
pub(crate) async fn tell(
    mut news: UnboundedReceiver<Progress>,
    plan: &LoadPlan,
    context: &Context,
) {
    let planned = slo_check::planned_secs(plan);
    let bar = context.live.then(|| {
        let bar = ProgressBar::new(planned);
        let style = ProgressStyle::with_template("{bar:20} {wide_msg}");
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    });
    while let Some(second) = news.recv().await {
        let line = slo_check::progress_line(&second, planned);
        match &bar {
            Some(bar) => {
                bar.set_position(second.second.t + 1);
                bar.set_message(line);
            }
            None if slo_check::is_told(&second) => context.say(line),
            None => {}
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// The verdict first, then what was sent, how long it took, and each objective.
pub(crate) fn human(result: &LoadResult, columns: usize) -> String {
    let headline = result.judgement.as_ref().map_or("", |judgement| &judgement.headline);
    let mut text = format!("{}: {headline}\n\n{}", result.verdict.label(), sent(result));
    text.push_str(&distribution(result, columns));
    if let Some(judgement) = &result.judgement {
        if !judgement.measures.is_empty() {
            text.push_str(&format!("\n{}", objectives(&judgement.measures, columns)));
        }
        for next in &judgement.next {
            text.push_str(&format!("\nhelp: {next}"));
        }
    }
    text
}

fn sent(result: &LoadResult) -> String {
    let rate = |milli_per_s| Rate { milli_per_s };
    let asked = result
        .asked_milli_per_s
        .map_or("closed loop".to_owned(), |asked| format!("{} asked", rate(asked)));
    let mut text = format!(
        "{}: {} requests in {}, {} ({asked}), {} connections\n",
        result.target,
        result.requests,
        Micros(result.duration_us),
        rate(result.rate_milli_per_s),
        result.connections,
    );
    let kinds: Vec<String> =
        result.errors_by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    text.push_str(&format!("{} failed{kinds}, {} never sent\n", result.errors, result.dropped));
    if result.late_starts > 0 {
        text.push_str(&format!("{} sent late by this machine\n", result.late_starts));
    }
    if result.stopped_early.is_some() {
        text.push_str("stopped early: no later answer could have changed the verdict\n");
    }
    if let Some(shards) = result.merged_shards {
        text.push_str(&format!("merged from {shards} shards, exactly\n"));
    }
    if result.redirects > 0 {
        text.push_str(&format!("{} answers were redirects, not followed\n", result.redirects));
    }
    if let Some(phases) = &result.phases {
        text.push_str(&format!(
            "{} connections opened, {} TLS sessions taken up again; median of connect {}, TLS {}, first byte {}\n",
            phases.connections,
            phases.resumed,
            Micros(phases.connect_us.p50),
            Micros(phases.tls_us.p50),
            Micros(phases.first_byte_us.p50),
        ));
    }
    text.push('\n');
    text
}

fn distribution(result: &LoadResult, columns: usize) -> String {
    let row = |name: &str, p: &Percentiles| {
        let values = [p.p50, p.p90, p.p95, p.p99, p.p999, p.max];
        std::iter::once(name.to_owned())
            .chain(values.iter().map(|us| Micros(*us).to_string()))
            .collect::<Vec<_>>()
    };
    let mut rows = vec![row("all", &result.latency_us)];
    if result.endpoints.len() > 1 {
        rows.extend(result.endpoints.iter().map(|e| row(&e.name, &e.latency_us)));
    }
    table(&["latency", "p50", "p90", "p95", "p99", "p99.9", "max"], &rows, columns)
}

fn objectives(measures: &[Measure], columns: usize) -> String {
    let rows: Vec<Vec<String>> = measures
        .iter()
        .map(|m| {
            let show =
                |value: Option<i64>| value.map_or("unknown".to_owned(), |value| m.unit.show(value));
            vec![
                m.asked.clone(),
                m.verdict.label().to_owned(),
                show(m.seen),
                show(m.limit),
                m.samples.to_string(),
                m.interval(),
            ]
        })
        .collect();
    table(&["objective", "verdict", "seen", "limit", "samples", "interval"], &rows, columns)
}
