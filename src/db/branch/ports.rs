//! What a branch as shadow database needs from outside.

use async_trait::async_trait;

use crate::base::redact::Secret;
use crate::db::hosted::ports::HostedError;
use crate::db::shadow::ports::{NoShadow, Shadow};

/// The branches of one project.
#[async_trait]
pub(crate) trait Branches: Send + Sync {
    /// The project that branches are made of.
    fn project(&self) -> &str;

    /// The database of the project itself.
    async fn parent(&self) -> Result<Parent, HostedError>;

    async fn list(&self) -> Result<Vec<Branch>, HostedError>;

    /// Makes one without data that does not stay. Sent once; what is lost on the way may have happened.
    async fn create(&self, name: &str, engine: &str) -> Result<Branch, HostedError>;

    /// How it is now, and how to connect to it.
    async fn look(&self, branch: &Branch) -> Result<Look, HostedError>;

    /// Another way to the same database, for machines that the first does not reach.
    async fn detour(&self, branch: &Branch, login: &Login) -> Result<Option<Login>, HostedError>;

    /// One try.
    async fn delete(&self, branch: &Branch) -> Result<(), HostedError>;

    /// What a person types to delete it.
    fn delete_by_hand(&self, branch: &Branch) -> String;

    /// What a person types to see which there are.
    fn find_by_hand(&self) -> String;
}

/// Connects to the database of a branch.
#[async_trait]
pub(crate) trait Connects: Send + Sync {
    async fn connect(&self, login: &Login) -> Result<Box<dyn Shadow>, NotConnected>;
}

/// Whoever is told what happens to branches.
pub(crate) trait Listener: Send + Sync {
    fn say(&self, text: &str);

    /// Something is left, or may be, that costs money: what it is, and what a person does about it.
    fn left_behind(&self, text: &str, way_out: &str);
}

/// The database of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) host: String,
    /// The version of Postgres as branches are asked for: `15`, `17`.
    pub(crate) engine: String,
}

/// One branch, as lists have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) name: String,
    /// Of its own project.
    pub(crate) reference: String,
    /// Of the project that it is a branch of.
    pub(crate) parent: String,
    pub(crate) is_default: bool,
    pub(crate) persistent: bool,
    /// As the platform writes it.
    pub(crate) made_at: String,
}

/// A branch at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Look {
    /// Of the branch's own project, as the platform names it: `ACTIVE_HEALTHY`.
    pub(crate) status: String,
    /// What Supabase does on it: the steps of each run with their statuses, or why it is not told.
    pub(crate) runs: Result<Vec<Vec<Step>>, HostedError>,
    /// Absent where the platform keeps it to itself.
    pub(crate) login: Option<Login>,
}

/// A step of a run: `migrate`, `EXITED`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) status: String,
}

/// How to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Secret,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NotConnected {
    /// It may come about a little later.
    Yet(String),
    Never(NoShadow),
}
