//! `TRUNCATE` of a table that the file did not create.

use std::collections::BTreeSet;

use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hit(statement: Statement<'_>, created: &BTreeSet<Name>) -> Option<Hit> {
    if !statement.starts(&["truncate"]) {
        return None;
    }
    let at = if statement.is(1, "table") { 2 } else { 1 };
    let (table, _) = statement.name(statement.skip_noise(at))?;
    if created.contains(&table) {
        return None;
    }
    let text = format!("empties {} at once, and nothing brings the rows back", table.as_str());
    Some(Hit::new("truncate", statement.range(), text))
}
