//! Every rule of the linter with its level and its page. The page holds the unsafe form and the safe
//! rewrite, and a test lints both.

use super::finding::Level;

/// One rule.
#[derive(Debug)]
pub(crate) struct RuleInfo {
    pub(crate) name: &'static str,
    pub(crate) level: Level,
    /// Markdown.
    pub(crate) page: &'static str,
}

impl RuleInfo {
    /// What to do, in one line.
    pub(crate) fn advice(&self) -> &'static str {
        let marked = self.page.lines().find_map(|line| line.strip_prefix("**Instead:** "));
        marked.unwrap_or_default().trim_end_matches('.')
    }
}

macro_rules! rules {
    ($($level:ident $name:literal,)*) => {
        /// In the order of the alphabet within each level.
        pub(crate) const ALL: &[RuleInfo] = &[$(RuleInfo {
            name: $name,
            level: Level::$level,
            page: include_str!(concat!("../../../docs/checks/sql/", $name, ".md")),
        },)*];
    };
}

rules! {
    Error "adding-field-with-default",
    Error "adding-foreign-key-constraint",
    Error "adding-not-nullable-field",
    Error "adding-required-field",
    Error "adding-serial-primary-key-field",
    Error "backfill-with-ddl",
    Error "ban-concurrent-index-creation-in-transaction",
    Error "ban-drop-column",
    Error "ban-drop-database",
    Error "ban-drop-schema",
    Error "ban-drop-table",
    Error "ban-drop-view",
    Error "ban-duplicate-column-assignments",
    Error "ban-set-schema",
    Error "ban-truncate-cascade",
    Error "ban-uncommitted-transaction",
    Error "changing-column-type",
    Error "constraint-missing-not-valid",
    Error "contract-with-expand",
    Error "copy-from-stdin",
    Error "delete-without-where",
    Error "destructive-in-do-block",
    Error "disable-row-level-security",
    Error "disallowed-unique-constraint",
    Error "drop-owned",
    Error "duplicate-version",
    Error "enum-value-used-at-once",
    Error "grant-to-anon",
    Error "grant-to-public",
    Error "must-be-alone",
    Error "out-of-order-version",
    Error "policy-widening",
    Error "psql-command",
    Error "renaming-column",
    Error "renaming-object",
    Error "renaming-table",
    Error "require-concurrent-index-creation",
    Error "require-concurrent-index-deletion",
    Error "require-concurrent-partition-detach",
    Error "require-concurrent-reindex",
    Error "security-definer-without-search-path",
    Error "syntax-error",
    Error "transaction-nesting",
    Error "truncate",
    Error "update-without-where",
    Error "waiver-expired",
    Error "waiver-invalid",
    Warning "ban-alter-domain-with-add-constraint",
    Warning "ban-alter-identity",
    Warning "ban-char-field",
    Warning "ban-create-domain-with-constraint",
    Warning "ban-drop-constraint",
    Warning "ban-drop-default",
    Warning "ban-drop-domain",
    Warning "ban-drop-extension",
    Warning "ban-drop-function",
    Warning "ban-drop-generated-expression",
    Warning "ban-drop-not-null",
    Warning "ban-drop-sequence",
    Warning "ban-drop-type",
    Warning "identifier-too-long",
    Warning "prefer-bigint-over-int",
    Warning "prefer-bigint-over-smallint",
    Warning "prefer-identity",
    Warning "prefer-repack",
    Warning "prefer-robust-stmts",
    Warning "prefer-text-field",
    Warning "prefer-timestamp-tz",
    Warning "require-enum-value-ordering",
    Warning "require-lock-timeout",
    Warning "require-statement-timeout",
    Warning "unused-ignore",
    Warning "waiver-unused",
}

pub(crate) fn find(name: &str) -> Option<&'static RuleInfo> {
    ALL.iter().find(|rule| rule.name == name)
}

/// The name as the catalogue holds it. squawk has no rule that is not in it: a test sees to that.
pub(crate) fn name(text: &str) -> &'static str {
    find(text).expect("a test compares the catalogue with squawk's rules").name
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::db::lint::finding::Findings;
    use crate::db::lint::lint_files;
    use crate::db::lint::rules::Release;
    use crate::db::sql::source::Source;

    #[test]
    fn every_default_rule_of_squawk_is_known() {
        for rule in squawk_linter::Linter::with_default_rules().rules {
            assert!(find(&rule.to_string()).is_some(), "{rule}");
        }
    }

    /// The page is the proof: its unsafe form fires the rule and its safe rewrite does not.
    #[test]
    fn pages_say_what_the_rules_do() {
        for rule in ALL {
            assert!(!rule.advice().is_empty(), "{} has no 'Instead' line", rule.name);
            for (mark, fires) in [("```sql unsafe\n", true), ("```sql safe\n", false)] {
                let blocks: Vec<&str> = rule
                    .page
                    .split(mark)
                    .skip(1)
                    .filter_map(|rest| rest.split("\n```").next())
                    .collect();
                assert!(!blocks.is_empty(), "{} has no block {mark}", rule.name);
                // This one speaks of Postgres 19, which is not the default.
                let fires = fires && rule.name != "prefer-repack";
                for block in blocks {
                    let found = lint_block(block);
                    let rules: Vec<&str> = found.findings.iter().map(|f| &*f.rule).collect();
                    assert_eq!(
                        rules.contains(&rule.name),
                        fires,
                        "{}: {rules:?}\n{block}",
                        rule.name
                    );
                    let known = fires || !rules.contains(&"syntax-error");
                    assert!(known, "{}: the safe form is no SQL\n{block}", rule.name);
                }
            }
        }
    }

    /// `-- file: NAME` begins another file, `-- applied: NAME` names one of an earlier release.
    fn lint_block(block: &str) -> Findings {
        let mut sources: Vec<(String, String)> =
            vec![("20260101000000_a.sql".into(), String::new())];
        let mut applied = BTreeMap::new();
        for line in block.split_inclusive('\n') {
            if let Some(name) = line.strip_prefix("-- file: ") {
                sources.push((name.trim().into(), String::new()));
            } else if let Some(name) = line.strip_prefix("-- applied: ") {
                let names: &mut BTreeSet<String> = applied.entry(".".to_owned()).or_default();
                names.insert(name.trim().to_owned());
            } else {
                sources.last_mut().unwrap().1.push_str(line);
            }
        }
        sources.retain(|(_, text)| !text.is_empty());
        let sources: Vec<Source> = sources
            .into_iter()
            .map(|(name, text)| Source::from_bytes(&name, text.into()))
            .collect();
        lint_files::lint(&Release { sources: &sources, applied }, "2026-06-01")
    }
}
