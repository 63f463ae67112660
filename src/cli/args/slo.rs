//! `orca slo ...`: objectives, and the statistics that judge them.

use clap::Subcommand;

use super::{slo_budget, slo_check, slo_explain, slo_import, slo_judge, slo_rules};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Judge the objectives by what Prometheus, Vercel, a run of load or a file knows
    Check(slo_check::Args),
    /// What is left of each error budget, how fast it burns, and when it runs out
    Budget(slo_budget::Args),
    /// Judge plain numbers, given as JSON on standard input
    Judge(slo_judge::Args),
    /// Show each objective as orca understood it
    Explain(slo_explain::Args),
    /// Turn an OpenSLO file into a manifest, and list every field that was not taken
    Import(slo_import::Args),
    /// A Grafana dashboard of the objectives
    Dashboard(slo_rules::Args),
    /// Prometheus rules: burn rates of the budgets, latency, errors and silence
    Alerts(slo_rules::Args),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Check(args) => slo_check::run(args, context).await,
        Verb::Budget(args) => slo_budget::run(args, context).await,
        Verb::Judge(args) => slo_judge::run(args),
        Verb::Explain(args) => slo_explain::run(args, context),
        Verb::Import(args) => slo_import::run(args, context),
        Verb::Dashboard(args) => slo_rules::run_dashboard(args, context),
        Verb::Alerts(args) => slo_rules::run_alerts(args, context),
    }
}
