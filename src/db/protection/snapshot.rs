//! What guards rows at one moment.

use std::collections::BTreeMap;

use crate::db::shadow::ports::{Database, SqlError};

const FACTS: &str = include_str!("snapshot.sql");

/// A fact's subject: kind, name, attribute.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) attribute: String,
}

/// Facts by subject.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Snapshot(pub(crate) BTreeMap<Subject, String>);

impl Snapshot {
    /// Reads the catalogs. The path is emptied while expressions are printed.
    pub(crate) async fn read(database: &dyn Database) -> Result<Self, SqlError> {
        database.run("set search_path = ''").await?;
        let rows = database.run(FACTS).await?;
        let facts = rows.into_iter().filter_map(|row| {
            let mut cells = row.into_iter();
            let mut next = || cells.next().flatten();
            let subject = Subject { kind: next()?, name: next()?, attribute: next()? };
            Some((subject, next().unwrap_or_default()))
        });
        Ok(Self(facts.collect()))
    }

    pub(crate) fn has(&self, kind: &str, name: &str) -> bool {
        self.0.keys().any(|s| s.kind == kind && s.name == name)
    }

    /// What is known after `later`: objects that are gone stay as they were, so that one which
    /// comes back is compared with what it was.
    pub(crate) fn remember(&mut self, later: &Self) {
        self.0.extend(later.0.iter().map(|(subject, value)| (subject.clone(), value.clone())));
    }
}
