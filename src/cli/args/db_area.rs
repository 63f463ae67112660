//! One area of what the shadow showed, as a verb of its own reports it.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::db_look::{self, Baseline, Looked};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::render::sarif;
use crate::cli::report::Report;
use crate::db::lint::finding::Level;
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::replay::FileStatus;
use crate::gate::verdict::Verdict;

/// What was found in the area.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AreaDocument {
    verdict: Verdict,
    server_version: String,
    /// Files that were replayed.
    files: usize,
    /// Extensions that stand-ins took the place of, and those that are missing.
    substitutes: Vec<String>,
    /// Those of the area; where a file did not apply, what is wrong with it.
    findings: Vec<ShadowFinding>,
    /// How many of them the baseline knows.
    known: usize,
}

/// Names of an area.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Area {
    pub(crate) schema: &'static str,
    /// The check that judges the same in a gate.
    pub(crate) check: &'static str,
    /// What is so when nothing was found.
    pub(crate) well: &'static str,
}

/// The report of `findings`, which are those of the area.
pub(crate) fn report(
    area: Area,
    (looked, mut findings): (Looked, Vec<ShadowFinding>),
    sarif_file: Option<&PathBuf>,
    context: &Context,
) -> Result<Report, Failure> {
    let Looked { shown, baseline, .. } = looked;
    let stopped = shown.stopped_at().map(|file| file.status);
    if stopped.is_some() {
        findings.clone_from(&shown.findings);
    }
    findings.sort_by_key(|f| f.level);
    let verdict = verdict(stopped, &findings, &baseline);
    let known = findings.iter().filter(|f| baseline.keys.contains(&f.key)).count();
    if let Some(file) = sarif_file {
        sarif::write(&context.folder.join(file), &sarif::of_shadow(area.check, &findings))?;
    }
    let document = AreaDocument {
        verdict,
        server_version: shown.server_version,
        files: shown.files.len(),
        substitutes: shown.substitutes,
        findings,
        known,
    };
    let human = human(area, &document, &baseline);
    let mut report = Report::new(Exit::from(verdict), area.schema, &document, human)
        .output("verdict", verdict.as_str());
    report.annotations = document.findings.iter().map(db_look::annotation).collect();
    Ok(report)
}

fn verdict(
    stopped: Option<FileStatus>,
    findings: &[ShadowFinding],
    baseline: &Baseline,
) -> Verdict {
    let open = |f: &ShadowFinding| f.level == Level::Error && !baseline.keys.contains(&f.key);
    match stopped {
        Some(FileStatus::Failed) => Verdict::Fail,
        Some(_) => Verdict::Inconclusive,
        None if findings.iter().any(open) => Verdict::Fail,
        None => Verdict::Pass,
    }
}

fn human(area: Area, document: &AreaDocument, baseline: &Baseline) -> String {
    let all = document.findings.len();
    let errors = document.findings.iter().filter(|f| f.level == Level::Error).count();
    let found = match all {
        0 => area.well.to_owned(),
        _ => format!("{errors} errors and {} warnings, {} known", all - errors, document.known),
    };
    let mut text = format!(
        "{}: {found} ({} files on Postgres {})\n",
        document.verdict.label(),
        document.files,
        document.server_version
    );
    if !document.substitutes.is_empty() {
        let names = document.substitutes.join(", ");
        text.push_str(&format!("weakened by missing extensions: {names}\n"));
    }
    text.push_str(&db_look::human(&document.findings, baseline));
    text
}
