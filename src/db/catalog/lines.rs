//! The catalogs of a database as lines: kind, name, definition. The same schema has the same lines,
//! whatever way it was made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::canonical::{canonical, canonical_view};
use crate::base::digest::Digest;
use crate::db::shadow::ports::{Database, SqlError};

const CATALOG: &str = include_str!("catalog.sql");

/// Schemas that Supabase and its extensions own: migrations do not make them.
pub(crate) const OF_SUPABASE: [&str; 17] = [
    "information_schema",
    "auth",
    "storage",
    "realtime",
    "extensions",
    "vault",
    "graphql",
    "graphql_public",
    "supabase_functions",
    "supabase_migrations",
    "net",
    "cron",
    "pgmq",
    "pgsodium",
    "pgtle",
    "pgbouncer",
    "_realtime",
];

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) definition: String,
}

/// Reads them, sorted; what stands in a hidden schema is left out.
pub(crate) async fn read(database: &dyn Database, hidden: &[&str]) -> Result<Vec<Line>, SqlError> {
    let hidden = hidden.join(",").replace('\'', "''");
    // Names in definitions are qualified only when nothing is on the path.
    let open = format!("set search_path = ''; set orca.hidden_schemas = '{hidden}'");
    database.run(&open).await?;
    let rows = database.run(CATALOG).await;
    database.run("reset search_path").await?;
    let mut lines: Vec<Line> = rows?.into_iter().map(line).collect();
    lines.sort_unstable();
    lines.dedup();
    Ok(lines)
}

fn line(row: Vec<Option<String>>) -> Line {
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    let mut next = || cells.next().unwrap_or_default();
    let (kind, name) = (next(), next());
    let text = next();
    let definition = if kind == "view" { canonical_view(&text) } else { canonical(&text) };
    Line { kind, name, definition }
}

/// The hash of all lines. Lengths keep two cells from reading as one.
pub(crate) fn hash(lines: &[Line]) -> Digest {
    let mut text = String::new();
    for line in lines {
        for cell in [&line.kind, &line.name, &line.definition] {
            text.push_str(&format!("{}:{cell}\n", cell.len()));
        }
    }
    Digest::of(text.as_bytes())
}
