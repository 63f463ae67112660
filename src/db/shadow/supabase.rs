//! What a Supabase project has before its first migration.

use super::ports::{Database, SqlError};

/// What every file starts from: dumps leave settings and roles behind.
pub(super) const SETTINGS: &str = "reset session authorization; reset role; reset all; \
     set search_path to \"$user\", public, extensions;";

const BOOTSTRAP: &str = include_str!("bootstrap.sql");

/// Makes roles, schemas, auth, storage, realtime and default privileges in an empty database.
pub(crate) async fn bootstrap(database: &dyn Database) -> Result<(), SqlError> {
    database.run(BOOTSTRAP).await.map(drop)
}

/// What a database is made by.
pub(super) fn made_by() -> String {
    format!("{SETTINGS}{BOOTSTRAP}")
}
