//! One file through every rule that looks at one file, and through its waivers.

use super::catalogue;
use super::finding::{Finding, Findings, Hit, Waived};
use super::{rules, squawk, waiver};
use crate::db::sql::place::Places;
use crate::db::sql::script::Script;
use crate::db::sql::source::Source;
use crate::db::sql::statement::Statement;

/// Longer statements that only bring rows are blanked out for squawk: it has no rule for them, and
/// its tree takes many times the memory of the text.
const ROWS_BYTES_MAX: usize = 64 * 1024;

/// Lints `source`. `spanning` are hits of rules that look at several files. `today` is `YYYY-MM-DD`.
pub(crate) fn lint(source: &Source, spanning: Vec<Hit>, today: &str) -> Findings {
    let script = Script::parse(&source.text);
    let places = Places::new(&source.text);
    let finding = |hit: Hit| place(hit, &source.path, &places);
    let squawk = grammar(source, &script);
    let broken = squawk.hits.iter().any(|hit| hit.rule == "syntax-error");
    let mut hits = squawk.hits;
    if !broken {
        hits.extend(rules::hits(&script));
        hits.extend(spanning);
    }
    let mut found = waiver::apply(&script, hits, today, &finding);
    found.waived.extend(squawk.ignored.into_iter().map(|hit| {
        let Finding { rule, file, line, .. } = finding(hit);
        Waived { rule, file, line, reason: "squawk-ignore".to_owned(), until: None }
    }));
    found.findings.extend(squawk.idle.into_iter().map(|range| {
        finding(Hit::new("waiver-unused", range, "this squawk-ignore tolerates nothing"))
    }));
    found.findings.sort_by(|a, b| {
        (a.byte_range[0], a.level, &a.rule).cmp(&(b.byte_range[0], b.level, &b.rule))
    });
    found.waived.sort_by(|a, b| (a.line, &a.rule).cmp(&(b.line, &b.rule)));
    found
}

/// Bytes that no server takes, then what no grammar takes, else what squawk says.
fn grammar(source: &Source, script: &Script<'_>) -> squawk::Squawk {
    let mut hits: Vec<Hit> =
        source.bad.iter().map(|(at, what)| Hit::new("syntax-error", *at..at + 1, *what)).collect();
    hits.extend(script.broken.iter().map(|broken| {
        let what: String = source.text[broken.at..].chars().take(20).collect();
        let what = what.lines().next().unwrap_or_default();
        Hit::new("syntax-error", broken.at..broken.at + 1, format!("{what} {}", broken.why))
    }));
    if !hits.is_empty() {
        return squawk::Squawk { hits, ..squawk::Squawk::default() };
    }
    let plain = script.without_psql();
    let plain = plain.as_deref().unwrap_or(&source.text);
    match without_bulk(plain, script) {
        Some(text) => squawk::lint(&text, script),
        None => squawk::lint(plain, script),
    }
}

/// The text without a byte order mark and without long statements that only bring rows.
fn without_bulk(text: &str, script: &Script<'_>) -> Option<String> {
    let is_bulk = |s: &Statement<'_>| s.starts(&["insert"]) && s.range().len() > ROWS_BYTES_MAX;
    let bulk: Vec<_> = script.statements().filter(is_bulk).map(Statement::range).collect();
    let marked = text.starts_with('\u{feff}');
    if bulk.is_empty() && !marked {
        return None;
    }
    let mut bytes = text.as_bytes().to_vec();
    let mark = marked.then_some(0..3);
    for range in bulk.into_iter().chain(mark) {
        bytes[range].fill(b' ');
    }
    Some(String::from_utf8(bytes).expect("whole characters were replaced"))
}

fn place(hit: Hit, file: &str, places: &Places<'_>) -> Finding {
    let (line, column) = places.of(hit.range.start);
    let rule = catalogue::find(hit.rule).expect("every rule is in the catalogue");
    let advice = || format!("{} (orca explain {})", rule.advice(), rule.name);
    Finding {
        rule: hit.rule.to_owned(),
        file: file.to_owned(),
        line,
        column,
        byte_range: [hit.range.start, hit.range.end],
        level: rule.level,
        message: hit.message,
        help: hit.help.unwrap_or_else(advice),
    }
}
