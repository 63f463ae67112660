//! The schema of a database as canonical lines, and their hash: equal for equal schemas, whatever
//! order they were made in.

use super::ports::{Database, SqlError};
use crate::base::digest::Digest;

const CATALOG: &str = include_str!("catalog.sql");

/// Reads the catalogs and hashes them.
pub(crate) async fn schema_hash(database: &dyn Database) -> Result<Digest, SqlError> {
    // Names in definitions are qualified only when nothing is on the path.
    database.run("set search_path = ''").await?;
    let rows = database.run(CATALOG).await;
    database.run("reset search_path").await?;
    let mut lines: Vec<String> = rows?.into_iter().map(line).collect();
    lines.sort_unstable();
    Ok(Digest::of(lines.concat().as_bytes()))
}

/// Lengths keep two cells from reading as one.
fn line(row: Vec<Option<String>>) -> String {
    let mut line = String::new();
    for cell in row {
        let cell = cell.unwrap_or_default().replace("\r\n", "\n");
        line.push_str(&format!("{}:{cell}\n", cell.len()));
    }
    line
}
