//! Statements that Postgres refuses inside a transaction, in a file with others: a file is one
//! transaction, so they must be alone in theirs.

use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::statement::Statement;

pub(super) fn hits(script: &Script<'_>) -> Vec<Hit> {
    if script.statements().filter(|s| !is_setting(*s)).count() < 2 {
        return Vec::new();
    }
    let alone = script.statements().filter_map(|s| Some((s, refuses_transaction(s)?)));
    alone
        .map(|(statement, what)| {
            let text = format!("{what} cannot run in a transaction, and a file is one");
            Hit::new("must-be-alone", statement.range(), text)
        })
        .collect()
}

fn is_setting(statement: Statement<'_>) -> bool {
    statement.starts(&["set"]) || statement.starts(&["reset"])
}

/// What it is called, when Postgres runs it outside of transactions only.
pub(crate) fn refuses_transaction(statement: Statement<'_>) -> Option<&'static str> {
    let concurrently = || statement.has(&["concurrently"]);
    let makes_index =
        statement.starts(&["create", "index"]) || statement.starts(&["create", "unique", "index"]);
    match () {
        () if makes_index && concurrently() => Some("CREATE INDEX CONCURRENTLY"),
        () if statement.starts(&["drop", "index"]) && concurrently() => {
            Some("DROP INDEX CONCURRENTLY")
        }
        () if statement.starts(&["reindex"]) && concurrently() => Some("REINDEX CONCURRENTLY"),
        () if statement.starts(&["alter", "table"]) && statement.has(&["detach", "partition"]) => {
            concurrently().then_some("DETACH PARTITION CONCURRENTLY")
        }
        () if statement.starts(&["vacuum"]) => Some("VACUUM"),
        () if statement.starts(&["create", "database"]) => Some("CREATE DATABASE"),
        () if statement.starts(&["drop", "database"]) => Some("DROP DATABASE"),
        () if statement.starts(&["create", "tablespace"]) => Some("CREATE TABLESPACE"),
        () if statement.starts(&["alter", "system"]) => Some("ALTER SYSTEM"),
        () => None,
    }
}
