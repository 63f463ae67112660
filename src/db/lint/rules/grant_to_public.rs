//! A grant to `PUBLIC`: every role has it, those to come too.

use std::collections::BTreeSet;

use super::grant_to_anon::granted;
use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hit(statement: Statement<'_>, _created: &BTreeSet<Name>) -> Option<Hit> {
    let (what, roles) = granted(statement)?;
    let text = format!("grants {what} to PUBLIC, that is to every role, those to come too");
    let fires = roles.iter().any(|role| role == "public");
    fires.then(|| Hit::new("grant-to-public", statement.range(), text))
}
