//! Maintenance: the kill switch of a whole service. Nobody gets a version until it is opened again.
//! It raises nothing, and who serves does not change by it.

use async_trait::async_trait;

use super::ports::PlatformError;

/// A platform that can answer users by itself, with no version behind it.
#[async_trait]
pub(crate) trait Closing: Send + Sync {
    /// What the platform says. Changes nothing.
    async fn is_closed(&self) -> Result<bool, PlatformError>;

    /// Closes the service, or opens it. Repeating it changes nothing. False when it is so and could
    /// not be stored: a restart of the platform undoes it.
    async fn set_closed(&self, closed: bool) -> Result<bool, PlatformError>;

    /// The status that a user gets at the front door; nothing without an answer.
    async fn front(&self) -> Option<u16>;

    fn manner(&self, closed: bool) -> Manner;
}

/// What closing a service, or opening it, means on this platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manner {
    /// The one call.
    pub(crate) call: String,
    /// What users get then, and how soon.
    pub(crate) users: String,
    /// What people must know of the platform afterwards.
    pub(crate) note: Option<String>,
}
