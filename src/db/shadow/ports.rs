//! What replaying needs of a database.

use async_trait::async_trait;

/// A row as text, nulls as none.
pub(crate) type Row = Vec<Option<String>>;

/// One connection.
#[async_trait]
pub(crate) trait Database: Send + Sync {
    /// Runs statements as they are; answers the rows of all of them.
    async fn run(&self, sql: &str) -> Result<Vec<Row>, SqlError>;

    /// Runs `COPY ... FROM stdin` and sends the rows.
    async fn copy_in(&self, sql: &str, rows: &str) -> Result<(), SqlError>;
}

/// Why a statement did not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct SqlError {
    /// The SQLSTATE; `08006` when the connection is gone.
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub(crate) position: Option<usize>,
}

impl SqlError {
    /// Whether the server is to blame and not the statement: no memory, no disk, no connection.
    pub(crate) fn is_of_the_server(&self) -> bool {
        self.code == "57014" && !self.message.contains("statement timeout")
            || ["08", "53", "57P", "58", "XX"].iter().any(|class| self.code.starts_with(class))
    }

    /// Whether something named does not exist, as when an extension is missing.
    pub(crate) fn is_undefined(&self) -> bool {
        ["42704", "42883", "42P01", "3F000", "42703"].contains(&self.code.as_str())
    }
}
