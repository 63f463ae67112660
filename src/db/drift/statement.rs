//! A catalog line as the SQL that would say it. It is for reading: names are not quoted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::db::catalog::lines::Line;

/// Both sides of one object.
pub(crate) fn statements(made: Option<&Line>, found: Option<&Line>) -> (Vec<String>, Vec<String>) {
    if let (Some(made), Some(found)) = (made, found) {
        match made.kind.as_str() {
            "grant" | "default grant" => {
                let (a, b) = (items(&made.definition), items(&found.definition));
                return (grants(made, &a, &b), grants(found, &b, &a));
            }
            "column" => return (vec![altered(made)], vec![altered(found)]),
            "function" => {
                return (
                    body(&made.definition, &found.definition),
                    body(&found.definition, &made.definition),
                );
            }
            _ => {}
        }
    }
    let side = |line: Option<&Line>| line.map(statement).unwrap_or_default();
    (side(made), side(found))
}

fn statement(line: &Line) -> Vec<String> {
    let Line { kind, name, definition } = line;
    let (home, last) = name.rsplit_once('.').unwrap_or(("", name));
    let text = match kind.as_str() {
        "column" => format!("alter table {home} add column {last} {definition}"),
        "constraint" => format!("alter table {home} add constraint {last} {definition}"),
        "table" => table(name, definition),
        "view" => view(name, definition),
        "policy" => policy(home, last, definition),
        "index" | "function" => definition.clone(),
        "trigger" => trigger(home, definition),
        "type" => format!("create type {name} {definition}"),
        "grant" | "default grant" => {
            return grants(line, &items(definition), &BTreeMap::new());
        }
        _ => format!("create {kind} {name} {definition}"),
    };
    text.trim_end().lines().map(str::to_owned).collect()
}

/// `r p rls forced`.
fn table(name: &str, definition: &str) -> String {
    let mut words = definition.splitn(3, ' ');
    let (kind, persistence) = (words.next(), words.next());
    let rest = words.next().unwrap_or_default();
    let unlogged = if persistence == Some("u") { "unlogged " } else { "" };
    let foreign = if kind == Some("f") { "foreign " } else { "" };
    let mut text = format!("create {unlogged}{foreign}table {name}");
    for (word, says) in
        [("rls", "enable row level security"), ("forced", "force row level security")]
    {
        if rest.split(' ').any(|w| w == word) {
            text.push_str(&format!("\nalter table {name} {says}"));
        }
    }
    let partition = rest.trim_start_matches("rls").trim_start().trim_start_matches("forced");
    if !partition.trim().is_empty() {
        text = text.replacen(name, &format!("{name} partition {}", partition.trim()), 1);
    }
    text
}

/// `v security_invoker=true SELECT ...`.
fn view(name: &str, definition: &str) -> String {
    let (kind, rest) = definition.split_once(' ').unwrap_or((definition, ""));
    let materialized = if kind == "m" { "materialized " } else { "" };
    let at = [" SELECT", " WITH", " VALUES"]
        .iter()
        .filter_map(|word| format!(" {rest}").find(word))
        .min();
    let (options, query) = rest.split_at(at.unwrap_or(0));
    let options = options.trim();
    let with = if options.is_empty() { String::new() } else { format!(" with ({options})") };
    format!("create {materialized}view {name}{with} as\n{}", query.trim())
}

/// `r permissive anon,web using ... check ...`.
fn policy(table: &str, name: &str, definition: &str) -> String {
    let mut words = definition.splitn(4, ' ');
    let command = match words.next() {
        Some("r") => "select",
        Some("a") => "insert",
        Some("w") => "update",
        Some("d") => "delete",
        _ => "all",
    };
    let (mode, roles) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let rest = words.next().unwrap_or_default();
    let rest = rest.replacen("check ", "with check ", usize::from(!rest.contains(" with check ")));
    format!("create policy {name} on {table} as {mode} for {command} to {roles} {rest}")
}

/// `O CREATE TRIGGER ...`; another letter is a trigger that is off or for replicas.
fn trigger(table: &str, definition: &str) -> String {
    let (state, text) = definition.split_once(' ').unwrap_or(("", definition));
    let name = text.split_whitespace().nth(2).unwrap_or_default();
    match state {
        "D" => format!("{text}\nalter table {table} disable trigger {name}"),
        "R" => format!("{text}\nalter table {table} enable replica trigger {name}"),
        "A" => format!("{text}\nalter table {table} enable always trigger {name}"),
        _ => text.to_owned(),
    }
}

fn altered(line: &Line) -> String {
    let (table, column) = line.name.rsplit_once('.').unwrap_or(("", &line.name));
    format!("alter table {table} alter column {column} type {}", line.definition)
}

/// The head of a function and the lines that the other side does not have.
fn body(own: &str, other: &str) -> Vec<String> {
    let known: BTreeSet<&str> = other.lines().map(str::trim_end).collect();
    let head = own.lines().take(1);
    let rest = own.lines().skip(1).filter(|line| !known.contains(line.trim_end()));
    head.chain(rest).map(|line| line.trim_end().to_owned()).collect()
}

/// `anon=arwd/postgres,=U/postgres`: letters by who has them; an empty name is everybody.
fn items(definition: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for item in definition.split(',').filter(|item| !item.is_empty()) {
        let Some((role, rest)) = item.rsplit_once('=') else { continue };
        let letters = rest.split('/').next().unwrap_or_default();
        let mut pending: Option<char> = None;
        let words = found.entry(role.trim_matches('"').to_owned()).or_default();
        for letter in letters.chars().chain(std::iter::once(' ')) {
            if letter == '*' {
                words.extend(pending.take().map(|l| format!("{} with grant option", word(l))));
            } else {
                words.extend(pending.replace(letter).map(|l| word(l).to_owned()));
            }
        }
    }
    found
}

const fn word(letter: char) -> &'static str {
    match letter {
        'r' => "select",
        'w' => "update",
        'a' => "insert",
        'd' => "delete",
        'D' => "truncate",
        'x' => "references",
        't' => "trigger",
        'X' => "execute",
        'U' => "usage",
        'C' => "create",
        'c' => "connect",
        'T' => "temporary",
        _ => "another privilege",
    }
}

/// What `own` grants and `other` does not.
fn grants(
    line: &Line,
    own: &BTreeMap<String, BTreeSet<String>>,
    other: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let nothing = BTreeSet::new();
    let mut said = Vec::new();
    for (role, words) in own {
        let known = other.get(role).unwrap_or(&nothing);
        let more: Vec<&str> = words.difference(known).map(String::as_str).collect();
        if more.is_empty() {
            continue;
        }
        let role = if role.is_empty() { "public" } else { role };
        let words = more.join(", ");
        let mut names = line.name.splitn(3, ' ');
        let (first, second) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
        said.push(match (line.kind.as_str(), first) {
            ("grant", "relation") => format!("grant {words} on {} to {role}", after(&line.name)),
            ("grant", kind) => format!("grant {words} on {kind} {} to {role}", after(&line.name)),
            (_, owner) => format!(
                "alter default privileges for role {owner} in schema {second} grant {words} to {role}"
            ),
        });
    }
    said
}

/// The name behind the kind; functions have spaces in theirs.
fn after(name: &str) -> &str {
    name.split_once(' ').map_or(name, |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(kind: &str, name: &str, definition: &str) -> String {
        let line = Line { kind: kind.into(), name: name.into(), definition: definition.into() };
        statements(Some(&line), None).0.join(" ; ")
    }

    /// Kind, name, definition, and how they read.
    const CASES: &[(&str, &str, &str, &str)] = &[
        ("schema", "b", "", "create schema b"),
        ("extension", "vector", "", "create extension vector"),
        ("table", "public.a", "r p", "create table public.a"),
        (
            "table",
            "public.a",
            "r u rls",
            "create unlogged table public.a ; alter table public.a enable row level security",
        ),
        ("table", "public.a", "p p RANGE (day)", "create table public.a partition RANGE (day)"),
        (
            "column",
            "public.a.b",
            "text not null",
            "alter table public.a add column b text not null",
        ),
        (
            "constraint",
            "public.a.k",
            "CHECK ((b > 0))",
            "alter table public.a add constraint k CHECK ((b > 0))",
        ),
        (
            "index",
            "public.i",
            "CREATE INDEX i ON public.a USING btree (b)",
            "CREATE INDEX i ON public.a USING btree (b)",
        ),
        (
            "view",
            "public.v",
            "v security_invoker=true SELECT 1;",
            "create view public.v with (security_invoker=true) as ; SELECT 1;",
        ),
        ("view", "public.v", "m  SELECT 1;", "create materialized view public.v as ; SELECT 1;"),
        (
            "policy",
            "public.a.p",
            "r permissive web using (b = 1)",
            "create policy p on public.a as permissive for select to web using (b = 1)",
        ),
        (
            "policy",
            "public.a.p",
            "a restrictive public check true",
            "create policy p on public.a as restrictive for insert to public with check true",
        ),
        (
            "trigger",
            "public.a.t",
            "D CREATE TRIGGER t BEFORE",
            "CREATE TRIGGER t BEFORE ; alter table public.a disable trigger t",
        ),
        (
            "grant",
            "relation public.a",
            "web=ar*/x,=r/x",
            "grant select on public.a to public ; grant insert, select with grant option on public.a to web",
        ),
        (
            "grant",
            "function public.f(a integer, b text)",
            "web=X/x",
            "grant execute on function public.f(a integer, b text) to web",
        ),
        (
            "default grant",
            "postgres public r",
            "web=r/x",
            "alter default privileges for role postgres in schema public grant select to web",
        ),
    ];

    #[test]
    fn every_kind_reads_as_sql() {
        for (kind, name, definition, expected) in CASES {
            assert_eq!(said(kind, name, definition), *expected, "{kind} {definition}");
        }
    }

    #[test]
    fn only_what_differs_of_grants_and_bodies_is_said() {
        let line = |kind: &str, definition: &str| Line {
            kind: kind.into(),
            name: "relation public.a".into(),
            definition: definition.into(),
        };
        let (made, found) = (line("grant", "web=r/x,p=r/x"), line("grant", "web=rw/x,p=r/x"));
        let (a, b) = statements(Some(&made), Some(&found));
        assert_eq!((a, b), (vec![], vec!["grant update on public.a to web".to_owned()]));
        let (made, found) = (line("function", "f\n  a;\n  b;"), line("function", "f\n  a;\n  c;"));
        let (a, b) = statements(Some(&made), Some(&found));
        assert_eq!((a.join("|"), b.join("|")), ("f|  b;".to_owned(), "f|  c;".to_owned()));
    }
}
