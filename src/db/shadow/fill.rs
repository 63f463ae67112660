//! Rows for a table, so that time can be measured on it: values of every type by their number, keys
//! unique, references unchecked. They are gone again before anything else is looked at.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::mention::Mentions;
use super::ports::{Database, SqlError};
use crate::db::sql::source::Source;

/// Rows filled in at most; times are scaled to what is expected.
pub(crate) const ROWS_MAX: u64 = 500_000;

/// Smaller tables of the target are not filled: nobody waits for them.
const ROWS_MIN: u64 = 10_000;

const COLUMNS: &str = include_str!("fill.sql");

/// `table=5000000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowsOf {
    /// With its schema.
    pub(crate) table: String,
    pub(crate) rows: u64,
}

impl FromStr for RowsOf {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (table, rows) =
            text.split_once('=').ok_or_else(|| format!("'{text}' is not TABLE=NUMBER"))?;
        let digits = rows.replace('_', "");
        let rows = digits.parse().map_err(|_| format!("'{rows}' is no number of rows"))?;
        if table.is_empty() {
            return Err(format!("'{text}' names no table"));
        }
        Ok(Self { table: with_schema(table), rows })
    }
}

/// `orders` is in `public`.
pub(crate) fn with_schema(table: &str) -> String {
    if table.contains('.') { table.to_owned() } else { format!("public.{table}") }
}

/// Of the tables that the target has, those that the new files name and that are large enough for
/// time to matter.
pub(crate) fn worth_measuring(
    rows: &BTreeMap<String, u64>,
    new: &[Source],
) -> BTreeMap<String, u64> {
    let mentions = Mentions::of(new);
    let worth =
        |(table, rows): &(&String, &u64)| **rows >= ROWS_MIN && mentions.place(table).is_some();
    rows.iter().filter(worth).map(|(table, rows)| (table.clone(), *rows)).collect()
}

/// What was filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filled {
    /// As SQL writes it.
    table: String,
    transaction: String,
    pub(crate) rows: u64,
}

/// Fills at most [`ROWS_MAX`] rows into `table`; nothing where there is no such table.
pub(crate) async fn fill(
    database: &dyn Database,
    table: &str,
    rows: u64,
) -> Result<Option<Filled>, SqlError> {
    let wanted = format!("'{}'", table.replace('\'', "''"));
    let columns = database.run(&COLUMNS.replace("@table@", &wanted)).await?;
    let mut name = None;
    let (mut columns_text, mut values) = (Vec::new(), Vec::new());
    for row in columns {
        let mut cells = row.into_iter();
        name = cells.next().flatten();
        if let (Some(Some(column)), Some(Some(value))) = (cells.next(), cells.next()) {
            columns_text.push(column);
            values.push(value);
        }
    }
    let Some(name) = name else { return Ok(None) };
    let rows = rows.min(ROWS_MAX);
    let columns = columns_text.join(", ");
    let values = values.join(", ");
    let listed = if columns.is_empty() { String::new() } else { format!("({columns})") };
    let insert =
        format!("insert into {name} {listed} select {values} from generate_series(1, {rows}) i");
    // References and triggers are not the table's time.
    database.run("set session_replication_role = replica; begin").await?;
    let inserted = database.run(&insert).await;
    let transaction = match inserted {
        Ok(_) => database.run("select pg_catalog.pg_current_xact_id()::xid::text").await,
        Err(error) => Err(error),
    };
    let ends = if transaction.is_ok() { "commit" } else { "rollback" };
    database.run(ends).await?;
    database.run("reset session_replication_role").await?;
    let transaction = transaction?.into_iter().flatten().flatten().next().unwrap_or_default();
    Ok(Some(Filled { table: name, transaction, rows }))
}

/// Takes the rows away again; those that a migration changed since stay.
pub(crate) async fn empty(database: &dyn Database, filled: &Filled) -> Result<(), SqlError> {
    let Filled { table, transaction, .. } = filled;
    let gone = format!("delete from {table} where xmin::text = '{transaction}'");
    let sql = format!(
        "set session_replication_role = replica; \
         do $$ begin if to_regclass('{}') is not null then {gone}; end if; end $$; \
         reset session_replication_role",
        table.replace('\'', "''")
    );
    database.run(&sql).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_and_its_rows_are_read() {
        for (text, table, rows) in [
            ("orders=5000000", "public.orders", 5_000_000),
            ("shop.orders=5_000", "shop.orders", 5_000),
        ] {
            let read: RowsOf = text.parse().unwrap();
            assert_eq!((read.table.as_str(), read.rows), (table, rows));
        }
        for text in ["orders", "orders=many", "=5", "orders=-1"] {
            assert!(text.parse::<RowsOf>().is_err(), "{text}");
        }
    }
}
