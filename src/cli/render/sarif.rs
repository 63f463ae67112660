//! Findings as SARIF 2.1.0, which GitHub code scanning and editors read.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::gates::{GateDocument, place};
use crate::base::atomic_file;
use crate::cli::exit::Exit;
use crate::cli::explain::{CHECKS, Code};
use crate::cli::failure::Failure;
use crate::db::lint::catalogue;
use crate::db::lint::finding::Finding;
use crate::db::shadow::advice::advice;
use crate::db::shadow::finding::ShadowFinding;
use crate::gate::verdict::Verdict;

/// Writes one document.
pub(crate) fn write(file: &Path, document: &Value) -> Result<(), Failure> {
    atomic_file::write(file, format!("{document:#}\n").as_bytes()).map_err(|error| {
        let text = format!("{} cannot be written: {error}", file.display());
        Failure::new(Code::File, Exit::Usage, text).hint("give --sarif another path")
    })
}

/// One run of the linter.
pub(crate) fn document(findings: &[Finding]) -> Value {
    let names: BTreeSet<&str> = findings.iter().map(|f| f.rule.as_str()).collect();
    let rules: Vec<Value> = names.iter().filter_map(|name| rule(name)).collect();
    let results: Vec<Value> = findings.iter().map(result).collect();
    run("orca db lint", &rules, &results)
}

/// The findings of the gates that have a line in a file.
pub(crate) fn of_gates(gates: &[GateDocument]) -> Value {
    let checks = || gates.iter().flat_map(|gate| &gate.checks).filter(|c| !c.verdict.opens());
    let results: Vec<Value> = checks()
        .flat_map(|check| {
            let level = if check.verdict == Verdict::Fail { "error" } else { "warning" };
            check.findings.iter().filter_map(move |finding| {
                let text = format!("{}. {}", finding.title, finding.next);
                Some(at_line((&check.check, level), &text, place(finding)?))
            })
        })
        .collect();
    let named = checks().filter_map(|check| CHECKS.iter().find(|(id, _)| *id == check.check));
    let rules: Vec<Value> = named.map(|(id, page)| page_rule(id, page)).collect();
    run("orca preflight", &rules, &results)
}

/// Findings of a shadow, under the page of the check that judges them in a gate.
pub(crate) fn of_shadow(check: &str, findings: &[ShadowFinding]) -> Value {
    let ids: BTreeSet<&str> = findings.iter().map(|f| f.id.as_str()).collect();
    let page = CHECKS.iter().find(|(id, _)| *id == check).map_or("", |(_, page)| page);
    let rules: Vec<Value> = ids.into_iter().map(|id| page_rule(id, page)).collect();
    let placed = |f: &ShadowFinding| f.file.clone().zip(f.line);
    let results: Vec<Value> = findings
        .iter()
        .filter_map(|f| {
            let text = format!("{}. {}", f.message, advice(&f.id));
            Some(at_line((&f.id, f.level.as_str()), &text, placed(f)?))
        })
        .collect();
    run("orca db", &rules, &results)
}

/// One finding at a line.
fn at_line((rule, level): (&str, &str), text: &str, (file, line): (String, u64)) -> Value {
    json!({
        "ruleId": rule,
        "level": level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {
            "artifactLocation": {"uri": file},
            "region": {"startLine": line},
        }}],
    })
}

fn page_rule(id: &str, page: &str) -> Value {
    json!({"id": id, "shortDescription": {"text": id}, "help": {"text": page, "markdown": page}})
}

fn run(tool: &str, rules: &[Value], results: &[Value]) -> Value {
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": tool,
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
