//! `orca db ...`: what a migration does, known before production does it.

use clap::Subcommand;

use super::{
    db_backup, db_drift, db_lint, db_project, db_restore_check, db_restore_point, db_rls, db_roles,
    db_rpc, db_shadow,
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
    /// Find unsafe statements in SQL files, and say the safe rewrite
    Lint(db_lint::Args),
    /// Replay every migration of a Supabase project on a throwaway Postgres
    Shadow(db_shadow::Args),
    /// Find what migrations do to protection, and what users can do to each other's rows
    Rls(db_rls::Args),
    /// Find the calls to functions that migrations break
    Rpc(db_rpc::Args),
    /// Say how a database differs from what its migrations make
    Drift(db_drift::Args),
    /// Dump a database with what a restore must bring back, from one snapshot
    Backup(db_backup::Args),
    /// Restore a backup into a throwaway Postgres and compare every table
    RestoreCheck(db_restore_check::Args),
    /// Say whether the hosted Supabase project is fit for a release
    Project(db_project::Args),
    /// Mark a moment that the hosted Supabase project can be brought back to
    RestorePoint(db_restore_point::Args),
    /// Say which database roles may more than they need
    Roles(db_roles::Args),
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        Verb::Lint(args) => db_lint::run(args, context).await,
        Verb::Shadow(args) => db_shadow::run(args, context).await,
        Verb::Rls(args) => db_rls::run(args, context).await,
        Verb::Rpc(args) => db_rpc::run(args, context).await,
        Verb::Drift(args) => db_drift::run(args, context).await,
        Verb::Backup(args) => db_backup::run(args, context).await,
        Verb::RestoreCheck(args) => db_restore_check::run(args, context).await,
        Verb::Project(args) => db_project::run(args, context).await,
        Verb::RestorePoint(args) => db_restore_point::run(args, context).await,
        Verb::Roles(args) => db_roles::run(args, context).await,
    }
}
