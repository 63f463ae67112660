//! `orca env ...`: the variables of a hosted environment.

use clap::Subcommand;

use super::env_sync;
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
    /// Make the variables of an environment those of a file; values are never shown
    Sync(env_sync::Args),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Sync(args) => env_sync::run(args, context).await,
    }
}
