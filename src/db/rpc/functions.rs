//! Reads the functions that the API offers.

use super::contract::Function;
use crate::db::shadow::ports::{Database, Row, SqlError};

const FUNCTIONS: &str = include_str!("functions.sql");

/// What one argument without a name may be: then the body of the request is the argument.
const BODIES: [&str; 5] = ["bytea", "json", "jsonb", "text", "xml"];

/// Every function of the exposed schemas that a client can call: by the names of its arguments, or
/// with the body as its only one.
pub(crate) async fn functions(database: &dyn Database) -> Result<Vec<Function>, SqlError> {
    database.run("set search_path = ''").await?;
    let rows = database.run(FUNCTIONS).await?;
    Ok(rows
        .into_iter()
        .filter_map(function)
        .filter(|f| !f.names.contains(&String::new()) || takes_the_body(f))
        .collect())
}

fn takes_the_body(function: &Function) -> bool {
    matches!(function.types.as_slice(), [of] if BODIES.contains(&of.as_str()))
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
