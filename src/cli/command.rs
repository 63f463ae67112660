//! The command line: global flags and the list of verbs, most used first.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::args::{
    canary, completions, db, demo, deploy, env, evidence, explain, freeze, init, ledger, load,
    maintenance, man, preflight, promote, release, release_tag, rollback, router, sample_service,
    schema, ship, slo, smoke, watch, why,
};
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

/// The verbs, the most used first.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tag release candidates, and see where releases stand
    Release(release::Args),
    /// Tag a release candidate: the same as `release tag --rc`
    #[command(name = "tag-rc", hide = true)]
    TagRc(release_tag::How),
    /// Run every gate that needs no deployment
    Preflight(preflight::Args),
    /// Put a service under load and judge what it does
    Load(Box<load::Args>),
    /// Shift real traffic to a new version, stage by stage
    Canary(canary::Args),
    /// Make a version whose canary is complete the base
    Promote(promote::Args),
    /// Bring users back to the version before, now
    Rollback(rollback::Args),
    /// Make and verify evidence packs
    Evidence(evidence::Args),
    /// Take a candidate along its track to the end: every step of it, resumable
    Ship(ship::Args),
    /// Watch a promoted release until it is stable, or bring users back
    Watch(watch::Args),
    /// Build a version next to the one that serves, judge it, and send everybody to it
    Deploy(deploy::Args),
    /// Keep the variables of a hosted environment
    Env(env::Args),
    /// Show, share, check and heal what is remembered
    Ledger(ledger::Args),
    /// Show the decisions that led to where a release is
    Why(why::Args),
    /// Close the whole service for users, or open it: the kill switch
    Maintenance(maintenance::Args),
    /// Show whether releases are frozen, or freeze them; never stops a rollback
    Freeze(freeze::Args),
    /// Lift the freeze
    Unfreeze(freeze::UnfreezeArgs),
    /// Judge objectives, and show how they are understood
    Slo(slo::Args),
    /// Ask a deployment the questions of synthetics/*.http, once
    Smoke(smoke::Args),
    /// Know what a migration does before production does
    Db(db::Args),
    /// Split traffic between two upstreams
    Router(Box<router::Args>),
    /// Write a working set-up for this repository
    Init(init::Args),
    /// Watch a good release, a bad one and an abandoned one on this machine
    Demo(demo::Args),
    /// Explain an error code or a check
    Explain(explain::Args),
    /// The service that the demo ships
    #[command(hide = true)]
    SampleService(Box<sample_service::Args>),
    /// Print the JSON Schema of a file or of a document that orca prints
    Schema(schema::Args),
    /// Print completions for a shell
    Completions(completions::Args),
    /// Print the manual page
    Man(man::Args),
}

impl Command {
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Release(_) => "release",
            Self::TagRc(_) => "tag-rc",
            Self::Preflight(_) => "preflight",
            Self::Load(_) => "load",
            Self::Canary(_) => "canary",
            Self::Deploy(_) => "deploy",
            Self::Promote(_) => "promote",
            Self::Rollback(_) => "rollback",
            Self::Ship(_) => "ship",
            Self::Watch(_) => "watch",
            Self::Maintenance(_) => "maintenance",
            Self::Env(_) => "env",
            Self::Evidence(_) => "evidence",
            Self::Ledger(_) => "ledger",
            Self::Why(_) => "why",
            Self::Freeze(_) => "freeze",
            Self::Unfreeze(_) => "unfreeze",
            Self::Slo(_) => "slo",
            Self::Smoke(_) => "smoke",
            Self::Db(_) => "db",
            Self::Router(_) => "router",
            Self::Init(_) => "init",
            Self::Demo(_) => "demo",
            Self::Explain(_) => "explain",
            Self::SampleService(_) => "sample-service",
            Self::Schema(_) => "schema",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }

    /// Whether the verb itself decides what a signal means. Others are dropped: exit 130.
    pub(crate) const fn owns_interrupts(&self) -> bool {
        match self {
            Self::Load(_)
            | Self::SampleService(_)
            | Self::Smoke(_)
            | Self::Release(_)
            | Self::TagRc(_)
            | Self::Preflight(_)
            | Self::Freeze(_)
            | Self::Unfreeze(_)
            | Self::Canary(_)
            | Self::Deploy(_)
            | Self::Env(_)
            | Self::Promote(_)
            | Self::Rollback(_)
            | Self::Ship(_)
            | Self::Watch(_)
            | Self::Maintenance(_)
            | Self::Ledger(_)
            | Self::Router(_) => true,
            Self::Evidence(_)
            | Self::Db(_)
            | Self::Init(_)
            | Self::Why(_)
            | Self::Slo(_)
            | Self::Demo(_)
            | Self::Explain(_)
            | Self::Schema(_)
            | Self::Completions(_)
            | Self::Man(_) => false,
        }
    }

    pub(crate) async fn run(self, context: &Context) -> Result<Report, Failure> {
        match self {
            Self::Release(args) => release::run(&args, context).await,
            Self::TagRc(args) => release_tag::tag(&args, context).await,
            Self::Preflight(args) => preflight::run(&args, context).await,
            Self::Load(args) => load::run(&args, context).await,
            Self::Canary(args) => canary::run(&args, context).await,
            Self::Deploy(args) => deploy::run(&args, context).await,
            Self::Promote(args) => promote::run(&args, context).await,
            Self::Rollback(args) => rollback::run(&args, context).await,
            Self::Ship(args) => ship::run(&args, context).await,
            Self::Watch(args) => watch::run(&args, context).await,
            Self::Maintenance(args) => maintenance::run(&args, context).await,
            Self::Env(args) => env::run(&args, context).await,
            Self::Evidence(args) => evidence::run(&args, context).await,
            Self::Ledger(args) => ledger::run(&args, context).await,
            Self::Why(args) => why::run(&args, context).await,
            Self::Freeze(args) => freeze::run(&args, context).await,
            Self::Unfreeze(args) => freeze::unfreeze(&args, context).await,
            Self::Slo(args) => slo::run(&args, context).await,
            Self::Smoke(args) => smoke::run(&args, context).await,
            Self::Db(args) => db::run(&args, context).await,
            Self::Router(args) => router::run(*args, context).await,
            Self::Init(args) => init::run(&args, context),
            Self::Demo(args) => demo::run(&args, context).await,
            Self::Explain(args) => explain::run(&args),
            Self::SampleService(args) => sample_service::run(*args, context).await,
            Self::Schema(args) => schema::run(&args),
            Self::Completions(args) => Ok(completions::run(&args)),
            Self::Man(args) => Ok(man::run(&args)),
        }
    }
}
