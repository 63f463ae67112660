//! The release that adds a column to a table also takes one away, or makes the new one required:
//! the version that serves now still writes the old form.

use std::collections::BTreeSet;
use std::ops::Range;

use super::Release;
use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::statement::{Name, Statement};

/// A column that a release adds, or a step that takes the old form away.
struct Step {
    table: Name,
    column: String,
    file: usize,
    range: Range<usize>,
    what: What,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Adds,
    AddsWithDefault,
    Drops,
    Requires,
}

pub(super) fn hits(release: &Release<'_>) -> Vec<(usize, Hit)> {
    let mut created = BTreeSet::new();
    let mut steps = Vec::new();
    for (file, source) in release.new_files() {
        let script = Script::parse(&source.text);
        for statement in script.statements() {
            created.extend(statement.created_table().map(|(table, _)| table));
            steps.extend(steps_of(statement, file));
        }
    }
    let added = |step: &&Step| matches!(step.what, What::Adds | What::AddsWithDefault);
    let mut found = Vec::new();
    for step in steps.iter().filter(|s| !created.contains(&s.table)) {
        let beside: Vec<&Step> =
            steps.iter().filter(added).filter(|s| s.table == step.table).collect();
        let itself = beside.iter().find(|s| s.column == step.column);
        let text = match (step.what, itself, beside.first()) {
            (What::Drops, None, Some(other)) => {
                format!(
                    "drops {}.{} in the release that adds {}",
                    step.table.as_str(),
                    step.column,
                    other.column
                )
            }
            (What::Requires, Some(itself), _) if itself.what == What::Adds => {
                format!(
                    "requires {}.{} in the release that adds it",
                    step.table.as_str(),
                    step.column
                )
            }
            _ => continue,
        };
        found.push((step.file, Hit::new("contract-with-expand", step.range.clone(), text)));
    }
    found
}

fn steps_of(statement: Statement<'_>, file: usize) -> Vec<Step> {
    let Some((table, _)) = statement.altered_table() else { return Vec::new() };
    let step = |action: Range<usize>| {
        let (what, column) = change(statement, &action)?;
        let range = statement.range_of(action.start, action.end);
        Some(Step { table: table.clone(), column, file, range, what })
    };
    statement.actions().into_iter().filter_map(step).collect()
}

/// Words after `ADD` and `DROP` that name no column.
const NO_COLUMN: [&str; 9] = [
    "constraint",
    "primary",
    "unique",
    "check",
    "foreign",
    "exclude",
    "not",
    "default",
    "identity",
];

fn change(statement: Statement<'_>, action: &Range<usize>) -> Option<(What, String)> {
    let verb = action.start;
    if statement.is(verb, "alter") {
        let at = if statement.is(verb + 1, "column") { verb + 2 } else { verb + 1 };
        let requires = statement.phrase(at + 1, &["set", "not", "null"]);
        return requires.then(|| statement.identifier(at).map(|c| (What::Requires, c)))?;
    }
    let adds = statement.is(verb, "add");
    if !adds && !statement.is(verb, "drop") {
        return None;
    }
    if NO_COLUMN.iter().any(|word| statement.is(verb + 1, word)) {
        return None;
    }
    let at = if statement.is(verb + 1, "column") { verb + 2 } else { verb + 1 };
    let column = statement.identifier(statement.skip_noise(at))?;
    let defaulted = statement.find(at, &["default"]).is_some_and(|n| n < action.end);
    let what = match (adds, defaulted) {
        (false, _) => What::Drops,
        (true, false) => What::Adds,
        (true, true) => What::AddsWithDefault,
    };
    Some((what, column))
}
