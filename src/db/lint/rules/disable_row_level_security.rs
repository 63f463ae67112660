//! `DISABLE ROW LEVEL SECURITY`, and `NO FORCE`: every policy of the table stops holding.

use std::collections::BTreeSet;

use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

const DISABLE: [&str; 4] = ["disable", "row", "level", "security"];
const NO_FORCE: [&str; 5] = ["no", "force", "row", "level", "security"];

pub(super) fn hit(statement: Statement<'_>, created: &BTreeSet<Name>) -> Option<Hit> {
    let (table, _) = statement.altered_table()?;
    let action = statement
        .actions()
        .into_iter()
        .find(|a| statement.phrase(a.start, &DISABLE) || statement.phrase(a.start, &NO_FORCE))?;
    if created.contains(&table) && statement.phrase(action.start, &NO_FORCE) {
        return None;
    }
    let text = format!("the policies of {} no longer protect its rows", table.as_str());
    let range = statement.range_of(action.start, action.end);
    Some(Hit::new("disable-row-level-security", range, text))
}
