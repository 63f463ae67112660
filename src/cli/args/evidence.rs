//! `orca evidence ...`: packs that prove a release.

use clap::Subcommand;

use super::{evidence_generate, evidence_rejudge, evidence_show, evidence_verify};
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
    /// Pack everything that proves a release, signed
    Generate(evidence_generate::Args),
    /// Verify a pack offline, and judge every verdict in it again
    Verify(evidence_verify::Args),
    /// Judge every exhibit of a pack again, and say what differs
    Rejudge(evidence_rejudge::Args),
    /// Show what is in a pack, without believing it
    Show(evidence_show::Args),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Generate(args) => evidence_generate::run(args, context).await,
        Verb::Verify(args) => evidence_verify::run(args, context),
        Verb::Rejudge(args) => evidence_rejudge::run(args, context),
        Verb::Show(args) => evidence_show::run(args, context),
    }
}
