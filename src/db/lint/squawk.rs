//! squawk's rules as a library, at the version pinned in `Cargo.toml`. What its command line reports
//! by default is reported here, less one false alarm: a primary key added to a table that the same
//! file creates.

use std::collections::BTreeSet;

use squawk_linter::ignore::{IgnoreKind, ignore_rule_info};
use squawk_linter::{Linter, Rule, Violation};
use squawk_syntax::{Parse, SourceFile};

use super::catalogue;
use super::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::statement::{Name, Statement};

/// What squawk says about one text.
#[derive(Debug, Default)]
pub(crate) struct Squawk {
    pub(crate) hits: Vec<Hit>,
    /// What a `squawk-ignore` comment in the file silences.
    pub(crate) ignored: Vec<Hit>,
    /// Comments that silence nothing, in bytes.
    pub(crate) idle: Vec<std::ops::Range<usize>>,
}

/// The grammar's errors, else what the rules say.
pub(crate) fn lint(text: &str, script: &Script<'_>) -> Squawk {
    let parse = SourceFile::parse(text);
    let errors = parse.errors();
    if !errors.is_empty() {
        let hits = errors
            .iter()
            .map(|e| Hit::new("syntax-error", e.range().into(), e.message().trim_end_matches('.')));
        return Squawk { hits: hits.collect(), ..Squawk::default() };
    }
    let hits = hits(&parse, text, script);
    if !text.contains("squawk-ignore") {
        return Squawk { hits, ..Squawk::default() };
    }
    let loud = text.replace("squawk-ignore", "squawk_ignore");
    let every = self::hits(&SourceFile::parse(&loud), &loud, script);
    let ignored: Vec<Hit> = every.into_iter().filter(|hit| !hits.contains(hit)).collect();
    let idle = idle(&parse, text, &ignored);
    Squawk { hits, ignored, idle }
}

fn hits(parse: &Parse<SourceFile>, text: &str, script: &Script<'_>) -> Vec<Hit> {
    let violations = Linter::with_default_rules().lint(parse, text);
    violations
        .into_iter()
        .filter(|v| !is_false_alarm(v, script))
        .map(|v| Hit {
            rule: catalogue::name(&v.code.to_string()),
            range: v.text_range.into(),
            message: v.message.trim_end_matches('.').to_owned(),
            help: v.help,
        })
        .collect()
}

fn start(violation: &Violation) -> usize {
    violation.text_range.start().into()
}

/// The table gets its key in the file that creates it: nobody waits for it yet.
fn is_false_alarm(violation: &Violation, script: &Script<'_>) -> bool {
    if violation.code != Rule::AddingSerialPrimaryKeyField {
        return false;
    }
    let at = start(violation);
    let altered = script.statements().find(|s| s.range().contains(&at));
    let Some((table, _)) = altered.and_then(Statement::altered_table) else { return false };
    created_before(script, at).contains(&table)
}

/// Tables that the file creates before byte `at`.
pub(crate) fn created_before(script: &Script<'_>, at: usize) -> BTreeSet<Name> {
    let earlier = script.statements().take_while(|s| s.range().start < at);
    earlier.filter_map(Statement::created_table).map(|(table, _)| table).collect()
}

/// A comment silences its own line and the next, or the whole file.
fn idle(parse: &Parse<SourceFile>, text: &str, ignored: &[Hit]) -> Vec<std::ops::Range<usize>> {
    let line_of = |at: usize| text[..at].matches('\n').count();
    let lines: BTreeSet<(usize, &str)> =
        ignored.iter().map(|hit| (line_of(hit.range.start), hit.rule)).collect();
    let tokens = parse.syntax_node().descendants_with_tokens();
    let mut idle = Vec::new();
    for token in tokens.filter_map(squawk_syntax::SyntaxElement::into_token) {
        let Some((names, range, kind)) = ignore_rule_info(&token) else { continue };
        let names: Vec<&str> = names.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
        let line = line_of(range.start().into());
        let near = |at: usize| matches!(kind, IgnoreKind::File) || at == line || at == line + 1;
        let means = |rule: &str| names.is_empty() || names.contains(&rule);
        let timeouts =
            |rule: &str| names.contains(&"require-timeout-settings") && rule.ends_with("-timeout");
        if !lines.iter().any(|(at, rule)| near(*at) && (means(rule) || timeouts(rule))) {
            idle.push(token.text_range().into());
        }
    }
    idle
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<&'static str> {
        lint(text, &Script::parse(text)).hits.iter().map(|hit| hit.rule).collect()
    }

    #[test]
    fn a_key_for_a_table_of_this_file_is_no_alarm() {
        let late = "alter table only \"public\".\"t\" add constraint t_pkey primary key (id);";
        let both = format!("create table public.t (id bigint);\n{late}");
        assert!(rules(late).contains(&"adding-serial-primary-key-field"));
        assert!(!rules(&both).contains(&"adding-serial-primary-key-field"));
    }

    #[test]
    fn what_squawk_ignore_silences_is_counted() {
        let text = "-- squawk-ignore ban-drop-column\nalter table t drop column if exists a;\n\
                    -- squawk-ignore ban-drop-table\nselect 1;\n";
        let squawk = lint(text, &Script::parse(text));
        assert_eq!(squawk.ignored.len(), 1);
        assert_eq!(squawk.ignored[0].rule, "ban-drop-column");
        assert_eq!(squawk.idle.len(), 1);
        assert!(text[squawk.idle[0].clone()].contains("ban-drop-table"));
    }
}
