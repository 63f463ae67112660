//! `orca db rls`: what the migrations do to row level security, policies, grants, functions and views, and what two users of the API can do to each other.

use std::path::PathBuf;

use super::db_area::{self, Area};
use super::db_look::Look;
use crate::cli::context::Context;
use crate::cli::failure::Failure;
use crate::cli::report::Report;

const AREA: Area = Area {
    schema: "orca.db-rls/v1",
    check: "db.protection",
    well: "nothing was lost and no door opened",
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    look: Look,

    /// Also write the findings to this file as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let looked = args.look.look(context).await?;
    let findings = looked.shown.protection.clone();
    db_area::report(AREA, (looked, findings), args.sarif.as_ref(), context)
}
