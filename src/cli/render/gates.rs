//! Gates as a table: what each decided, and why, the worst first.

use schemars::JsonSchema;
use serde::Serialize;

use super::table::table;
use crate::cli::report::{Annotation, Level};
use crate::gate::ruling::RulingRecord;
use crate::gate::verdict::{Finding, Measure, Verdict};
use crate::gate::waiver::{Role, Waiver};

/// Findings that fit on a screen.
const FINDINGS_SHOWN: usize = 5;

/// One gate in a JSON document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct GateDocument {
    pub(crate) gate: String,
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
    pub(crate) checks: Vec<CheckDocument>,
}

/// One check of a gate.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct CheckDocument {
    pub(crate) check: String,
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
    pub(crate) decided_by: String,
    pub(crate) measures: Vec<Measure>,
    /// What a waiver could name.
    pub(crate) findings: Vec<Finding>,
    /// Ids of the waivers that covered every finding.
    pub(crate) waivers: Vec<String>,
    pub(crate) next: Vec<String>,
    /// Digest of the exhibit it was judged by.
    pub(crate) exhibit: String,
}

/// A tolerated finding in a JSON document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct WaiverDocument {
    pub(crate) id: String,
    pub(crate) check: String,
    pub(crate) finding: String,
    /// The worst value tolerated, in the finding's unit.
    pub(crate) worst: i64,
    pub(crate) until: String,
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) role: Role,
}

impl From<&Waiver> for WaiverDocument {
    fn from(waiver: &Waiver) -> Self {
        Self {
            id: waiver.id.to_string(),
            check: waiver.check.to_string(),
            finding: waiver.finding.clone(),
            worst: waiver.worst,
            until: waiver.until.rfc3339(),
            reason: waiver.reason.clone(),
            by: waiver.by.clone(),
            role: waiver.role,
        }
    }
}

/// The waivers that these gates rest on.
pub(crate) fn waivers(gates: &[GateDocument], known: &[Waiver]) -> Vec<WaiverDocument> {
    let used = |waiver: &&Waiver| {
        let id = waiver.id.to_string();
        gates.iter().flat_map(|gate| &gate.checks).any(|check| check.waivers.contains(&id))
    };
    known.iter().filter(used).map(WaiverDocument::from).collect()
}

pub(crate) fn document(record: &RulingRecord) -> GateDocument {
    let checks = record
        .checks
        .iter()
        .map(|check| CheckDocument {
            check: check.check.to_string(),
            verdict: check.counted,
            headline: check.judgement.headline.clone(),
            decided_by: check.judgement.decided_by.clone(),
            measures: check.judgement.measures.clone(),
            findings: check.judgement.findings.clone(),
            waivers: check.waivers.iter().map(ToString::to_string).collect(),
            next: check.judgement.next.clone(),
            exhibit: check.exhibit.to_string(),
        })
        .collect();
    GateDocument {
        gate: record.gate.clone(),
        verdict: record.verdict,
        headline: record.headline.clone(),
        checks,
    }
}

/// The table for people.
pub(crate) fn human(gates: &[GateDocument], columns: usize) -> String {
    let mut rows: Vec<(Verdict, Vec<String>)> = gates
        .iter()
        .flat_map(|gate| &gate.checks)
        .map(|check| {
            let row =
                vec![check.check.clone(), check.verdict.label().to_owned(), check.headline.clone()];
            (check.verdict, row)
        })
        .collect();
    rows.sort_by_key(|(verdict, _)| std::cmp::Reverse(*verdict));
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(_, row)| row).collect();
    format!("{}{}", table(&["check", "verdict", "why"], &rows, columns), open_findings(gates))
}

/// Findings of closed checks, in the words of a waiver.
fn open_findings(gates: &[GateDocument]) -> String {
    let mut closed: Vec<&CheckDocument> = gates
        .iter()
        .flat_map(|gate| &gate.checks)
        .filter(|check| {
            check.verdict > Verdict::Waived
                || (check.verdict == Verdict::Waived && !check.waivers.is_empty())
        })
        .collect();
    closed.sort_by_key(|check| std::cmp::Reverse(check.verdict));
    let lines: Vec<String> = closed
        .into_iter()
        .flat_map(|check| check.findings.iter().map(|finding| line(check, finding)))
        .collect();
    let (shown, more) = (lines.iter().take(FINDINGS_SHOWN).map(String::as_str), lines.len());
    let mut text: String = shown.collect();
    if more > FINDINGS_SHOWN {
        text.push_str(&format!("         and {} more: --json\n", more - FINDINGS_SHOWN));
    }
    if text.is_empty() { text } else { format!("\n{text}") }
}

/// A finding in the words of a waiver; one with a line in a file says first where, why and what to do.
fn line(check: &CheckDocument, finding: &Finding) -> String {
    let waived = check.verdict == Verdict::Waived;
    let (fingerprint, value) = (&finding.fingerprint, finding.value);
    let fingerprint =
        if fingerprint.contains(' ') { format!("'{fingerprint}'") } else { fingerprint.clone() };
    let named = format!("{} --finding {fingerprint} --worst {value}", check.check);
    match place(finding) {
        None => format!("{}: {named}\n", if waived { "waived " } else { "finding" }),
        Some((file, line)) if waived => format!("waived : {file}:{line}: {named}\n"),
        Some((file, line)) => format!(
            "{file}:{line}: {}\n  fix:   {}\n  waive: --force {named} --until 7d --reason WHY\n",
            finding.title, finding.next
        ),
    }
}

/// The file and line of a finding that has them.
pub(crate) fn place(finding: &Finding) -> Option<(String, u64)> {
    let (file, line) = finding.place.as_ref()?.rsplit_once(':')?;
    Some((file.to_owned(), line.parse().ok()?))
}

/// What GitHub shows beside the job.
pub(crate) fn annotations(gates: &[GateDocument]) -> Vec<Annotation> {
    gates
        .iter()
        .flat_map(|gate| &gate.checks)
        .filter_map(|check| {
            let level = match check.verdict {
                Verdict::Fail => Level::Error,
                Verdict::Inconclusive | Verdict::Waived => Level::Warning,
                Verdict::Pass | Verdict::NotApplicable => return None,
            };
            let (title, message) = (check.check.clone(), check.headline.clone());
            let whole = Annotation { level, title: title.clone(), message, file: None };
            let beside = check.findings.iter().filter_map(move |finding| {
                let (title, file) = (title.clone(), Some(place(finding)?));
                let message = format!("{}. {}", finding.title, finding.next);
                Some(Annotation { level, title, message, file })
            });
            Some(std::iter::once(whole).chain(beside))
        })
        .flatten()
        .collect()
}
