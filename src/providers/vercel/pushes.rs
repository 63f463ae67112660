//! What a push to a project's repository does by itself.

use async_trait::async_trait;

use super::platform::VercelPlatform;
use crate::rollout::bypass::{Pushed, Pushes};
use crate::rollout::ports::PlatformError;

#[async_trait]
impl Pushes for VercelPlatform {
    async fn pushed(&self) -> Result<Pushed, PlatformError> {
        let project = self.client.project().await.map_err(|error| self.unread(&error))?;
        Ok(Pushed {
            branch: project.link.map(|link| link.production_branch),
            // Vercel gives domains to what is pushed unless somebody said otherwise.
            reaches_users: project.auto_assign_custom_domains.unwrap_or(true),
            remedy: format!(
                "curl -X PATCH {} -H \"Authorization: Bearer $VERCEL_TOKEN\" -H \"Content-Type: \
                 application/json\" -d '{{\"autoAssignCustomDomains\":false}}'",
                self.client.project_url()
            ),
        })
    }
}
