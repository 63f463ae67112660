//! What replaying needs of a database.

use std::time::Duration;

use async_trait::async_trait;

use crate::base::digest::Digest;

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

    /// Whether rows break a rule, and not the statement itself.
    pub(crate) fn is_of_the_rows(&self) -> bool {
        self.code.starts_with("23")
    }

    /// Whether something is there already: a relation, a function, a schema, or any other thing.
    pub(crate) fn is_there_already(&self) -> bool {
        ["42P07", "42723", "42P06", "42710"].contains(&self.code.as_str())
    }

    /// Whether something named does not exist, as when an extension is missing.
    pub(crate) fn is_undefined(&self) -> bool {
        ["42704", "42883", "42P01", "3F000", "42703"].contains(&self.code.as_str())
    }
}

/// Where shadow databases come from.
#[async_trait]
pub(crate) trait Shadows: Send + Sync {
    /// A database in the last of `states` that is kept; an empty one when none is.
    async fn open(&self, states: &[Digest]) -> Result<Box<dyn Shadow>, NoShadow>;

    /// How long opening one may take, beyond what any look may take.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// A database that goes again. Dropping it leaves nothing behind but a database on a server that a
/// URL named; [`Shadow::close`] drops that too.
#[async_trait]
pub(crate) trait Shadow: Database {
    /// As the server says it.
    fn version(&self) -> &str;

    fn major(&self) -> u32;

    /// Whether it has by itself what a Supabase project has, with everything that is its own.
    fn is_supabase(&self) -> bool {
        false
    }

    /// In which of the states it is, and what was noted there.
    fn kept(&self) -> Option<(usize, &str)>;

    /// Keeps the state of this moment for later runs, where that is possible.
    async fn keep(&self, state: &Digest, note: &str);

    async fn close(self: Box<Self>);
}

/// Why there is no shadow database.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(crate) struct NoShadow {
    pub(crate) kind: NoShadowKind,
    pub(crate) text: String,
    /// What to type, the most useful first.
    pub(crate) next: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoShadowKind {
    /// No Postgres of that version is here.
    Missing,
    /// One is here and does not start.
    Unusable,
    /// A URL leads to nothing.
    Unreachable,
    /// A URL leads to the target.
    IsTheTarget,
    /// Supabase takes the token for no branch.
    Denied,
    /// Supabase allows no more calls for now.
    Limited,
    /// Supabase makes no branch.
    Refused,
    /// Supabase does not answer.
    Unanswered,
    /// A branch did not become ready.
    NotReady,
}
