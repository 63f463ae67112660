//! `orca slo budget`: what is left of each error budget, how fast it burns, and when it runs out.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::slo_check;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::cli::wire_slo::{self, Chosen};
use crate::gate::verdict::{Judgement, Unit, Verdict};
use crate::slo::budget::{judge, standings};
use crate::slo::burn::Standing;
use crate::slo::objective::span;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// A source of the manifest, or its type: prometheus, vercel or file
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Write what was seen to this file, to be judged again
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Every error budget.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Budgets {
    verdict: Verdict,
    source: String,
    environment: Option<String>,
    /// Those that something is known of.
    #[serde(rename = "budgets")]
    standings: Vec<Standing>,
    judgement: Judgement,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let manifest = args.chosen.manifest(context)?;
    let source = wire_slo::source(&manifest, args.source.as_deref())?;
    let telemetry = wire_slo::telemetry(context, source)?;
    let policy = wire_slo::budget_policy(&manifest, telemetry.as_ref());
    let seen = wire_slo::observe(telemetry.as_ref(), source, &policy.wanted()).await?;
    if let Some(file) = &args.out {
        slo_check::write(&context.folder.join(file), &seen)?;
    }
    let judgement = judge(&policy, &seen);
    let document = Budgets {
        verdict: judgement.verdict,
        source: source.name.clone(),
        environment: args.chosen.environment.clone(),
        standings: standings(&policy, &seen).into_iter().flatten().collect(),
        judgement,
    };
    let human = human(&document, context.columns);
    let exit = Exit::from(document.verdict);
    let mut report = Report::new(exit, "orca.slo-budget/v1", &document, human)
        .output("verdict", document.verdict.as_str());
    report.next = document.judgement.next;
    Ok(report)
}

fn human(document: &Budgets, columns: usize) -> String {
    let headline = format!("{}: {}\n", document.verdict.label(), document.judgement.headline);
    if document.standings.is_empty() {
        return headline;
    }
    let rows: Vec<Vec<String>> = document
        .standings
        .iter()
        .map(|b| {
            vec![
                b.scope.clone(),
                Unit::Ppm.show(b.left_ppm / 1_000 * 1_000),
                format!("{} of {}", b.failed, b.allowed),
                b.runs_out_in_us.map_or_else(|| "not at this rate".to_owned(), when),
                burning(b),
                b.objective.to_string(),
            ]
        })
        .collect();
    let head = ["scope", "left", "failed", "runs out", "burn rate", "objective"];
    format!(
        "{headline}\n{}\nburn rate: 1 spends the budget exactly in its window; ! is above its alert\n",
        table(&head, &rows, columns)
    )
}

fn when(us: u64) -> String {
    const HOUR: u64 = 3_600_000_000;
    match us {
        0 => "spent".to_owned(),
        us if us < HOUR => format!("in {} min", us.div_ceil(60_000_000)),
        us if us < 48 * HOUR => format!("in {} h", us / HOUR),
        us => format!("in {} days", us / (24 * HOUR)),
    }
}

fn burning(standing: &Standing) -> String {
    let shown: Vec<String> = standing
        .burns
        .iter()
        .filter_map(|burn| {
            let rate = burn.rate_milli?;
            let mark = if burn.fires { "!" } else { "" };
            let window = span(Micros(burn.window_us));
            Some(format!("{}.{:02}{mark} ({window})", rate / 1_000, rate % 1_000 / 10))
        })
        .collect();
    if shown.is_empty() { "-".to_owned() } else { shown.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_it_runs_out_in_words() {
        for (us, expected) in [
            (0, "spent"),
            (1, "in 1 min"),
            (3_600_000_000, "in 1 h"),
            (48 * 3_600_000_000, "in 2 days"),
        ] {
            assert_eq!(when(us), expected);
        }
    }
}
