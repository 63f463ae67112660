//! `orca db project`: whether the hosted Supabase project is fit for a release.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_supabase;
use crate::db::hosted::finding::Finding;
use crate::db::hosted::project::{Policy, Seen, backup_in_words, findings, look, newest_age};
use crate::gate::verdict::Verdict;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "REF", help = "The project [env: SUPABASE_PROJECT_REF]")]
    project: Option<String>,

    /// The newest backup may be this old, unless any moment can be brought back
    #[arg(long, value_name = "TIME", default_value = "26h")]
    age_max: Micros,

    /// Ask for point-in-time recovery
    #[arg(long)]
    pitr: bool,

    /// Secret API keys may be this old [default: their age is not judged]
    #[arg(long, value_name = "TIME")]
    key_age_max: Option<Micros>,
}

/// What the project says of itself, and what is wrong with it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ProjectDocument {
    verdict: Verdict,
    headline: String,
    findings: Vec<Finding>,
    /// How old the newest backup is, in microseconds.
    backup_age_us: Option<u64>,
    seen: Seen,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let hosted = wire_supabase::hosted(args.project.as_deref(), context)?;
    let seen = look(hosted.as_ref(), context.clock.now()).await?;
    let policy =
        Policy { age_max: args.age_max, any_moment: args.pitr, key_age_max: args.key_age_max };
    let findings = findings(&policy, &seen);
    let age = newest_age(&seen.backups, seen.at);
    let backup = backup_in_words(&seen);
    let (verdict, headline) = match findings.first() {
        Some(worst) => (worst.verdict, worst.message.clone()),
        None => (Verdict::Pass, format!("the project serves, and {backup}")),
    };
    let backup_age_us = age.map(|age| age.0);
    let document = ProjectDocument { verdict, headline, findings, backup_age_us, seen };
    let mut human = format!(
        "{}: {}\nproject:  {}, Postgres {}\nbackups:  {} listed, {backup}\nkeys:     {}\n",
        verdict.label(),
        document.headline,
        document.seen.project.status,
        document.seen.project.version,
        document.seen.backups.list.len(),
        document.seen.keys.len(),
    );
    human.push_str(&listed(&document.findings));
    Ok(Report::new(Exit::from(verdict), "orca.db-project/v1", &document, human)
        .output("verdict", verdict.as_str()))
}

/// A line each, with what to do.
pub(super) fn listed(findings: &[Finding]) -> String {
    let lines = findings.iter().map(|f| {
        format!("\n{}: {} ({})\n  help: {}\n", f.verdict.label(), f.message, f.key, f.next)
    });
    lines.collect()
}
