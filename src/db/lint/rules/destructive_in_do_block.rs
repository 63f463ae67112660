//! `DROP TABLE`, `DROP SCHEMA` and `DROP COLUMN` inside a `DO` block, where squawk does not look.

use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::statement::{Statement, inside_do};

pub(super) fn hits(script: &Script<'_>) -> Vec<Hit> {
    let mut found = Vec::new();
    for statement in script.statements() {
        inside_do(statement, &mut |inner| {
            let Some(what) = destroys(inner) else { return };
            let text = format!("a DO block drops a {what}");
            found.push(Hit::new("destructive-in-do-block", inner.range(), text));
        });
    }
    found
}

fn destroys(statement: Statement<'_>) -> Option<&'static str> {
    let drops_column = |at: usize| {
        let named = at + 1 < statement.len();
        let others = ["constraint", "default", "not", "expression", "identity"];
        statement.is(at, "drop") && named && !others.iter().any(|word| statement.is(at + 1, word))
    };
    match () {
        () if statement.starts(&["drop", "table"]) => Some("table"),
        () if statement.starts(&["drop", "schema"]) => Some("schema"),
        () if statement.actions().iter().any(|a| drops_column(a.start)) => Some("column"),
        () => None,
    }
}
