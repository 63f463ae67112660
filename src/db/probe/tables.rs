//! What the API shows, and which column of it says whose a row is.

use crate::db::shadow::ports::{Database, Row, SqlError};

const TABLES: &str = include_str!("tables.sql");

/// One relation of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table {
    /// As people call it.
    pub(super) name: String,
    /// As SQL writes it.
    pub(super) quoted: String,
    /// The column that says whose a row is, as SQL writes it.
    pub(super) owner: Option<String>,
    /// Columns and values of a row, but for its owner.
    pub(super) columns: String,
    pub(super) values: String,
    /// `rawd` of `anon` and of `authenticated`: read, add, write, delete.
    pub(super) may: [String; 2],
}

pub(super) async fn tables(database: &dyn Database) -> Result<Vec<Table>, SqlError> {
    database.run("set search_path = ''").await?;
    let rows = database.run(TABLES).await?;
    Ok(rows.into_iter().filter_map(table).collect())
}

fn table(row: Row) -> Option<Table> {
    let mut cells = row.into_iter();
    let mut next = || cells.next().flatten();
    let (name, quoted) = (next()?, next()?);
    let owner = next();
    let (columns, values) = (next().unwrap_or_default(), next().unwrap_or_default());
    let may = [next().unwrap_or_default(), next().unwrap_or_default()];
    Some(Table { name, quoted, owner, columns, values, may })
}
