//! A value added to an enum and used before the transaction ends: Postgres refuses it (55P04).

use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::statement::Statement;
use crate::db::sql::token::Kind;

pub(super) fn hits(script: &Script<'_>) -> Vec<Hit> {
    let statements: Vec<Statement<'_>> = script.statements().collect();
    let mut found = Vec::new();
    for (at, statement) in statements.iter().enumerate() {
        let Some(value) = added_value(*statement) else { continue };
        let mut later = statements[at + 1..].iter().filter(|s| added_value(**s).is_none());
        let used = later.find(|s| uses(**s, value));
        found.extend(used.map(|s| {
            let text = format!("{value} was added in this transaction and cannot be used in it");
            Hit::new("enum-value-used-at-once", s.range(), text)
        }));
    }
    found
}

fn added_value(statement: Statement<'_>) -> Option<&str> {
    let at =
        statement.find(2, &["add", "value"]).filter(|_| statement.starts(&["alter", "type"]))?;
    let at = statement.skip_noise(at + 2);
    (statement.kind(at) == Some(Kind::Text)).then(|| statement.raw(at))
}

/// Outside of function bodies, which are read when they are called.
fn uses(statement: Statement<'_>, value: &str) -> bool {
    (0..statement.len()).any(|n| statement.raw(n) == value)
        || statement.starts(&["do"]) && statement.body().is_some_and(|(b, _)| b.contains(value))
}
