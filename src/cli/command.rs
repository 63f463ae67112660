//! The command line: global flags and the list of verbs, most used first.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::args::{completions, explain, load, man, router, sample_service, schema};
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
    /// Send load and judge what comes back
    Load(Box<load::Args>),
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
    /// Serve as the target of the demo and of tests
    #[command(hide = true)]
    SampleService(Box<sample_service::Args>),
}

impl Command {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Load(_) => "load",
            Self::Router(_) => "router",
            Self::Explain(_) => "explain",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Schema(_) => "schema",
            Self::SampleService(_) => "sample-service",
        }
    }

    /// Whether the verb itself decides what a signal means. Others are dropped: exit 130.
    pub(crate) const fn owns_interrupts(&self) -> bool {
        match self {
            Self::Load(_) | Self::Router(_) | Self::SampleService(_) => true,
            Self::Explain(_) | Self::Completions(_) | Self::Man(_) | Self::Schema(_) => false,
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<Report, Failure> {
        match self {
            Self::Load(args) => load::run(&args, context).await,
            Self::Router(args) => router::run(*args, context).await,
            Self::SampleService(args) => sample_service::run(*args, context).await,
            Self::Explain(args) => explain::run(&args),
            Self::Completions(args) => Ok(completions::run(&args)),
            Self::Man(args) => Ok(man::run(&args)),
            Self::Schema(args) => schema::run(&args),
        }
    }
}
