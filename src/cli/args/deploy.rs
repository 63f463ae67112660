//! `orca deploy ...`: a version next to the one that serves, then everybody at once.

use clap::Subcommand;

use super::deploy_blue_green;
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
    /// Build a standby of a candidate, judge it without users, and send everybody to it
    BlueGreen(deploy_blue_green::Args),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::BlueGreen(args) => deploy_blue_green::run(args, context).await,
    }
}
