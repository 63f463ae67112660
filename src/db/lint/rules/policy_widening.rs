//! Policies that let everyone through: `true` for writes, and an `ALTER POLICY` to `true` or to more
//! roles. `SELECT ... USING (true)` is how public data is written, so it is left alone.

use std::collections::BTreeSet;

use super::delete_without_where::is_always_true;
use crate::db::lint::finding::Hit;
use crate::db::sql::statement::{Name, Statement};

pub(super) fn hit(statement: Statement<'_>, _created: &BTreeSet<Name>) -> Option<Hit> {
    let creates = statement.starts(&["create", "policy"]);
    if !creates && !statement.starts(&["alter", "policy"]) {
        return None;
    }
    let (_, after) = statement.name(2)?;
    let (table, after) = statement.name(after + 1)?;
    let text = if creates { created(statement, after)? } else { altered(statement, after)? };
    let text = format!("{text} on {}", table.as_str());
    Some(Hit::new("policy-widening", statement.range(), text))
}

fn created(statement: Statement<'_>, from: usize) -> Option<String> {
    if statement.find(from, &["as", "restrictive"]).is_some()
        || !is_open_to_clients(statement, from)
    {
        return None;
    }
    let at = statement.find(from, &["for"]);
    let command = at.and_then(|at| statement.identifier(at + 1)).unwrap_or("all".into());
    let writes = match command.as_str() {
        "select" => return None,
        "insert" => always(statement, from, &["with", "check"]),
        _ => {
            let check = statement.find(from, &["with", "check"]).is_some();
            always(statement, from, &["with", "check"])
                || (always(statement, from, &["using"]) && !(check && command == "update"))
        }
    };
    writes.then(|| format!("lets every caller of these roles {command}"))
}

fn altered(statement: Statement<'_>, from: usize) -> Option<String> {
    let opens = always(statement, from, &["using"]) || always(statement, from, &["with", "check"]);
    if opens {
        return Some("the changed policy lets every row through".to_owned());
    }
    let to = statement.find(from, &["to"])?;
    let grown = roles(statement, to).into_iter().find(|r| r == "anon" || r == "public")?;
    Some(format!("the changed policy now holds for {grown}"))
}

/// Whether the clause after `words` is always true.
fn always(statement: Statement<'_>, from: usize, words: &[&str]) -> bool {
    let Some(at) = statement.find(from, words) else { return false };
    let open = at + words.len();
    is_always_true(statement, open, statement.after_bracket(open))
}

/// Without `TO` a policy holds for everyone.
fn is_open_to_clients(statement: Statement<'_>, from: usize) -> bool {
    let Some(to) = statement.find(from, &["to"]) else { return true };
    let clients = ["anon", "authenticated", "public"];
    roles(statement, to).iter().any(|role| clients.contains(&role.as_str()))
}

/// The roles after `TO` at `to`.
fn roles(statement: Statement<'_>, to: usize) -> Vec<String> {
    let mut at = to + 1;
    let mut found = Vec::new();
    while let Some(role) = statement.identifier(at) {
        found.push(role);
        if !statement.mark(at + 1, ",") {
            break;
        }
        at += 2;
    }
    found
}

#[cfg(test)]
mod tests {
    use crate::db::lint::rules::hits;
    use crate::db::sql::script::Script;

    #[test]
    fn direction_counts() {
        for (source, fires) in [
            ("create policy p on a using (true)", true),
            ("create policy \"All can\" on public.a for insert to anon with check (true)", true),
            (
                "create policy p on a for update to authenticated using (true) with check ((true))",
                true,
            ),
            ("create policy p on a for delete to authenticated using (1 = 1)", true),
            ("alter policy p on a using (true)", true),
            ("alter policy p on a to authenticated, anon", true),
            ("create policy p on a for select using (true)", false),
            ("create policy p on a for all to service_role using (true)", false),
            ("create policy p on a as restrictive using (true)", false),
            ("create policy p on a for update using (true) with check (owner = auth.uid())", false),
            ("create policy p on a for insert with check (auth.uid() = owner)", false),
            ("alter policy p on a using (auth.uid() = owner)", false),
            ("alter policy p on a rename to q", false),
            ("alter table a enable row level security", false),
        ] {
            let fired = hits(&Script::parse(source)).iter().any(|h| h.rule == "policy-widening");
            assert_eq!(fired, fires, "{source}");
        }
    }
}
