//! What the target says about itself: which migrations it has, and about how many rows. Read-only.

use std::collections::BTreeMap;

use async_trait::async_trait;

use super::session;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::db::hosted::ports::Catalog;
use crate::db::preflight::project::Applied;
use crate::db::shadow::ports::{Database as _, SqlError};
use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;

/// Of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) applied: Vec<Applied>,
    /// By table with its schema, as its statistics say.
    pub(crate) rows: BTreeMap<String, u64>,
}

pub(crate) async fn read(url: &Secret) -> Result<Target, SqlError> {
    let session = session::connect_url(url, limits::HTTP_CALL).await?;
    session.run("set default_transaction_read_only = on").await?;
    let sql = "select n.nspname || '.' || c.relname, c.reltuples::bigint from pg_catalog.pg_class c \
               join pg_catalog.pg_namespace n on n.oid = c.relnamespace where c.relkind = 'r' \
               and c.reltuples > 0 and n.nspname !~ '^(pg_|information_schema)'";
    let sizes = session.run(sql).await?.into_iter().filter_map(|row| {
        let mut cells = row.into_iter().flatten();
        Some((cells.next()?, cells.next()?.parse().ok()?))
    });
    let rows = sizes.collect();
    let known = "select to_regclass('supabase_migrations.schema_migrations') is not null";
    let known = session.run(known).await?.into_iter().flatten().flatten().next();
    if known.as_deref() != Some("t") {
        return Ok(Target { rows, ..Target::default() });
    }
    // Tables of an older Supabase lack the column: every row then is without statements.
    let sql = "select version, (to_jsonb(m) -> 'statements')::text \
               from supabase_migrations.schema_migrations m order by version";
    let applied = session.run(sql).await?.into_iter().filter_map(|row| {
        let mut cells = row.into_iter();
        let version = cells.next().flatten()?;
        let statements = cells.next().flatten();
        let statements = statements.and_then(|text| serde_json::from_str(&text).ok()).flatten();
        Some(Applied { version, statements })
    });
    Ok(Target { applied: applied.collect(), rows })
}

/// Answers questions about catalogs by a connection.
pub(crate) struct ByConnection {
    pub(crate) url: Secret,
}

#[async_trait]
impl Catalog for ByConnection {
    async fn answer(&self, sql: &str) -> Result<String, Unseen> {
        let asked = async {
            let session = session::connect_url(&self.url, limits::HTTP_CALL).await?;
            session.run("set default_transaction_read_only = on").await?;
            session.run(sql).await
        };
        let rows = asked.await.map_err(|error| {
            let text = format!("the target database does not answer: {error}");
            Unseen::new(Cause::Unobserved, text, "try the same URL with psql")
        })?;
        Ok(rows.into_iter().flatten().flatten().next().unwrap_or_default())
    }
}
