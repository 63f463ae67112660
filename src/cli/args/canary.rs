//! `orca canary ...`: real traffic, stage by stage.

use clap::Subcommand;

use super::{
    canary_advance, canary_again, canary_judge, canary_pause, canary_start, canary_status,
    canary_tick,
};
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
    /// Start a canary and drive it to its end
    Start(Box<canary_start::Args>),
    /// Show the canary under way on one screen; changes nothing
    Status(canary_status::Args),
    /// Look at a detached canary once, act once, and end; for a scheduled job
    Tick(canary_tick::Args),
    /// Hold the canary at its weight until it is resumed, or the pause ends
    Pause(canary_pause::Args),
    /// Let a stage go on that the data could not decide; never one that failed
    Advance(canary_advance::Args),
    /// Lift a pause, or record what became of a canary whose process is gone; never raises
    Resume(canary_again::ResumeArgs),
    /// Judge two results or sample files as a canary would be
    Judge(canary_judge::Args),
    /// Bring users back to base; not a failed change
    Abort(canary_again::AbortArgs),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Start(args) => canary_start::run(args, context).await,
        Verb::Status(args) => canary_status::run(args, context).await,
        Verb::Tick(args) => canary_tick::run(args, context).await,
        Verb::Pause(args) => canary_pause::run(args, context).await,
        Verb::Advance(args) => canary_advance::run(args, context).await,
        Verb::Resume(args) => canary_again::resume(args, context).await,
        Verb::Judge(args) => canary_judge::run(args, context),
        Verb::Abort(args) => canary_again::abort(args, context).await,
    }
}
