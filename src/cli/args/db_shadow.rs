//! `orca db shadow`: every migration of the project, replayed on a throwaway Postgres.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::db_lint::{applied, is_applied};
use crate::base::redact::Secret;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::{self, Annotation, Report};
use crate::cli::wire_db::{self, Asked, broken};
use crate::db::lint::finding::Level;
use crate::db::shadow::doors::Doors;
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::guard::Guard;
use crate::db::shadow::mention::Mentions;
use crate::db::shadow::migrations::{self, Migrations};
use crate::db::shadow::ports::{Database, SqlError};
use crate::db::shadow::replay::{FileStatus, Replay, ReplayedFile};
use crate::db::shadow::schema_hash::schema_hash;
use crate::db::shadow::supabase;
use crate::db::sql::source::Source;
use crate::gate::verdict::Verdict;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(
        long,
        value_name = "URL",
        help = "A server to make the shadow database on, instead of a throwaway one [env: ORCA_SHADOW_URL]"
    )]
    shadow_url: Option<String>,

    #[arg(
        long,
        value_name = "URL",
        help = "The database that the migrations are meant for: never the shadow [env: ORCA_TARGET_URL]"
    )]
    target_url: Option<String>,

    /// The major version of Postgres [default: that of supabase/config.toml]
    #[arg(long, value_name = "NUMBER")]
    major: Option<u32>,

    /// Accept the stand-in for this extension; may be given several times
    #[arg(long, value_name = "EXTENSION")]
    allow_substitute: Vec<String>,

    /// Files that this commit, tag or branch has are old: only what the others change is reported
    #[arg(long, value_name = "REF")]
    base: Option<String>,

    /// Findings that are known: a JSON document {"keys": [...]}
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// One statement may take this long
    #[arg(long, value_name = "TIME", default_value = "60s")]
    statement_timeout: Micros,
}

/// What the shadow showed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShadowDocument {
    verdict: Verdict,
    server_version: String,
    files: Vec<ReplayedFile>,
    /// Extensions that stand-ins took the place of, and those that are missing.
    substitutes: Vec<String>,
    findings: Vec<ShadowFinding>,
    /// Of the schema after the last file; absent when not every file applied.
    schema_hash: Option<String>,
}

/// Findings that are known.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(crate) struct Baseline {
    keys: BTreeSet<String>,
}

impl Baseline {
    /// Reads the file, where one was named.
    pub(super) fn read(file: Option<&Path>, context: &Context) -> Result<Self, Failure> {
        let Some(file) = file else { return Ok(Self::default()) };
        let wrong = |why: String| {
            let text = format!("{}: {why}", file.display());
            Failure::new(Code::Input, Exit::Usage, text)
                .hint("a baseline is {\"keys\": [\"...\"]}, with keys as --json prints them")
        };
        let text = std::fs::read_to_string(context.folder.join(file));
        let text = text.map_err(|e| wrong(e.to_string()))?;
        serde_json::from_str(&text).map_err(|e| wrong(e.to_string()))
    }

    pub(super) fn knows(&self, key: &str) -> bool {
        self.keys.contains(key)
    }
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let project = migrations::read(&context.folder)?.filter(|found| !found.files.is_empty());
    let project = project.ok_or_else(|| {
        let text = format!("there is no migration in {}", migrations::FOLDER);
        Failure::new(Code::NoMigrations, Exit::Usage, text)
            .hint("orca -C FOLDER db shadow runs it in the folder that holds supabase/")
    })?;
    let baseline = Baseline::read(args.baseline.as_deref(), context)?;
    let asked = Asked {
        shadow_url: args.shadow_url.as_deref().map(Secret::new),
        target_url: args.target_url.as_deref().map(Secret::new),
        major: args.major.or(project.major),
        statement_timeout: args.statement_timeout,
    };
    let old = args.old_files(&project, context)?;
    let shadow = wire_db::shadow(asked, context).await?;
    let version = shadow.version.clone();
    let mut replayed = replay(args, &shadow.session, project.files.split_at(old)).await;
    if let Ok((replay, _)) = &mut replayed
        && project.major.is_some_and(|major| major != shadow.major)
    {
        let text = format!(
            "the project asks for Postgres {}, the shadow is {version}",
            project.major.unwrap_or_default()
        );
        replay.findings.push(ShadowFinding::new("shadow.major", "", Level::Warning, text));
    }
    shadow.close().await;
    let (replay, schema_hash) = replayed?;
    Ok(args.report(replay, &project, version, schema_hash, &baseline))
}

/// Old files as they are; then what the new ones change.
async fn replay(
    args: &Args,
    session: &dyn Database,
    (old, new): (&[Source], &[Source]),
) -> Result<(Replay, Option<String>), Failure> {
    supabase::bootstrap(session).await.map_err(|e| broken("make a Supabase project", &e))?;
    let read = |e: SqlError| broken("read the catalogs", &e);
    let timeout = args.statement_timeout.duration();
    let mut replay = Replay::begin(session).await.map_err(read)?;
    replay.apply(session, old, timeout).await;
    let mut before = None;
    if replay.holds() {
        replay.guard = Guard::begin(session).await.map_err(read)?;
        before = Some(Doors::look(session).await.map_err(read)?);
    }
    replay.apply(session, new, timeout).await;
    if !replay.holds() {
        return Ok((replay, None));
    }
    let after = Doors::look(session).await.map_err(read)?;
    let mentions = Mentions::of(new);
    replay.findings.extend(replay.guard.findings());
    replay.findings.extend(before.unwrap_or_default().opened(after, &mentions));
    let hash = schema_hash(session).await.map_err(read)?;
    Ok((replay, Some(hash.to_string())))
}

impl Args {
    /// How many files of the project the base has; new ones must come after them.
    fn old_files(&self, project: &Migrations, context: &Context) -> Result<usize, Failure> {
        let Some(base) = &self.base else { return Ok(0) };
        let paths: Vec<String> = project.files.iter().map(|f| f.path.clone()).collect();
        let applied = applied(base, &paths, context)?;
        let new = paths.iter().position(|path| !is_applied(&applied, path));
        Ok(new.unwrap_or(paths.len()))
    }

    fn report(
        &self,
        replay: Replay,
        project: &Migrations,
        server_version: String,
        schema_hash: Option<String>,
        baseline: &Baseline,
    ) -> Report {
        let Replay { mut files, mut findings, extensions, .. } = replay;
        files.extend(project.skipped.iter().map(|name| ReplayedFile {
            file: format!("{}/{name}", migrations::FOLDER),
            status: FileStatus::Skipped,
            statements: 0,
            duration_us: 0,
        }));
        findings.sort_by_key(|f| f.level);
        let missing = extensions.unknown.keys().chain(&extensions.substituted);
        let substitutes: Vec<String> = missing.cloned().collect();
        let verdict = self.verdict(&files, &findings, &substitutes, baseline);
        let document =
            ShadowDocument { verdict, server_version, files, substitutes, findings, schema_hash };
        let human = human(&document, baseline);
        let annotations = document.findings.iter().map(annotation).collect();
        let mut report = Report::new(Exit::from(verdict), "orca.db-shadow/v1", &document, human)
            .output("verdict", verdict.as_str())
            .output("schema_hash", document.schema_hash.clone().unwrap_or_default());
        report.annotations = annotations;
        report
    }

    fn verdict(
        &self,
        files: &[ReplayedFile],
        findings: &[ShadowFinding],
        substitutes: &[String],
        baseline: &Baseline,
    ) -> Verdict {
        let any = |status| files.iter().any(|f| f.status == status);
        let is_new =
            |f: &&ShadowFinding| f.level == Level::Error && !baseline.keys.contains(&f.key);
        let weakened = substitutes.iter().any(|name| !self.allow_substitute.contains(name));
        match () {
            () if any(FileStatus::Failed) || findings.iter().any(|f| is_new(&f)) => Verdict::Fail,
            () if any(FileStatus::Inconclusive) || weakened => Verdict::Inconclusive,
            () if !substitutes.is_empty() => Verdict::Waived,
            () => Verdict::Pass,
        }
    }
}

fn human(document: &ShadowDocument, baseline: &Baseline) -> String {
    let applied = document.files.iter().filter(|f| f.status == FileStatus::Applied).count();
    let us: u64 = document.files.iter().map(|f| f.duration_us).sum();
    let mut text = format!(
        "{}: {applied} of {} files applied on Postgres {} in {}\n",
        document.verdict.label(),
        document.files.len(),
        document.server_version,
        Micros(us),
    );
    if !document.substitutes.is_empty() {
        let names = document.substitutes.join(", ");
        text.push_str(&format!(
            "weakened by {} missing extensions: {names}\n  help: --shadow-url to a server that has \
             them, or --allow-substitute NAME\n",
            document.substitutes.len()
        ));
    }
    for f in document.findings.iter().filter(|f| !baseline.keys.contains(&f.key)) {
        let place = match (&f.file, f.line) {
            (Some(file), Some(line)) => format!("{file}:{line}: "),
            _ => String::new(),
        };
        text.push_str(&format!("\n{place}{}[{}]: {}\n", f.level.as_str(), f.id, f.message));
    }
    if let Some(hash) = &document.schema_hash {
        text.push_str(&format!("\nschema {hash}\n"));
    }
    text
}

fn annotation(finding: &ShadowFinding) -> Annotation {
    Annotation {
        level: match finding.level {
            Level::Error => report::Level::Error,
            Level::Warning => report::Level::Warning,
        },
        title: finding.id.to_owned(),
        message: finding.message.clone(),
        file: finding.file.clone().zip(finding.line),
    }
}
