//! Which rules there are, and what each is shown.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    backfill_with_ddl, contract_with_expand, copy_from_stdin, delete_without_where,
    destructive_in_do_block, disable_row_level_security, drop_owned, duplicate_version,
    enum_value_used_at_once, grant_to_anon, grant_to_public, must_be_alone, out_of_order_version,
    policy_widening, psql_command, security_definer_without_search_path, truncate,
    update_without_where,
};
use crate::db::lint::finding::Hit;
use crate::db::sql::script::Script;
use crate::db::sql::source::Source;
use crate::db::sql::statement::{Name, Statement, inside_do};

/// A rule that looks at one statement, knowing the tables that its file has created so far.
type OfStatement = fn(Statement<'_>, &BTreeSet<Name>) -> Option<Hit>;

const OF_STATEMENT: [OfStatement; 8] = [
    delete_without_where::hit,
    update_without_where::hit,
    truncate::hit,
    drop_owned::hit,
    disable_row_level_security::hit,
    policy_widening::hit,
    grant_to_anon::hit,
    grant_to_public::hit,
];

type OfFile = fn(&Script<'_>) -> Vec<Hit>;

const OF_FILE: [OfFile; 7] = [
    security_definer_without_search_path::hits,
    destructive_in_do_block::hits,
    backfill_with_ddl::hits,
    must_be_alone::hits,
    enum_value_used_at_once::hits,
    psql_command::hits,
    copy_from_stdin::hits,
];

/// What one file breaks.
pub(crate) fn hits(script: &Script<'_>) -> Vec<Hit> {
    let mut created = BTreeSet::new();
    let mut found = Vec::new();
    for statement in script.statements() {
        let mut show = |s: Statement<'_>| {
            found.extend(OF_STATEMENT.iter().filter_map(|rule| rule(s, &created)));
        };
        show(statement);
        inside_do(statement, &mut show);
        created.extend(statement.created_table().map(|(table, _)| table));
    }
    found.extend(OF_FILE.iter().flat_map(|rule| rule(script)));
    found
}

/// Files that are linted together, and the names of those that an earlier release has in their
/// folders; a file that is among them is old.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    pub(crate) sources: &'a [Source],
    /// By folder as users wrote it; empty when nobody named an earlier release.
    pub(crate) applied: BTreeMap<String, BTreeSet<String>>,
}

impl Release<'_> {
    /// Files that no earlier release has, with their places in `sources`.
    pub(super) fn new_files(&self) -> impl Iterator<Item = (usize, &Source)> {
        self.sources.iter().enumerate().filter(|(_, source)| {
            let (folder, name) = folder_and_name(&source.path);
            !self.applied.get(folder).is_some_and(|names| names.contains(name))
        })
    }
}

/// `a/b.sql` is `a` and `b.sql`.
pub(super) fn folder_and_name(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or((".", path))
}

/// What the files break together: the hits of each, in the order of the files.
pub(crate) fn spanning(release: &Release<'_>) -> Vec<Vec<Hit>> {
    let mut found = vec![Vec::new(); release.sources.len()];
    for rule in [contract_with_expand::hits, out_of_order_version::hits, duplicate_version::hits] {
        for (at, hit) in rule(release) {
            found[at].push(hit);
        }
    }
    found
}
