//! What orca decided, as a check beside a deployment. The check is the project's own, blocks nothing,
//! and is made with the first verdict; each verdict is a run of it.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::answers::{CheckPage, Identified};
use super::client::{READ_AGAIN, UNSENT_AGAIN, VercelClient, VercelError, encoded};
use super::platform::VercelPlatform;
use crate::base::ids::DeploymentId;
use crate::providers::http::Repeat;
use crate::rollout::board::{Board, Decided, Notice};
use crate::rollout::ports::PlatformError;

/// The check's name on Vercel.
const NAME: &str = "orca";
/// Longest sentence that is shown.
const TEXT_CHARS_MAX: usize = 300;

#[async_trait]
impl Board for VercelPlatform {
    async fn show(&self, deployment: &DeploymentId, notice: &Notice) -> Result<(), PlatformError> {
        self.noted(deployment.as_str(), notice).await.map_err(|error| self.unchanged(&error))
    }
}

impl VercelPlatform {
    async fn noted(&self, deployment: &str, notice: &Notice) -> Result<(), VercelError> {
        let Some(redactor) = &self.settings.shows else { return Ok(()) };
        let check = match self.client.check().await? {
            Some(check) => check,
            None => self.client.create_check().await?,
        };
        let run = self.client.begin_run(deployment, &check).await?;
        let conclusion = match notice.decided {
            Decided::Good => "succeeded",
            Decided::Bad => "failed",
            Decided::Undecided => "neutral",
            Decided::Cancelled => "canceled",
        };
        let text: String = redactor.text(&notice.text).chars().take(TEXT_CHARS_MAX).collect();
        self.client.end_run((deployment, &run), conclusion, &text).await
    }
}

impl VercelClient {
    /// Orca's check of this project, where there is one.
    async fn check(&self) -> Result<Option<String>, VercelError> {
        let page: CheckPage = self.read(&self.checks_path(), &[], "the checks").await?;
        let ours = page.checks.into_iter().find(|c| c.name == NAME && c.deleted_at.is_none());
        Ok(ours.map(|check| check.id))
    }

    async fn create_check(&self) -> Result<String, VercelError> {
        let body = json!({
            "name": NAME, "requires": "deployment-url", "blocks": "none", "isRerequestable": false,
        });
        self.made(&self.checks_path(), &body, "the new check").await
    }

    async fn begin_run(&self, deployment: &str, check: &str) -> Result<String, VercelError> {
        let path = format!("/v2/deployments/{}/check-runs", encoded(deployment));
        self.made(&path, &json!({ "checkId": check }), "the check's run").await
    }

    async fn end_run(
        &self,
        (deployment, run): (&str, &str),
        conclusion: &str,
        text: &str,
    ) -> Result<(), VercelError> {
        let path = format!("/v2/deployments/{}/check-runs/{}", encoded(deployment), encoded(run));
        let body = json!({"status": "completed", "conclusion": conclusion, "conclusionText": text});
        let mut call = self.call(http::Method::PATCH, &path, &[]);
        call.json = Some(body.to_string().into_bytes());
        call.repeat = Repeat::Safe(READ_AGAIN);
        self.send(&call, "the check's run").await.map(|_| ())
    }

    fn checks_path(&self) -> String {
        format!("/v2/projects/{}/checks", encoded(&self.project))
    }

    /// Makes one, and reads its id.
    async fn made(&self, path: &str, body: &Value, what: &str) -> Result<String, VercelError> {
        let mut call = self.call(http::Method::POST, path, &[]);
        call.json = Some(body.to_string().into_bytes());
        call.repeat = Repeat::Unsent(UNSENT_AGAIN);
        let answer = self.send(&call, what).await?;
        let made: Identified = serde_json::from_slice(&answer.body).map_err(|error| {
            VercelError::Unreadable { what: what.to_owned(), cause: error.to_string() }
        })?;
        Ok(made.id)
    }
}
