//! What a restore brought back against what was there. Pure.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use super::facts::{Facts, Sequence};

/// The role that a throwaway cluster has anyway: it may everything there.
const OWNER: &str = "postgres";

/// One table, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ComparedTable {
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// Absent when the table did not come back.
    pub(crate) restored_rows: Option<u64>,
    /// Whether count and checksum are the same.
    pub(crate) equal: bool,
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub(crate) struct Difference {
    /// `policy`, `constraint`, `grant`, `sequence`, `role`, ...
    pub(crate) kind: String,
    pub(crate) name: String,
    /// Absent where it was not there.
    pub(crate) before: Option<String>,
    /// Absent where it is not there.
    pub(crate) after: Option<String>,
}

/// Table by table, in the order of the source.
pub(crate) fn compare_tables(source: &Facts, restored: &Facts) -> Vec<ComparedTable> {
    let found: BTreeMap<_, _> = restored.tables.iter().map(|t| (&t.name, t)).collect();
    let tables = source.tables.iter().map(|table| {
        let back = found.get(&table.name);
        ComparedTable {
            name: table.name.clone(),
            rows: table.rows,
            restored_rows: back.map(|t| t.rows),
            equal: back.is_some_and(|t| *t == table),
        }
    });
    tables.collect()
}

/// Everything else. What `stand_ins` brought is not counted as new.
pub(crate) fn differences(
    source: &Facts,
    restored: &Facts,
    stand_ins: &BTreeSet<(String, String)>,
) -> Vec<Difference> {
    let mut found = Vec::new();
    let catalog = |facts: &Facts| -> BTreeMap<(String, String), String> {
        let lines = facts.catalog.iter();
        lines.map(|l| ((l.kind.clone(), l.name.clone()), l.definition.clone())).collect()
    };
    let (before, mut after) = (catalog(source), catalog(restored));
    after.retain(|key, _| before.contains_key(key) || !stand_ins.contains(key));
    found.extend(between(&before, &after));
    found.extend(between(&roles(source), &roles(restored)));
    found.extend(sequences(&source.sequences, &restored.sequences));
    if source.large_objects != restored.large_objects {
        found.push(Difference {
            kind: "large objects".to_owned(),
            name: "count".to_owned(),
            before: Some(source.large_objects.to_string()),
            after: Some(restored.large_objects.to_string()),
        });
    }
    found
}

/// What two maps of (kind, name) differ in.
pub(crate) fn between(
    before: &BTreeMap<(String, String), String>,
    after: &BTreeMap<(String, String), String>,
) -> Vec<Difference> {
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
    let differing = differing.map(|key| Difference {
        kind: key.0.clone(),
        name: key.1.clone(),
        before: before.get(key).cloned(),
        after: after.get(key).cloned(),
    });
    differing.collect()
}

fn roles(facts: &Facts) -> BTreeMap<(String, String), String> {
    let roles = facts.roles.iter().filter(|role| role.name != OWNER);
    let roles = roles.map(|role| (("role".to_owned(), role.name.clone()), role.attributes.clone()));
    let members = facts
        .memberships
        .iter()
        .map(|m| (("member".to_owned(), format!("{} of {}", m.member, m.of)), String::new()));
    roles.chain(members).collect()
}

/// A sequence runs ahead while a dump is taken: it may come back greater, never smaller, and never
/// behind its column where it was not.
fn sequences(before: &[Sequence], after: &[Sequence]) -> Vec<Difference> {
    let found: BTreeMap<_, _> = after.iter().map(|s| (&s.name, s)).collect();
    let differing = before.iter().filter_map(|was| {
        let is = found.get(&was.name).copied();
        let holds = is.is_some_and(|is| is.last >= was.last && (was.behind || !is.behind));
        let text = |s: &Sequence| {
            let last = s.last.map_or("never asked".to_owned(), |last| last.to_string());
            if s.behind { format!("{last}, behind its column") } else { last }
        };
        let name = was.name.clone();
        (!holds).then(|| Difference {
            kind: "sequence value".to_owned(),
            name,
            before: Some(text(was)),
            after: is.map(text),
        })
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::backup::facts::{Membership, Role, Table};
    use crate::db::catalog::lines::Line;

    fn line(kind: &str, name: &str, definition: &str) -> Line {
        Line { kind: kind.into(), name: name.into(), definition: definition.into() }
    }

    type Change = fn(&mut Facts);

    fn facts() -> Facts {
        Facts {
            tables: vec![Table { name: "public.a".into(), rows: 2, checksum: "9".into() }],
            sequences: vec![Sequence { name: "public.s".into(), last: Some(7), behind: false }],
            large_objects: 0,
            roles: vec![Role { name: "anon".into(), attributes: "nologin".into() }],
            memberships: vec![Membership { member: "web".into(), of: "anon".into() }],
            extensions: vec![],
            catalog: vec![line("policy", "public.a.own", "r permissive")],
        }
    }

    #[test]
    fn each_loss_is_one_difference() {
        let same = differences(&facts(), &facts(), &BTreeSet::new());
        assert_eq!(same, []);
        let cases: [(&str, Change); 8] = [
            ("policy", |f| f.catalog.clear()),
            ("policy", |f| f.catalog[0].definition = "r restrictive".into()),
            ("trigger", |f| f.catalog.push(line("trigger", "public.a.t", "O"))),
            ("role", |f| f.roles[0].attributes = "login".into()),
            ("member", |f| f.memberships.clear()),
            ("sequence value", |f| f.sequences[0].last = Some(6)),
            ("sequence value", |f| f.sequences[0].behind = true),
            ("large objects", |f| f.large_objects = 1),
        ];
        for (kind, change) in cases {
            let mut restored = facts();
            change(&mut restored);
            let found = differences(&facts(), &restored, &BTreeSet::new());
            assert_eq!(found.iter().map(|d| d.kind.as_str()).collect::<Vec<_>>(), [kind]);
        }
        let mut ahead = facts();
        ahead.sequences[0].last = Some(8);
        ahead.catalog.push(line("function", "net.http_get()", "stand-in"));
        let stand_ins = BTreeSet::from([("function".to_owned(), "net.http_get()".to_owned())]);
        assert_eq!(differences(&facts(), &ahead, &stand_ins), []);
    }

    #[test]
    fn a_table_is_equal_by_count_and_checksum() {
        let mut restored = facts();
        assert!(compare_tables(&facts(), &restored)[0].equal);
        restored.tables[0].checksum = "8".into();
        assert!(!compare_tables(&facts(), &restored)[0].equal);
        restored.tables.clear();
        let compared = compare_tables(&facts(), &restored);
        assert_eq!((compared[0].equal, compared[0].restored_rows), (false, None));
    }
}
