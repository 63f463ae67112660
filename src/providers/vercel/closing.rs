//! Vercel's pause of a whole project: its kill switch.

use async_trait::async_trait;

use super::client::{READ_AGAIN, VercelClient, VercelError, encoded};
use super::platform::VercelPlatform;
use crate::providers::http::Repeat;
use crate::rollout::closing::{Closing, Manner};
use crate::rollout::ports::PlatformError;

impl VercelClient {
    /// Pauses the project, or ends that. By its id alone: Vercel takes no name here.
    async fn pause(&self, paused: bool) -> Result<(), VercelError> {
        let id = self.project_id().await?;
        let verb = if paused { "pause" } else { "unpause" };
        let path = format!("/v1/projects/{}/{verb}", encoded(&id));
        let mut call = self.call(http::Method::POST, &path, &[]);
        // A paused project stays paused, however often it is asked for.
        call.repeat = Repeat::Safe(READ_AGAIN);
        call.urgent = true;
        self.send(&call, "the project").await.map(|_| ())
    }
}

#[async_trait]
impl Closing for VercelPlatform {
    async fn is_closed(&self) -> Result<bool, PlatformError> {
        let project = self.client.project().await.map_err(|error| self.unread(&error))?;
        Ok(project.paused.unwrap_or(false))
    }

    /// An answer that was lost is asked for again: a paused project stays paused.
    async fn set_closed(&self, closed: bool) -> Result<bool, PlatformError> {
        match self.client.pause(closed).await {
            Ok(()) => Ok(true),
            // It may be so all the same.
            Err(error) if !error.is_without_effect() => match self.is_closed().await {
                Ok(is) if is == closed => Ok(true),
                _ => Err(self.unchanged(&error)),
            },
            // By this one alone Vercel says that it is no project of this token.
            Err(error @ VercelError::NotFound { .. }) => Err(self.unread(&error)),
            Err(error) => Err(self.unchanged(&error)),
        }
    }

    async fn front(&self) -> Option<u16> {
        self.front.status().await
    }

    fn manner(&self, closed: bool) -> Manner {
        let (path, users) = if closed {
            ("pause", "a page of Vercel with status 503, once the pause has reached all its edges")
        } else {
            ("unpause", "the version that served before, once all edges know it")
        };
        let note = (!closed).then(|| {
            format!(
                "Vercel turns the automatic assignment of production domains on when it opens a \
                 project: a push to the production branch reaches users by itself then. To switch \
                 it off: curl -X PATCH {} -H \"Authorization: Bearer $VERCEL_TOKEN\" -H \
                 \"Content-Type: application/json\" -d '{{\"autoAssignCustomDomains\":false}}'",
                self.client.project_url()
            )
        });
        Manner {
            call: format!("POST /v1/projects/{}/{path}", self.client.project),
            users: users.to_owned(),
            note,
        }
    }
}
