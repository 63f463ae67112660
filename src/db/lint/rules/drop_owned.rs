//! `DROP OWNED` removes whatever a role happens to own, and its grants.

use std::collections::BTreeSet;

use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hit(statement: Statement<'_>, _created: &BTreeSet<Name>) -> Option<Hit> {
    let text = "drops everything the role owns, whatever that is on the target";
    let fires = statement.starts(&["drop", "owned"]);
    fires.then(|| Hit::new("drop-owned", statement.range(), text))
}
