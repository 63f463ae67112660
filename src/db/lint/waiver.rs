//! Waivers in the file: `-- orca: allow RULE[, RULE] until YYYY-MM-DD: REASON` covers the statement
//! that it stands before, in or behind; `allow-file` covers the file. One without a reason or an end
//! is a finding, as is one that has ended or tolerates nothing.

use std::ops::Range;

use super::catalogue;
use super::finding::{Finding, Findings, Hit, Waived};
use crate::db::sql::script::Script;
use crate::db::sql::statement::Statement;
use crate::db::sql::token::Token;

/// A comment that tolerates findings.
#[derive(Debug)]
struct Waiver<'a> {
    rules: Vec<&'a str>,
    until: &'a str,
    reason: &'a str,
    /// The comment, in bytes.
    place: Range<usize>,
    /// Where findings begin that it covers, in bytes.
    covers: Range<usize>,
    used: bool,
}

/// Applies the waivers of a file to its hits. `today` is `YYYY-MM-DD`.
pub(crate) fn apply(
    script: &Script<'_>,
    hits: Vec<Hit>,
    today: &str,
    finding: &dyn Fn(Hit) -> Finding,
) -> Findings {
    let mut wrong = Vec::new();
    let mut waivers = Vec::new();
    for comment in &script.comments {
        match read(script, *comment) {
            None => {}
            Some(Ok(waiver)) => waivers.push(waiver),
            Some(Err(why)) => wrong.push(Hit::new("waiver-invalid", place(*comment), why)),
        }
    }
    let mut found = Findings::default();
    for hit in hits {
        let at = hit.range.start;
        let covering = waivers
            .iter_mut()
            .find(|w| w.until >= today && w.covers.contains(&at) && w.rules.contains(&hit.rule));
        let Some(waiver) = covering else {
            found.findings.push(finding(hit));
            continue;
        };
        waiver.used = true;
        let (until, reason) = (waiver.until.to_owned(), waiver.reason.to_owned());
        let Finding { rule, file, line, .. } = finding(hit);
        found.waived.push(Waived { rule, file, line, reason, until: Some(until) });
    }
    for waiver in waivers.iter().filter(|w| !w.used) {
        let rules = waiver.rules.join(", ");
        wrong.push(if waiver.until < today {
            let text = format!("this waiver of {rules} ended on {}", waiver.until);
            Hit::new("waiver-expired", waiver.place.clone(), text)
        } else {
            let text = format!("this waiver of {rules} tolerates nothing");
            Hit::new("waiver-unused", waiver.place.clone(), text)
        });
    }
    found.findings.extend(wrong.into_iter().map(finding));
    found
}

fn place(comment: Token) -> Range<usize> {
    comment.start as usize..comment.end as usize
}

/// None when the comment is no waiver.
fn read<'a>(script: &Script<'a>, comment: Token) -> Option<Result<Waiver<'a>, String>> {
    let text = comment.text(script.source);
    let inner = text.strip_prefix("--").or_else(|| text.strip_prefix("/*")?.strip_suffix("*/"))?;
    let order = inner.trim().strip_prefix("orca:")?.trim();
    let covers = if order.starts_with("allow-file") {
        0..script.source.len() + 1
    } else {
        covered(script, comment)
    };
    let rest = order.strip_prefix("allow-file").or_else(|| order.strip_prefix("allow"));
    Some(rest.ok_or_else(|| format!("'{order}' is no waiver")).and_then(|rest| {
        let (rules, until, reason) = terms(rest)?;
        Ok(Waiver { rules, until, reason, place: place(comment), covers, used: false })
    }))
}

type Terms<'a> = (Vec<&'a str>, &'a str, &'a str);

fn terms(text: &str) -> Result<Terms<'_>, String> {
    let (rules, rest) = text.split_once(" until ").ok_or("it has no end: until YYYY-MM-DD")?;
    let (until, reason) = rest.split_once(':').unwrap_or((rest, ""));
    let (until, reason) = (until.trim(), reason.trim());
    if !is_date(until) {
        return Err(format!("'{until}' is no day: write it as YYYY-MM-DD"));
    }
    if reason.is_empty() {
        return Err("it has no reason: until YYYY-MM-DD: REASON".to_owned());
    }
    let rules: Vec<&str> = rules.split(',').map(str::trim).collect();
    match rules.iter().find(|rule| catalogue::find(rule).is_none()) {
        Some(unknown) => Err(format!("there is no rule '{unknown}'")),
        None => Ok((rules, until, reason)),
    }
}

fn is_date(text: &str) -> bool {
    let at_noon = format!("{text}T12:00:00Z");
    text.len() == 10 && crate::base::clock::Timestamp::parse_rfc3339(&at_noon).is_ok()
}

/// The statement around the comment, the one that ends on its line, else the next.
fn covered(script: &Script<'_>, comment: Token) -> Range<usize> {
    let (start, end) = (comment.start as usize, comment.end as usize);
    let line_start = script.source[..start].rfind('\n').map_or(0, |at| at + 1);
    let ranges = || script.statements().map(Statement::range);
    let around = ranges().find(|r| r.start <= start && end <= r.end);
    let beside = || ranges().find(|r| r.end <= start && r.end > line_start);
    let next = || ranges().find(|r| r.start >= end);
    around.or_else(beside).or_else(next).map_or(0..0, |r| r.start..r.end.max(r.start + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::lint::finding::Level;

    /// Rules that are left over, and how many were waived.
    fn left(source: &str) -> (Vec<String>, usize) {
        let script = Script::parse(source);
        let hits = script
            .statements()
            .filter(|s| s.starts(&["truncate"]))
            .map(|s| Hit::new("truncate", s.range(), "x"))
            .collect();
        let found = apply(&script, hits, "2026-06-01", &|hit| Finding {
            rule: hit.rule.to_owned(),
            file: String::new(),
            line: 1,
            column: 1,
            byte_range: [hit.range.start, hit.range.end],
            level: Level::Error,
            message: hit.message,
            help: String::new(),
        });
        (found.findings.into_iter().map(|f| f.rule).collect(), found.waived.len())
    }

    #[test]
    fn a_waiver_covers_its_statement_until_its_last_day() {
        for (source, rules, waived) in [
            ("-- orca: allow truncate until 2026-06-01: cache\ntruncate a;", &[][..], 1),
            ("truncate a; -- orca: allow truncate until 2026-06-01: cache", &[], 1),
            ("truncate /* orca: allow truncate until 2026-07-01: cache */ a;", &[], 1),
            (
                "-- orca: allow-file truncate until 2026-06-01: caches\ntruncate a; truncate b",
                &[],
                2,
            ),
            (
                "-- orca: allow truncate until 2026-06-01: cache\ntruncate a; truncate b",
                &["truncate"],
                1,
            ),
            (
                "-- orca: allow truncate until 2026-05-31: cache\ntruncate a;",
                &["truncate", "waiver-expired"],
                0,
            ),
            ("-- orca: allow truncate until 2026-06-01: cache\nselect 1;", &["waiver-unused"], 0),
            ("-- orca: allow truncate\ntruncate a;", &["truncate", "waiver-invalid"], 0),
            (
                "-- orca: allow truncate until 2026-13-01: x\ntruncate a;",
                &["truncate", "waiver-invalid"],
                0,
            ),
            (
                "-- orca: allow truncate until 2026-07-01\ntruncate a;",
                &["truncate", "waiver-invalid"],
                0,
            ),
            (
                "-- orca: allow nonsense until 2026-07-01: x\ntruncate a;",
                &["truncate", "waiver-invalid"],
                0,
            ),
            ("-- about orca: nothing\nselect 1", &[], 0),
        ] {
            let (found, count) = left(source);
            assert_eq!(
                (found.iter().map(String::as_str).collect::<Vec<_>>(), count),
                (rules.to_vec(), waived),
                "{source}"
            );
        }
    }
}
