//! What every look at a shadow database can be told, and the look itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::db_branch::BranchArgs;
use super::db_lint::{applied, is_applied};
use crate::base::redact::Secret;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::{self, Annotation};
use crate::cli::wire_db::{self, Asked};
use crate::cli::wire_db_branch;
use crate::db::lint::finding::Level;
use crate::db::shadow::advice::advice;
use crate::db::shadow::fill::{RowsOf, worth_measuring};
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::migrations::{self, Migrations};
use crate::db::shadow::study::{Plan, Shown, study};

/// Where the shadow is, and what is old.
#[derive(Debug, clap::Args)]
pub(crate) struct Look {
    #[arg(
        long,
        value_name = "URL",
        help = "A server to make the shadow database on, instead of a throwaway one [env: ORCA_SHADOW_URL]"
    )]
    shadow_url: Option<String>,

    #[arg(
        long,
        value_name = "URL",
        help = "The database that the migrations are meant for: never the shadow; its tables' sizes are read [env: ORCA_TARGET_URL]"
    )]
    target_url: Option<String>,

    /// The major version of Postgres [default: that of supabase/config.toml]
    #[arg(long, value_name = "NUMBER")]
    major: Option<u32>,

    /// Files that this commit, tag or branch has are old: only what the others change is reported
    #[arg(long, value_name = "REF")]
    base: Option<String>,

    /// Findings that are known: a JSON document {"keys": [...]}
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// One statement may take this long
    #[arg(long, value_name = "TIME", default_value = "60s")]
    statement_timeout: Micros,

    /// Fill this table before the new files and measure them on it; may be given several times
    #[arg(long, value_name = "TABLE=NUMBER")]
    rows: Vec<RowsOf>,

    #[command(flatten)]
    branch: BranchArgs,
}

/// What was looked at, and seen.
pub(crate) struct Looked {
    pub(crate) project: Migrations,
    pub(crate) shown: Shown,
    pub(crate) baseline: Baseline,
}

/// Findings that are known.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Baseline {
    pub(crate) keys: BTreeSet<String>,
}

impl Baseline {
    /// Reads the file, where one was named.
    pub(crate) fn read(file: Option<&Path>, context: &Context) -> Result<Self, Failure> {
        let Some(file) = file else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(context.folder.join(file));
        Self::parse(file, &text.map_err(|e| wrong_baseline(file, &e.to_string()))?)
    }

    pub(crate) fn knows(&self, key: &str) -> bool {
        self.keys.contains(key)
    }

    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, Failure> {
        serde_json::from_str(text).map_err(|e| wrong_baseline(file, &e.to_string()))
    }
}

pub(crate) fn wrong_baseline(file: &Path, why: &str) -> Failure {
    Failure::new(Code::Input, Exit::Usage, format!("{}: {why}", file.display()))
        .hint("a baseline is {\"keys\": [\"...\"]}, with keys as --json prints them")
}

/// The folder has none, and was asked for them.
pub(crate) fn no_migrations() -> Failure {
    let text = format!("there is no migration in {}", migrations::FOLDER);
    Failure::new(Code::NoMigrations, Exit::Usage, text)
        .hint("orca -C FOLDER ... runs it in the folder that holds supabase/")
}

impl Look {
    pub(crate) async fn look(&self, context: &Context) -> Result<Looked, Failure> {
        let project = migrations::read(&context.folder)?.filter(|found| !found.files.is_empty());
        let project = project.ok_or_else(no_migrations)?;
        let baseline = Baseline::read(self.baseline.as_deref(), context)?;
        let asked = Asked {
            shadow_url: self.shadow_url.as_deref().map(Secret::new),
            target_url: self.target_url.as_deref().map(Secret::new),
            major: self.major.or(project.settings.major),
            statement_timeout: self.statement_timeout,
        };
        let mut files = project.files.clone();
        let new = files.split_off(self.old_files(&project, context)?);
        let mut plan = Plan {
            old: files,
            new,
            settings: project.settings.clone(),
            statement_timeout: self.statement_timeout.duration(),
            rows: self.rows.iter().map(|of| (of.table.clone(), of.rows)).collect(),
        };
        let target = wire_db::target_rows(&asked, context).await?;
        for (table, rows) in worth_measuring(&target, &plan.new) {
            plan.rows.entry(table).or_insert(rows);
        }
        let shadows = match self.branch.asked() {
            Some(branch) => wire_db_branch::shadows(&branch, asked, context)?,
            None => wire_db::shadows(asked, context),
        };
        let shown = study(&plan, shadows.as_ref()).await?;
        Ok(Looked { project, shown, baseline })
    }

    /// How many files of the project the base has; new ones must come after them.
    fn old_files(&self, project: &Migrations, context: &Context) -> Result<usize, Failure> {
        let Some(base) = &self.base else { return Ok(0) };
        let paths: Vec<String> = project.files.iter().map(|f| f.path.clone()).collect();
        let applied = applied(base, &paths, context)?;
        let new = paths.iter().position(|path| !is_applied(&applied, path));
        Ok(new.unwrap_or(paths.len()))
    }
}

/// Findings that nobody knows, for people: where, what, and what to do.
pub(crate) fn human(findings: &[ShadowFinding], baseline: &Baseline) -> String {
    let open = || findings.iter().filter(|f| !baseline.keys.contains(&f.key));
    let mut text = String::new();
    for f in open() {
        let place = match (&f.file, f.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            _ => String::new(),
        };
        let (level, id, message) = (f.level.as_str(), &f.id, &f.message);
        let advice = advice(id);
        text.push_str(&format!("\n{place}{level}[{id}]: {message}\n  help: {advice}\n"));
    }
    if let Some(first) = open().find(|f| f.level == Level::Error) {
        text.push_str(&format!("\nKnown? In the file of --baseline: \"{}\"\n", first.key));
    }
    text
}

pub(crate) fn annotation(finding: &ShadowFinding) -> Annotation {
    Annotation {
        level: match finding.level {
            Level::Error => report::Level::Error,
            Level::Warning => report::Level::Warning,
        },
        title: finding.id.clone(),
        message: format!("{}. {}", finding.message, advice(&finding.id)),
        file: finding.file.clone().zip(finding.line),
    }
}
