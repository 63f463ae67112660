//! What blue/green needs of a platform that builds: a standby of exactly one commit, without users.
//! Nothing here gives anybody another version; that takes a clearance, as everywhere.

use std::time::Duration;

use async_trait::async_trait;

use super::ports::{PlatformError, PlatformState};
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};

/// Builds production deployments that have no users yet.
#[async_trait]
pub(crate) trait Deployer: Send + Sync {
    /// Looks whether a standby could be built, and users be read back afterwards. Changes nothing.
    async fn able(&self) -> Result<(), PlatformError>;

    /// The newest standby that orca had built for this order and that may still be used, so that a
    /// second run goes on with it.
    async fn find(&self, order: &BuildOrder) -> Result<Option<Build>, PlatformError>;

    /// Begins one build. Never sent twice: after an uncertain answer the caller looks first.
    async fn begin(&self, order: &BuildOrder) -> Result<Build, PlatformError>;

    /// How far a build is.
    async fn progress(&self, deployment: &DeploymentId) -> Result<Build, PlatformError>;

    /// Stops a build that nobody waits for any more.
    async fn cancel(&self, deployment: &DeploymentId) -> Result<(), PlatformError>;

    /// Makes a built deployment known as this run's candidate, at weight zero. The platform is not
    /// changed; a deployment that could not be switched to is refused.
    async fn adopt(
        &self,
        deployment: &DeploymentId,
        commit: &CommitId,
    ) -> Result<PlatformState, PlatformError>;

    /// When to ask again for a build that was begun so long ago.
    fn ask_again_in(&self, begun: Duration) -> Duration;

    /// The calls of each step, as a plan shows them.
    fn calls(&self, order: &BuildOrder) -> Calls;
}

/// What is to be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BuildOrder {
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
}

/// A deployment on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) deployment: DeploymentId,
    pub(crate) state: BuildState,
    /// The state in the platform's own word.
    pub(crate) word: String,
    /// Where people watch it.
    pub(crate) inspect: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BuildState {
    Building,
    Ready,
    /// With the platform's reason.
    Failed(String),
    Cancelled,
    /// It was deleted.
    Gone,
}

/// Calls for a plan: method and path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) build: Vec<String>,
    pub(crate) follow: Vec<String>,
    pub(crate) switch: Vec<String>,
    pub(crate) back: Vec<String>,
}
