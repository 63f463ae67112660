//! `DELETE` of every row of a table that holds some.

use std::collections::BTreeSet;

use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hit(statement: Statement<'_>, created: &BTreeSet<Name>) -> Option<Hit> {
    let at = statement.find(0, &["delete", "from"]).filter(|at| is_its_verb(statement, *at))?;
    let (table, _) = statement.name(statement.skip_noise(at + 2))?;
    if created.contains(&table) || narrows(statement, at) {
        return None;
    }
    let text = format!("deletes every row of {}", table.as_str());
    Some(Hit::new("delete-without-where", statement.range(), text))
}

/// Whether the verb at `at` is what the statement does: it is first, or follows a `WITH`.
pub(super) fn is_its_verb(statement: Statement<'_>, at: usize) -> bool {
    at == 0 || statement.starts(&["with"])
}

/// Whether a condition that is not always true follows.
pub(super) fn narrows(statement: Statement<'_>, from: usize) -> bool {
    let Some(at) = statement.find(from, &["where"]) else { return false };
    let end = statement.find(at, &["returning"]).unwrap_or(statement.len());
    !is_always_true(statement, at + 1, end)
}

/// Whether tokens `from..to` say `true` or `1 = 1`, in any number of brackets.
pub(super) fn is_always_true(statement: Statement<'_>, from: usize, to: usize) -> bool {
    let plain = |at: &usize| !statement.mark(*at, "(") && !statement.mark(*at, ")");
    let words: Vec<usize> = (from..to).filter(plain).collect();
    match words.as_slice() {
        [one] => statement.is(*one, "true"),
        [left, equals, right] => {
            statement.mark(*equals, "=")
                && statement.raw(*left) == statement.raw(*right)
                && statement.kind(*left) == Some(crate::db::sql::token::Kind::Number)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::db::lint::rules::hits;
    use crate::db::sql::script::Script;

    #[test]
    fn conditions_count_when_they_narrow() {
        for (source, fires) in [
            ("delete from a", true),
            ("delete from only public.a returning id", true),
            ("delete from a where true", true),
            ("delete from a where (1 = 1) returning id", true),
            ("with old as (select 1) delete from a", true),
            ("do $$ begin delete from a; end $$", true),
            ("delete from a where id = 1", false),
            ("delete from a using b where a.id = b.id", false),
            ("create table a (); delete from a", false),
            ("create trigger t after delete on a for each row execute function f()", false),
        ] {
            let fired =
                hits(&Script::parse(source)).iter().any(|h| h.rule == "delete-without-where");
            assert_eq!(fired, fires, "{source}");
        }
    }
}
