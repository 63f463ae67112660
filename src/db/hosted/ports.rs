//! What is asked of a hosted project. Nothing here restores one: a restore is in place, and no drill
//! may do that to a project that serves users.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::check::Unseen;
use crate::gate::verdict::Cause;

/// One project.
#[async_trait]
pub(crate) trait Hosted: Send + Sync {
    async fn project(&self) -> Result<Project, HostedError>;

    async fn services(&self) -> Result<Vec<Service>, HostedError>;

    async fn backups(&self) -> Result<Backups, HostedError>;

    /// Keys without their values.
    async fn keys(&self) -> Result<Vec<Key>, HostedError>;

    /// The restore point of that name, where there is one.
    async fn restore_point(&self, name: &str) -> Result<Option<RestorePoint>, HostedError>;

    async fn create_restore_point(&self, name: &str) -> Result<RestorePoint, HostedError>;

    /// Runs a query that cannot change anything; answers its one cell.
    async fn ask(&self, sql: &str) -> Result<String, HostedError>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Project {
    /// `ACTIVE_HEALTHY` when it serves.
    pub(crate) status: String,
    pub(crate) version: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Service {
    pub(crate) name: String,
    pub(crate) status: String,
    pub(crate) error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Backups {
    /// Whether it can be brought back to any moment.
    pub(crate) any_moment: bool,
    pub(crate) list: Vec<Backup>,
    /// The newest moment that can be brought back to, in seconds since 1970.
    pub(crate) latest_moment_secs: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Backup {
    pub(crate) id: i64,
    pub(crate) status: String,
    /// As the platform writes it.
    pub(crate) taken_at: String,
    pub(crate) physical: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Key {
    pub(crate) name: String,
    /// `secret`, `publishable` or `legacy`.
    pub(crate) kind: Option<String>,
    /// When it was made, as the platform writes it; not told for some.
    pub(crate) made_at: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct RestorePoint {
    pub(crate) name: String,
    /// `AVAILABLE` when it can be used.
    pub(crate) status: String,
}

/// A database, by a connection or by the API, that answers questions and cannot be changed by them.
#[async_trait]
pub(crate) trait Catalog: Send + Sync {
    /// The one cell of the answer.
    async fn answer(&self, sql: &str) -> Result<String, Unseen>;
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostedError {
    #[error("Supabase refuses the token for {what} ({status}): {message}")]
    Denied { what: String, status: u16, message: String },
    #[error("Supabase allows no more calls for {secs} s")]
    Limited { secs: u64 },
    #[error("Supabase refuses {what} ({status}): {message}")]
    Refused { what: String, status: u16, message: String },
    #[error("Supabase does not answer: {0}")]
    Unavailable(String),
    #[error("what Supabase answers to {what} cannot be read: {why}")]
    Unreadable { what: String, why: String },
}

impl HostedError {
    /// What to do about it.
    pub(crate) fn next(&self) -> String {
        match self {
            Self::Denied { .. } => {
                "see whether the token lives and its owner belongs to the organisation".to_owned()
            }
            Self::Limited { secs } => {
                format!("run it again in {secs} s; all tokens of one user share the limit")
            }
            Self::Refused { .. } => "see whether the plan of the organisation has it".to_owned(),
            Self::Unavailable(_) => "see https://status.supabase.com".to_owned(),
            Self::Unreadable { .. } => "a newer orca may know this answer".to_owned(),
        }
    }
}

impl From<HostedError> for Unseen {
    fn from(error: HostedError) -> Self {
        let cause = match error {
            HostedError::Denied { .. } => Cause::Denied,
            _ => Cause::Unobserved,
        };
        Self::new(cause, error.to_string(), error.next())
    }
}
