//! What a file makes itself: nobody uses it yet, so what the same file does to it takes nothing away
//! and holds nobody up. What is not plainly so is taken for something that was there before.

use std::collections::BTreeSet;

use crate::db::sql::statement::{Name, Statement};

/// Of one file, statement by statement.
#[derive(Debug, Default)]
pub(super) struct Own {
    /// Tables and views.
    relations: BTreeSet<Name>,
    functions: BTreeSet<Name>,
    /// Names may mean anything from here on.
    lost: bool,
}

impl Own {
    /// Whether the statement makes something new, or is about nothing but what this file made.
    /// `known` says of a name, with `true` of a function's, whether it was there before.
    pub(super) fn covers(
        &mut self,
        statement: Statement<'_>,
        known: &dyn Fn(&Name, bool) -> bool,
    ) -> bool {
        let words = 0..statement.len();
        let says = |word: &str| words.clone().any(|at| statement.raw(at).contains(word));
        if statement.starts(&["set"]) || statement.starts(&["select"]) {
            self.lost |= says("search_path");
        }
        if self.lost || says("references") || says("REFERENCES") {
            return false;
        }
        if statement.starts(&["create", "function"]) || statement.starts(&["create", "view"]) {
            let is_function = statement.is(1, "function");
            let Some((name, _)) = statement.name(2) else { return false };
            return self.makes(name, is_function, known);
        }
        if statement.starts(&["create", "table"]) && !statement.is(2, "if") {
            let others = ["like", "inherits", "partition", "as"];
            let Some((name, _)) = statement.created_table() else { return false };
            let alone = !words.clone().any(|at| others.iter().any(|word| statement.is(at, word)));
            return self.makes(name, false, known) && alone;
        }
        self.names_own(statement)
    }

    fn makes(&mut self, name: Name, function: bool, known: &dyn Fn(&Name, bool) -> bool) -> bool {
        if known(&name, function) {
            return false;
        }
        let made = if function { &mut self.functions } else { &mut self.relations };
        made.insert(name);
        true
    }

    fn names_own(&self, statement: Statement<'_>) -> bool {
        if let Some((table, _)) = statement.altered_table() {
            return self.relations.contains(&table);
        }
        let on = |words: &[&str]| {
            let at = statement.starts(words).then(|| statement.find(words.len(), &["on"]))??;
            Some(statement.name(statement.skip_noise(at + 1))?.0)
        };
        for words in [&["create", "index"][..], &["create", "unique"], &["create", "policy"]] {
            if let Some(table) = on(words) {
                return self.relations.contains(&table);
            }
        }
        statement.starts(&["grant"]) && self.is_granted(statement)
            || statement.starts(&["revoke"]) && self.is_granted(statement)
    }

    /// One table or one function, and nothing else.
    fn is_granted(&self, statement: Statement<'_>) -> bool {
        let Some(on) = statement.find(1, &["on"]) else { return false };
        let function = statement.is(on + 1, "function");
        let first = on + 1 + usize::from(function || statement.is(on + 1, "table"));
        let Some((name, mut next)) = statement.name(first) else { return false };
        if statement.mark(next, "(") {
            next = statement.after_bracket(next);
        }
        let alone = statement.is(next, "to") || statement.is(next, "from");
        alone && if function { &self.functions } else { &self.relations }.contains(&name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::sql::script::Script;

    /// `was`, `public.was_too` and the function `old` were there before.
    fn known(name: &Name, function: bool) -> bool {
        if function { name.as_str() == "old" } else { name.as_str().starts_with("was") }
    }

    #[test]
    fn only_what_is_plainly_new_is_own() {
        let made = "create table a (id int); create function f(int) returns int as $$ $$; ";
        for (text, own) in [
            ("alter table public.a enable row level security", true),
            ("alter table only a enable row level security", true),
            ("alter table was enable row level security", false),
            ("alter table a add foreign key (id) references was (id)", false),
            ("create policy \"on\" on a for select using (true)", true),
            ("create policy p on was for select using (true)", false),
            ("create unique index i on a (id)", true),
            ("create index on was (id)", false),
            ("grant select, insert on table a to anon", true),
            ("grant select on a, was to anon", false),
            ("grant all on all tables in schema public to anon", false),
            ("revoke execute on function f(int) from public, anon", true),
            ("grant execute on function old(text) to anon", false),
            ("grant select on f to anon", false),
            ("create or replace function f(int) returns int as $$ $$", false),
            ("create function old(int) returns int as $$ $$", false),
            ("create view v as select 1", true),
            ("create view was_too as select 1", false),
            ("create table if not exists b (id int)", false),
            ("create table b (id int references was)", false),
            ("create table b (like was)", false),
            ("do $$ begin end $$", false),
            ("drop table a", false),
            ("set search_path = shop; alter table a enable row level security", false),
            ("select set_config('search_path', '', false); grant select on a to anon", false),
        ] {
            let script = [made, text].concat();
            let mut file = Own::default();
            let covered =
                Script::parse(&script).statements().map(|s| file.covers(s, &known)).last();
            assert_eq!(covered, Some(own), "{text}");
        }
    }
}
