//! `orca db shadow`: every migration of the project, replayed on a throwaway Postgres.

use schemars::JsonSchema;
use serde::Serialize;

use super::db_look::{self, Baseline, Look, Looked};
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::db::lint::finding::Level;
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::footprint::Footprint;
use crate::db::shadow::migrations;
use crate::db::shadow::replay::{FileStatus, ReplayedFile};
use crate::db::shadow::study::Shown;
use crate::gate::verdict::Verdict;

/// Footprints that people are shown; machines get all.
const FOOTPRINTS_SHOWN: usize = 6;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    look: Look,

    /// Accept the stand-in for this extension; may be given several times
    #[arg(long, value_name = "EXTENSION")]
    allow_substitute: Vec<String>,

    /// So long may a statement of the new files hold others up on a table whose rows are known
    #[arg(long, value_name = "TIME", default_value = "2s")]
    lock_max: Micros,
}

/// What the shadow showed.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShadowDocument {
    verdict: Verdict,
    server_version: String,
    files: Vec<ReplayedFile>,
    /// Extensions that stand-ins took the place of, and those that are missing.
    substitutions: Vec<String>,
    findings: Vec<ShadowFinding>,
    /// What statements of the new files hold up on relations that were there before.
    footprints: Vec<Footprint>,
    /// Of the schema after the last file; absent when not every file applied.
    schema_hash: Option<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let looked = args.look.look(context).await?;
    Ok(args.report(looked))
}

impl Args {
    fn report(&self, looked: Looked) -> Report {
        let Looked { project, shown, baseline } = looked;
        let held = shown.footprints.iter().filter_map(|held| held.finding(self.lock_max));
        let mut findings: Vec<ShadowFinding> = held.chain(shown.all().cloned()).collect();
        let Shown { mut files, substitutes, server_version, schema_hash, mut footprints, .. } =
            shown;
        files.extend(project.skipped.iter().map(|name| ReplayedFile {
            file: format!("{}/{name}", migrations::FOLDER),
            status: FileStatus::Skipped,
            statements: 0,
            duration_us: 0,
        }));
        findings.sort_by_key(|f| f.level);
        footprints.sort_by_key(|held| std::cmp::Reverse((held.lock, held.held_us)));
        let verdict = self.verdict(&files, &findings, &substitutes, &baseline);
        let document = ShadowDocument {
            verdict,
            server_version,
            files,
            substitutions: substitutes,
            findings,
            footprints,
            schema_hash,
        };
        let human = human(&document, &baseline);
        let annotations = document.findings.iter().map(db_look::annotation).collect();
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
    if !document.substitutions.is_empty() {
        let names = document.substitutions.join(", ");
        text.push_str(&format!(
            "weakened by {} missing extensions: {names}\n  help: --shadow-url to a server that has \
             them, or --allow-substitute NAME\n",
            document.substitutions.len()
        ));
    }
    text.push_str(&db_look::human(&document.findings, baseline));
    text.push_str(&footprints(&document.footprints));
    if let Some(hash) = &document.schema_hash {
        text.push_str(&format!("\nschema {hash}\n"));
    }
    text
}

/// The strongest locks, who waits, and for how long.
fn footprints(all: &[Footprint]) -> String {
    if all.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nlocks on what was there before, the strongest first:\n");
    for held in all.iter().take(FOOTPRINTS_SHOWN) {
        let does = match (held.rewrites, held.scans) {
            (true, _) => ", writes every row anew",
            (false, true) => ", reads every row",
            (false, false) => "",
        };
        let estimate = match (held.estimate_us, held.rows_expected) {
            (Some(us), Some(rows)) => format!("; about {} with {rows} rows", Micros(us)),
            _ => String::new(),
        };
        let (file, line, lock) = (&held.file, held.line, held.lock.as_str());
        let (relation, waits) = (&held.relation, &held.waits);
        let (took, until) = (Micros(held.took_us), Micros(held.held_us));
        text.push_str(&format!(
            "  {file}:{line}: {lock} on {relation}{does}: {waits}; took {took}, held {until}{estimate}\n"
        ));
    }
    if all.len() > FOOTPRINTS_SHOWN {
        text.push_str(&format!("  and {} more: --json\n", all.len() - FOOTPRINTS_SHOWN));
    }
    text
}
