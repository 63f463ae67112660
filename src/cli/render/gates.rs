//! Gates as a table: what each decided, and why, the worst first.

use schemars::JsonSchema;
use serde::Serialize;

use super::table::table;
use crate::cli::report::{Annotation, Level};
use crate::gate::ruling::RulingRecord;
use crate::gate::verdict::{Measure, Verdict};

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
    pub(crate) next: Vec<String>,
    /// Digest of the exhibit it was judged by.
    pub(crate) exhibit: String,
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
    table(&["check", "verdict", "why"], &rows, columns)
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
            Some(Annotation { level, title, message, file: None })
        })
        .collect()
}
