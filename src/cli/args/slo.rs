//! `orca slo ...`: objectives, and the statistics that judge them.

use clap::Subcommand;

use super::{slo_explain, slo_judge};
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
    /// Judge plain numbers, given as JSON on standard input
    Judge(slo_judge::Args),
    /// Show each objective as orca understood it
    Explain(slo_explain::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Judge(args) => slo_judge::run(args),
        Verb::Explain(args) => slo_explain::run(args, context),
    }
}
