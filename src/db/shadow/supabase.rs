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

/// Whether this is the database of a Supabase project.
const IS_SUPABASE: &str = "select to_regclass('auth.users') is not null \
     and to_regclass('storage.objects') is not null and to_regrole('authenticated') is not null";
const EMPTIED: &str = include_str!("emptied.sql");
const LEFT: &str = include_str!("left.sql");

/// Takes away everything but what Supabase itself has; for a branch that was made for it, and for no
/// other database: one that has users is left as it is. Answers what is in the way of the first
/// migration.
pub(crate) async fn empty(database: &dyn Database) -> Result<Option<String>, SqlError> {
    let is_supabase = database.run(IS_SUPABASE).await?.into_iter().flatten().flatten().next();
    if is_supabase.as_deref() != Some("t") {
        return Ok(Some("it is not the database of a Supabase project".to_owned()));
    }
    // The last guard before anything is dropped: what serves users has some.
    let users = database.run("select 1 from auth.users limit 1").await?;
    if !users.is_empty() {
        return Ok(Some("it has users, and a branch without data was asked for".to_owned()));
    }
    // A project that never had a migration has no table of them.
    database
        .run(
            "create schema if not exists supabase_migrations; create table if not exists \
             supabase_migrations.schema_migrations (version text primary key, statements text[], \
             name text)",
        )
        .await?;
    database.run(EMPTIED).await?;
    left(database).await
}

/// What is in the way of the first migration, on a branch that was emptied.
pub(super) async fn left(database: &dyn Database) -> Result<Option<String>, SqlError> {
    let left: Vec<String> = database.run(LEFT).await?.into_iter().flatten().flatten().collect();
    Ok(Some(left.join(", ")).filter(|left| !left.is_empty()))
}

/// What a database is made by.
pub(super) fn made_by() -> String {
    format!("{SETTINGS}{BOOTSTRAP}")
}
