//! Findings as SARIF 2.1.0, which GitHub code scanning and editors read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::db::lint::catalogue;
use crate::db::lint::finding::Finding;

/// One run of the linter.
pub(crate) fn document(findings: &[Finding]) -> Value {
    let names: BTreeSet<&str> = findings.iter().map(|f| f.rule.as_str()).collect();
    let rules: Vec<Value> = names.iter().filter_map(|name| rule(name)).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "orca db lint",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            // Columns are characters, which SARIF calls code points.
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn rule(name: &str) -> Option<Value> {
    let rule = catalogue::find(name)?;
    Some(json!({
        "id": rule.name,
        "defaultConfiguration": {"level": rule.level.as_str()},
        "shortDescription": {"text": rule.advice()},
        "help": {"text": rule.page, "markdown": rule.page},
    }))
}

fn result(finding: &Finding) -> Value {
    let [start, end] = finding.byte_range;
    json!({
        "ruleId": finding.rule,
        "level": finding.level.as_str(),
        "message": {"text": format!("{}. {}", finding.message, finding.help)},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": finding.file},
            "region": {
                "startLine": finding.line,
                "startColumn": finding.column,
                "byteOffset": start,
                "byteLength": end - start,
            },
        }}],
    })
}
