//! Reads the functions that the API offers.

use super::contract::Function;
use crate::db::shadow::ports::{Database, Row, SqlError};

const FUNCTIONS: &str = include_str!("functions.sql");

/// Every function of the exposed schemas that a client can call by the names of its arguments.
pub(crate) async fn functions(database: &dyn Database) -> Result<Vec<Function>, SqlError> {
    database.run("set search_path = ''").await?;
    let rows = database.run(FUNCTIONS).await?;
    Ok(rows
        .into_iter()
        .filter_map(function)
        .filter(|f| !f.names.contains(&String::new()))
        .collect())
}

fn function(row: Row) -> Option<Function> {
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    let mut next = || cells.next();
    let list = |text: String| serde_json::from_str::<Vec<String>>(&text).ok();
    Some(Function {
        name: next()?,
        names: list(next()?)?,
        types: list(next()?)?,
        required: next()?.parse().ok()?,
        result: next()?,
        volatility: next()?,
        callers: list(next()?)?,
    })
}
