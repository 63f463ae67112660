//! The in-toto statement of a pack: which bytes it is about and what the gates said of them.

use serde_json::{Value, json};

use crate::base::digest::{Digest, canonical_json};
use crate::base::ids::CommitId;
use crate::evidence::summary::Summary;
use crate::gate::verdict::Verdict;

pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PREDICATE: &str = "https://in-toto.io/attestation/test-result/v0.1";

/// What the statement binds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subjects<'a> {
    pub(crate) manifest: &'a [u8],
    pub(crate) sums: &'a [u8],
    pub(crate) commit: &'a CommitId,
}

/// Canonical bytes of the statement.
pub(crate) fn write(subjects: &Subjects<'_>, summary: &Summary) -> Vec<u8> {
    canonical_json(&json!({
        "_type": STATEMENT,
        "subject": subject(subjects),
        "predicateType": PREDICATE,
        "predicate": predicate(subjects, summary),
    }))
    .expect("a statement is plain data")
}

fn subject(subjects: &Subjects<'_>) -> Value {
    let file = |name: &str, bytes: &[u8]| json!({"name": name, "digest": {"sha256": Digest::of(bytes).hex()}});
    json!([
        file("manifest.json", subjects.manifest),
        file("SHA256SUMS", subjects.sums),
        {"name": "commit", "digest": {"gitCommit": subjects.commit.as_str()}},
    ])
}

/// `test-result/v0.1`, with each gate's verdict in orca's words under `orca`.
///
/// The predicate knows three results: what is inconclusive counts as failed, never as passed.
fn predicate(subjects: &Subjects<'_>, summary: &Summary) -> Value {
    let gates = summary.gates();
    let named = |wanted: fn(Verdict) -> bool| -> Vec<&str> {
        let fitting = gates.iter().filter(|r| wanted(r.counted().verdict));
        fitting.map(|r| r.counted().gate.as_str()).collect()
    };
    let results: Vec<Value> = gates
        .iter()
        .map(|r| {
            json!({
                "gate": r.judged.gate, "phase": r.phase, "verdict": r.counted().verdict,
                "cause": r.counted().cause, "headline": r.counted().headline,
                "environment": r.judged.subject.environment, "ledger_entry": r.entry,
            })
        })
        .collect();
    json!({
        "result": match summary.verdict {
            Verdict::Pass => "PASSED",
            Verdict::Waived => "WARNED",
            Verdict::NotApplicable | Verdict::Inconclusive | Verdict::Fail => "FAILED",
        },
        "configuration": [{
            "name": "manifest.json",
            "digest": {"sha256": Digest::of(subjects.manifest).hex()},
        }],
        "passedTests": named(|v| v == Verdict::Pass),
        "warnedTests": named(|v| v == Verdict::Waived),
        "failedTests": named(|v| v > Verdict::Waived),
        "orca": {"verdict": summary.verdict, "headline": summary.headline, "gates": results},
    })
}

/// What does not fit: the statement's subjects against the bytes at hand.
pub(crate) fn check_subjects(payload: &[u8], subjects: &Subjects<'_>) -> Result<(), String> {
    let statement: Value = serde_json::from_slice(payload).map_err(|e| e.to_string())?;
    if statement["_type"] != STATEMENT || statement["predicateType"] != PREDICATE {
        return Err("it is no in-toto statement of orca".to_owned());
    }
    if statement["subject"] == subject(subjects) {
        Ok(())
    } else {
        Err("it is about other bytes or another commit".to_owned())
    }
}
