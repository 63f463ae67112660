//! Rows changed in the transaction that changes the schema: the locks of the one are held for the
//! time of the other.

use std::collections::BTreeSet;

use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hits(script: &Script<'_>) -> Vec<Hit> {
    let created: BTreeSet<Name> =
        script.statements().filter_map(Statement::created_table).map(|(table, _)| table).collect();
    let altered: BTreeSet<Name> = script
        .statements()
        .filter_map(altered_table)
        .filter(|table| !created.contains(table))
        .collect();
    let mut found = Vec::new();
    for statement in script.statements() {
        let Some(table) = filled_table(statement) else { continue };
        if created.contains(&table) || altered.is_empty() {
            continue;
        }
        let locked = if altered.contains(&table) {
            table.as_str()
        } else {
            altered.first().map_or("", Name::as_str)
        };
        let text = format!(
            "rows of {} change in the file that alters {locked}: its lock is held meanwhile",
            table.as_str()
        );
        found.push(Hit::new("backfill-with-ddl", statement.range(), text));
    }
    found
}

/// Tables whose change takes a strong lock; what row security and comments take is short.
fn altered_table(statement: Statement<'_>) -> Option<Name> {
    if let Some((table, _)) = statement.altered_table() {
        let slight = |at: usize| {
            ["enable", "disable", "force", "no", "owner", "validate"]
                .iter()
                .any(|word| statement.is(at, word))
        };
        let strong = statement.actions().iter().any(|action| !slight(action.start));
        return strong.then_some(table);
    }
    let is_index =
        statement.starts(&["create", "index"]) || statement.starts(&["create", "unique", "index"]);
    let on = statement.find(0, &["on"]).filter(|_| is_index)?;
    statement.name(statement.skip_noise(on + 1)).map(|(table, _)| table)
}

/// The table whose rows an `UPDATE`, `DELETE` or `INSERT ... SELECT` changes.
fn filled_table(statement: Statement<'_>) -> Option<Name> {
    let at = match () {
        () if statement.starts(&["update"]) => 1,
        () if statement.starts(&["delete", "from"]) => 2,
        () if statement.starts(&["insert", "into"]) && reads_a_table(statement) => 2,
        () => return None,
    };
    statement.name(statement.skip_noise(at)).map(|(table, _)| table)
}

fn reads_a_table(statement: Statement<'_>) -> bool {
    statement.find(0, &["select"]).is_some_and(|at| statement.find(at, &["from"]).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_does_one_or_the_other() {
        for (source, fires) in [
            ("alter table a add b int; update a set b = 1 where b is null", true),
            ("update c set b = 1 where id = 2; create index i on a (b)", true),
            ("alter table a add b int; insert into c select id from a", true),
            ("update a set b = 1 where id = 2", false),
            ("create table a (b int); alter table a add c int; update a set c = 1", false),
            ("alter table a enable row level security; update c set b = 1 where id = 1", false),
            ("alter table a add b int; insert into c values (1)", false),
        ] {
            assert_eq!(!hits(&Script::parse(source)).is_empty(), fires, "{source}");
        }
    }
}
