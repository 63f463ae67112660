//! `orca release ...`: candidates and releases.

use clap::Subcommand;

use super::{release_status, release_tag};
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
    /// Tag a release candidate
    Tag(release_tag::Args),
    /// Show what serves, what is on its way and what is condemned
    Status(release_status::Args),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Tag(args) => release_tag::run(args, context).await,
        Verb::Status(args) => release_status::run(args, context).await,
    }
}
