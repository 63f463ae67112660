//! What two schemas differ in. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::statement::statements;
use crate::db::catalog::lines::Line;

/// One object that is not the same on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Drifted {
    /// Stays the same from run to run, so that a baseline can hold it.
    pub(crate) key: String,
    pub(crate) kind: String,
    pub(crate) name: String,
    /// As the migrations make it, in SQL-like lines; empty where they do not make it.
    pub(crate) migrations: Vec<String>,
    /// As the target has it; empty where it does not.
    pub(crate) target: Vec<String>,
}

/// As the migrations make it, and as the target has it.
type Sides<'a> = (Option<&'a Line>, Option<&'a Line>);

/// Every difference, in the order of kinds and names.
pub(crate) fn differences(migrations: &[Line], target: &[Line]) -> Vec<Drifted> {
    let mut objects: BTreeMap<(&str, &str), Sides<'_>> = BTreeMap::new();
    for line in migrations {
        objects.entry((&line.kind, &line.name)).or_default().0 = Some(line);
    }
    for line in target {
        objects.entry((&line.kind, &line.name)).or_default().1 = Some(line);
    }
    let one_sided = |(made, found): &Sides<'_>| made.is_some() != found.is_some();
    let tables: BTreeSet<String> = objects
        .iter()
        .filter(|((kind, _), sides)| *kind == "table" && one_sided(sides))
        .map(|((_, name), _)| (*name).to_owned())
        .collect();
    let differing = objects.into_iter().filter(|((kind, name), (made, found))| {
        let differs = made.map(|l| &l.definition) != found.map(|l| &l.definition);
        differs && !owner(kind, name).is_some_and(|table| tables.contains(table))
    });
    let differing = differing.map(|((kind, name), (made, found))| {
        let (made, found) = statements(made, found);
        let key = format!("drift.{kind}:{name}");
        Drifted {
            key,
            kind: kind.to_owned(),
            name: name.to_owned(),
            migrations: made,
            target: found,
        }
    });
    differing.collect()
}

/// The table that something goes along with: a table that only one side has is one difference.
fn owner<'a>(kind: &str, name: &'a str) -> Option<&'a str> {
    match kind {
        "column" | "constraint" => name.rsplit_once('.').map(|(table, _)| table),
        "grant" => name.strip_prefix("relation "),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str, name: &str, definition: &str) -> Line {
        Line { kind: kind.into(), name: name.into(), definition: definition.into() }
    }

    #[test]
    fn both_ways_and_each_object_once() {
        let same = line("column", "public.a.id", "bigint not null");
        let made = [
            same.clone(),
            line("column", "public.a.b", "text"),
            line("policy", "public.a.own", "r permissive public using true"),
            line("table", "public.a", "r p rls"),
            line("table", "public.gone", "r p"),
            line("column", "public.gone.id", "integer"),
            line("grant", "relation public.gone", "postgres=r/postgres"),
        ];
        let found = [
            same,
            line("column", "public.a.b", "varchar"),
            line("table", "public.a", "r p rls"),
            line("function", "public.f()", "CREATE OR REPLACE FUNCTION public.f()"),
        ];
        let drifted = differences(&made, &found);
        let keys: Vec<&str> = drifted.iter().map(|d| d.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "drift.column:public.a.b",
                "drift.function:public.f()",
                "drift.policy:public.a.own",
                "drift.table:public.gone"
            ]
        );
        assert_eq!(drifted[0].migrations, ["alter table public.a alter column b type text"]);
        assert_eq!(drifted[0].target, ["alter table public.a alter column b type varchar"]);
        assert_eq!(drifted[2].target, [""; 0]);
        assert_eq!(differences(&made, &made), []);
    }
}
