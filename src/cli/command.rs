//! The command line: global flags and the list of verbs, most used first.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::args::{completions, explain, man, release, router, schema};
use super::context::Context;
use super::failure::Failure;
use super::report::Report;

/// Take a commit from "looks good" to "proven in production, or safely back".
#[derive(Debug, Parser)]
#[command(name = "orca", version, max_term_width = 100, propagate_version = false)]
#[command(arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Cli {
    /// Print one JSON document on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Run as if started in this folder
    #[arg(short = 'C', long = "folder", global = true, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,

    /// Read this file instead of orca.yaml
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Find the next version, check commits, write notes
    Release(release::Args),
    /// Split traffic between two upstreams
    Router(Box<router::Args>),
    /// Explain an error code or a check
    Explain(explain::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(man::Args),
    /// Print the JSON Schema of a file or of a document that orca prints
    Schema(schema::Args),
}

impl Command {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Release(_) => "release",
            Self::Router(_) => "router",
            Self::Explain(_) => "explain",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Schema(_) => "schema",
        }
    }

    /// Whether the verb itself decides what a signal means. Others are dropped: exit 130.
    pub(crate) const fn owns_interrupts(&self) -> bool {
        match self {
            Self::Router(_) => true,
            Self::Release(_)
            | Self::Explain(_)
            | Self::Completions(_)
            | Self::Man(_)
            | Self::Schema(_) => false,
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<Report, Failure> {
        match self {
            Self::Release(args) => release::run(&args, context),
            Self::Router(args) => router::run(*args, context).await,
            Self::Explain(args) => explain::run(&args),
            Self::Completions(args) => Ok(completions::run(&args)),
            Self::Man(args) => Ok(man::run(&args)),
            Self::Schema(args) => schema::run(&args),
        }
    }
}
