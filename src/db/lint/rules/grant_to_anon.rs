//! A grant to `anon`: whoever knows the address of the project has it.

use std::collections::BTreeSet;

use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hit(statement: Statement<'_>, _created: &BTreeSet<Name>) -> Option<Hit> {
    let (what, roles) = granted(statement)?;
    let text = format!("grants {what} to anon, that is to everyone without a login");
    let fires = roles.iter().any(|role| role == "anon");
    fires.then(|| Hit::new("grant-to-anon", statement.range(), text))
}

/// What a `GRANT` gives, also as a default, and to whom. `USAGE` of a schema alone gives nothing.
pub(super) fn granted(statement: Statement<'_>) -> Option<(String, Vec<String>)> {
    let at = match () {
        () if statement.starts(&["grant"]) => 0,
        () if statement.starts(&["alter", "default", "privileges"]) => {
            statement.find(3, &["grant"])?
        }
        () => return None,
    };
    if statement.phrase(at, &["grant", "usage", "on", "schema"]) {
        return None;
    }
    // `GRANT role TO role` has no `ON`, and is another matter.
    let on = statement.find(at, &["on"])?;
    let to = statement.find(on, &["to"])?;
    let privileges: Vec<&str> = (at + 1..on).map(|n| statement.raw(n)).collect();
    let objects: Vec<&str> = (on + 1..to).map(|n| statement.raw(n)).collect();
    let what = format!("{} on {}", privileges.join(" "), objects.join(" "));
    let what = what.replace(" ,", ",").replace(" . ", ".").replace(" ( ", "(").replace(" )", ")");
    let mut roles = Vec::new();
    for n in to + 1..statement.len() {
        match statement.identifier(n) {
            Some(role) if role == "with" || role == "granted" => break,
            role => roles.extend(role),
        }
    }
    Some((what, roles))
}

#[cfg(test)]
mod tests {
    use crate::db::lint::rules::hits;
    use crate::db::sql::script::Script;

    #[test]
    fn who_gets_it_counts() {
        for (source, rule) in [
            ("grant select on table a to anon", Some("grant-to-anon")),
            (
                "GRANT ALL ON FUNCTION public.f(int) TO \"anon\", service_role",
                Some("grant-to-anon"),
            ),
            (
                "alter default privileges in schema public grant all on tables to anon",
                Some("grant-to-anon"),
            ),
            ("grant execute on function f() to public", Some("grant-to-public")),
            ("grant select on a to authenticated", None),
            ("grant usage on schema public to anon", None),
            ("grant anon to authenticator", None),
            ("revoke all on a from anon", None),
        ] {
            let hits = hits(&Script::parse(source));
            assert_eq!(hits.first().map(|h| h.rule), rule, "{source}");
        }
        let hits = hits(&Script::parse("grant select, insert on public.a to anon"));
        assert!(
            hits[0].message.starts_with("grants select, insert on public.a to anon"),
            "{hits:?}"
        );
    }
}
