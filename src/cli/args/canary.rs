//! `orca canary ...`: a new version beside the base.

use clap::Subcommand;

use super::canary_judge;
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
    /// Judge any two results as the canary is judged against its base
    Judge(canary_judge::Args),
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Judge(args) => canary_judge::run(args, context),
    }
}
