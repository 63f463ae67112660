//! What the gate needs of the folder, the repository and the target.

use async_trait::async_trait;

use super::project::Project;
use crate::gate::check::Unseen;

/// Where the migrations of a release are read.
#[async_trait]
pub(crate) trait Projects: Send + Sync {
    async fn read(&self) -> Result<Project, Unseen>;
}
