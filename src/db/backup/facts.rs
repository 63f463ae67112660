//! What a database holds at one moment, as numbers and lines: what a restore must bring back.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::db::catalog::lines::{self, Line};
use crate::db::shadow::ports::{Database, Row, SqlError};

const TABLES: &str = include_str!("tables.sql");
const SEQUENCES: &str = include_str!("sequences.sql");
const ROLES: &str = include_str!("roles.sql");

/// What makes the text of a row the same everywhere. Row level security must hide nothing: where it
/// would, Postgres refuses the query.
pub(crate) const SETTINGS: &str = "set statement_timeout = 0; set lock_timeout = '30s'; \
     set idle_in_transaction_session_timeout = 0; set row_security = off; \
     set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set intervalstyle = 'postgres'; \
     set extra_float_digits = 1; set bytea_output = 'hex'; set xmlbinary = 'base64'; \
     set lc_monetary = 'C'; set search_path = ''";

/// Everything that is compared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) tables: Vec<Table>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) large_objects: u64,
    pub(crate) roles: Vec<Role>,
    pub(crate) memberships: Vec<Membership>,
    pub(crate) extensions: Vec<Extension>,
    /// Constraints, policies, grants, row level security and everything else, a line each.
    pub(crate) catalog: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    /// As SQL writes it.
    pub(crate) name: String,
    pub(crate) rows: u64,
    /// The sum of a 64-bit hash of every row, whatever their order.
    pub(crate) checksum: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sequence {
    pub(crate) name: String,
    /// Absent where it was never asked.
    pub(crate) last: Option<i64>,
    /// Whether its column holds a greater number: the next insert fails.
    pub(crate) behind: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Role {
    pub(crate) name: String,
    /// As CREATE ROLE takes them.
    pub(crate) attributes: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    pub(crate) member: String,
    pub(crate) of: String,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extension {
    pub(crate) name: String,
    pub(crate) schema: String,
}

/// Why they could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FactsError {
    #[error(transparent)]
    Sql(#[from] SqlError),
    /// A dump would fail on them, or leave rows out.
    #[error("this role may not read {}", .0.join(", "))]
    Unreadable(Vec<String>),
    #[error("the server answered {0} where a number was expected")]
    NoNumber(String),
}

/// The tables of the schemas that are not left out, each readable.
pub(crate) async fn tables(
    database: &dyn Database,
    left_out: &[String],
) -> Result<Vec<String>, FactsError> {
    let rows = database.run(TABLES).await?;
    let (mut found, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        let [Some(name), Some(schema), readable] = three(row) else { continue };
        match readable.as_deref() {
            _ if left_out.contains(&schema) => {}
            Some("t") => found.push(name),
            _ => unreadable.push(name),
        }
    }
    if unreadable.is_empty() { Ok(found) } else { Err(FactsError::Unreadable(unreadable)) }
}

fn three(row: Row) -> [Option<String>; 3] {
    let mut cells = row.into_iter();
    std::array::from_fn(|_| cells.next().flatten())
}

impl Facts {
    /// Reads them in the transaction that is open; [`SETTINGS`] hold there.
    pub(crate) async fn read(
        database: &dyn Database,
        left_out: &[String],
    ) -> Result<Self, FactsError> {
        // Sequences run ahead of any snapshot: read first, a dump holds the same or more.
        let sequences = sequences(database, left_out).await?;
        let mut facts = Self { sequences, ..Self::default() };
        let large = "select count(*) from pg_catalog.pg_largeobject_metadata";
        facts.large_objects = number(database.run(large).await?)?;
        facts.read_roles(database, left_out).await?;
        let mut hidden: Vec<&str> = left_out.iter().map(String::as_str).collect();
        hidden.push("information_schema");
        let catalog = lines::read(database, &hidden).await?;
        facts.catalog = catalog.into_iter().filter(|line| !is_of(line, left_out)).collect();
        database.run("set search_path = ''").await?;
        for name in tables(database, left_out).await? {
            facts.tables.push(table(database, name).await?);
        }
        Ok(facts)
    }

    async fn read_roles(
        &mut self,
        database: &dyn Database,
        left_out: &[String],
    ) -> Result<(), FactsError> {
        for row in database.run(ROLES).await? {
            let [Some(kind), Some(name), Some(text)] = three(row) else { continue };
            match kind.as_str() {
                "role" => self.roles.push(Role { name, attributes: text }),
                "member" => self.memberships.push(Membership { member: name, of: text }),
                _ if left_out.contains(&text) => {}
                _ => self.extensions.push(Extension { name, schema: text }),
            }
        }
        Ok(())
    }

    pub(crate) fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

/// Policies, triggers and default grants are listed for every schema.
fn is_of(line: &Line, left_out: &[String]) -> bool {
    left_out.iter().any(|schema| match line.kind.as_str() {
        "policy" | "trigger" => line.name.starts_with(&format!("{schema}.")),
        "default grant" => line.name.split(' ').nth(1) == Some(schema),
        _ => false,
    })
}

/// Sums of 64-bit hashes do not depend on the order of rows, and a row that is there twice counts
/// twice. They are the same on every major version that prints the values alike.
async fn table(database: &dyn Database, name: String) -> Result<Table, FactsError> {
    let sql = format!(
        "select count(*), coalesce(sum(pg_catalog.hashtextextended(t::text, 0)), 0) from only {name} t"
    );
    let [rows, checksum, _] =
        three(database.run(&sql).await?.into_iter().next().unwrap_or_default());
    let rows = rows.unwrap_or_default();
    let rows = rows.parse().map_err(|_| FactsError::NoNumber(rows))?;
    Ok(Table { name, rows, checksum: checksum.unwrap_or_default() })
}

async fn sequences(
    database: &dyn Database,
    left_out: &[String],
) -> Result<Vec<Sequence>, FactsError> {
    let mut found = Vec::new();
    for mut row in database.run(SEQUENCES).await? {
        row.resize(4, None);
        let column = row.pop().flatten();
        let [Some(name), Some(schema), table] = three(row) else { continue };
        if left_out.contains(&schema) {
            continue;
        }
        let fed = match (&table, &column) {
            (Some(table), Some(column)) => format!("(select max({column}) from {table})"),
            _ => "null".to_owned(),
        };
        let sql = format!(
            "select case when is_called then last_value end, \
             coalesce({fed} > case when is_called then last_value else last_value - 1 end, false) \
             from {name}"
        );
        let answered = database.run(&sql).await?.into_iter().next().unwrap_or_default();
        let [last, behind, _] = three(answered);
        let last = last.map(|text| text.parse().map_err(|_| FactsError::NoNumber(text)));
        found.push(Sequence {
            name,
            last: last.transpose()?,
            behind: behind.as_deref() == Some("t"),
        });
    }
    Ok(found)
}

fn number(rows: Vec<Row>) -> Result<u64, FactsError> {
    let text = rows.into_iter().flatten().flatten().next().unwrap_or_default();
    text.parse().map_err(|_| FactsError::NoNumber(text))
}
