//! Doors that stand open in a schema, found by statements of our own.

use crate::db::lint::finding::Level;
use crate::db::shadow::finding::ShadowFinding;
use crate::db::shadow::ports::{Database, SqlError};

const LINTS: &str = include_str!("lints.sql");

/// The ids that the statements use, so that findings carry static ones.
pub(crate) const IDS: [&str; 24] = [
    "rls.disabled-in-public",
    "rls.policy-without-rls",
    "rls.enabled-without-policy",
    "rls.security-definer-view",
    "rls.materialized-view-in-api",
    "rls.foreign-table-in-api",
    "rls.auth-users-exposed",
    "rls.user-metadata",
    "rls.policy-always-true",
    "rls.null-user",
    "rls.sensitive-columns",
    "rls.initplan",
    "function.search-path",
    "function.definer-for-anon",
    "schema.foreign-key-to-auth",
    "schema.unindexed-foreign-key",
    "function.definer-for-users",
    "rls.queue-in-api",
    "rls.bucket-listing",
    "rls.policies-of-one-role",
    "schema.no-primary-key",
    "schema.duplicate-index",
    "schema.extension-in-api",
    "schema.column-type",
];

/// What stands open now.
pub(crate) async fn lints(database: &dyn Database) -> Result<Vec<ShadowFinding>, SqlError> {
    database.run("set search_path = ''").await?;
    let rows = database.run(LINTS).await?;
    let findings = rows.into_iter().filter_map(|row| {
        let mut cells = row.into_iter().map(Option::unwrap_or_default);
        let (id, level) = (cells.next()?, cells.next()?);
        let (subject, message) = (cells.next()?, cells.next()?);
        let id = IDS.into_iter().find(|known| *known == id)?;
        let level = if level == "error" { Level::Error } else { Level::Warning };
        Some(ShadowFinding::new(id, &subject, level, message))
    });
    Ok(findings.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id that is missing in the list would be lost without a word.
    #[test]
    fn every_id_of_the_statements_is_known() {
        let named: Vec<&str> = LINTS
            .split("select '")
            .skip(1)
            .filter_map(|rest| rest.split('\'').next())
            .filter(|id| id.contains('.'))
            .collect();
        assert_eq!(named.len(), IDS.len());
        assert!(named.iter().all(|id| IDS.contains(id)), "{named:?}");
    }
}
