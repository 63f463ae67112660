//! `orca db roles`: whether any role may more than its work needs.

use schemars::JsonSchema;
use serde::Serialize;

use super::db_project::listed;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire_db_backup, wire_supabase};
use crate::db::hosted::finding::Finding;
use crate::db::hosted::roles::{self, QUESTION, findings};
use crate::db::shadow::ports::Database as _;
use crate::gate::verdict::Verdict;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "URL", help = "The database [env: ORCA_TARGET_URL]")]
    target_url: Option<String>,

    /// Ask through the Management API of Supabase, read-only, instead of a connection
    #[arg(long, conflicts_with = "target_url")]
    via_api: bool,

    #[arg(
        long,
        value_name = "REF",
        requires = "via_api",
        help = "The project [env: SUPABASE_PROJECT_REF]"
    )]
    project: Option<String>,

    /// A role that is meant to be strong; may be given several times
    #[arg(long, value_name = "ROLE")]
    allow_role: Vec<String>,
}

/// What roles may and should not.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RolesDocument {
    verdict: Verdict,
    headline: String,
    findings: Vec<Finding>,
    /// Roles that were looked at.
    roles: usize,
    allowed: Vec<String>,
}

/// A question about catalogs is answered at once.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let text = if args.via_api {
        wire_supabase::hosted(args.project.as_deref(), context)?.ask(QUESTION).await?
    } else {
        let url = wire_db_backup::target(args.target_url.as_deref(), context)?;
        let session = wire_db_backup::read_only(&url, TIMEOUT).await?;
        let rows = session.run(QUESTION).await.map_err(|e| wire_db_backup::unreadable(&e))?;
        rows.into_iter().flatten().flatten().next().unwrap_or_default()
    };
    let answer = roles::read(&text).map_err(|text| {
        Failure::new(Code::TargetUnreadable, Exit::Unavailable, text).hint("run it again")
    })?;
    let findings = findings(&answer, &args.allow_role.iter().cloned().collect());
    let roles = answer.roles.len();
    let (verdict, headline) = match (findings.len(), roles) {
        (0, 0) => (Verdict::Inconclusive, "no role was listed".to_owned()),
        (0, _) => (Verdict::Pass, format!("none of {roles} roles may more than it needs")),
        (1, _) => (Verdict::Fail, findings[0].message.clone()),
        (more, _) => {
            (Verdict::Fail, format!("{}, and {} findings more", findings[0].message, more - 1))
        }
    };
    let allowed = args.allow_role.clone();
    let document = RolesDocument { verdict, headline, findings, roles, allowed };
    let human =
        format!("{}: {}\n{}", verdict.label(), document.headline, listed(&document.findings));
    Ok(Report::new(Exit::from(verdict), "orca.db-roles/v1", &document, human)
        .output("verdict", verdict.as_str()))
}
