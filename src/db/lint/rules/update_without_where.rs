//! `UPDATE` of every row of a table that holds some.

use std::collections::BTreeSet;

use super::delete_without_where::{is_its_verb, narrows};
use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hit(statement: Statement<'_>, created: &BTreeSet<Name>) -> Option<Hit> {
    let at = statement.find(0, &["update"]).filter(|at| is_its_verb(statement, *at))?;
    let (table, after) = statement.name(statement.skip_noise(at + 1))?;
    statement.find(after, &["set"])?;
    if created.contains(&table) || narrows(statement, at) {
        return None;
    }
    let text = format!("rewrites every row of {} in one transaction", table.as_str());
    Some(Hit::new("update-without-where", statement.range(), text))
}

#[cfg(test)]
mod tests {
    use crate::db::lint::rules::hits;
    use crate::db::sql::script::Script;

    #[test]
    fn every_row_is_named() {
        for (source, fires) in [
            ("update a set b = 1", true),
            ("update a set b = (select 1 from c where true)", true),
            ("update a set b = 1 where b is null", false),
            ("insert into a values (1) on conflict (a) do update set b = 1", false),
            ("select * from a for update", false),
            ("create policy p on a for update using (b)", false),
        ] {
            let fired =
                hits(&Script::parse(source)).iter().any(|h| h.rule == "update-without-where");
            assert_eq!(fired, fires, "{source}");
        }
    }
}
