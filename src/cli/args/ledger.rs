//! `orca ledger`: what was decided and what happened, shared, checked and healed.

use clap::Subcommand;

use super::{ledger_log, ledger_restore, ledger_sync, ledger_verify};
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show what was decided and what happened, newest first
    Log(ledger_log::Args),
    /// Make one history with the remote
    Sync(ledger_sync::Args),
    /// Check every entry, signature and exhibit
    Verify(ledger_verify::Args),
    /// Heal a ledger that was deleted, forced back or replaced
    Restore(ledger_restore::Args),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.command {
        Command::Log(args) => ledger_log::run(args, context).await,
        Command::Sync(args) => ledger_sync::run(args, context).await,
        Command::Verify(args) => ledger_verify::run(args, context).await,
        Command::Restore(args) => ledger_restore::run(args, context).await,
    }
}
