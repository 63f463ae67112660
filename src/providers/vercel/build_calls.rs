//! The operations that build a deployment: create, list, cancel, and what became of domains.

use serde_json::{Value, json};

use super::answers::{AliasPage, AliasRequest, Deployment, DeploymentPage, DeploymentRow};
use super::client::{READ_AGAIN, VercelClient, VercelError, encoded};
use crate::providers::http::Repeat;

/// The mark of deployments that orca had built: the release they are for.
pub(super) const MARK: &str = "orcaRelease";
/// How many deployments of one commit are looked through.
const LISTED: &str = "100";

/// What moved the domains last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Move {
    Promotion,
    Rollback,
}

impl Move {
    pub(super) fn of(last: Option<&AliasRequest>) -> Self {
        match last {
            Some(last) if last.kind == "promote" => Self::Promotion,
            _ => Self::Rollback,
        }
    }
}

/// A production deployment to be built, without domains.
pub(super) struct Creation<'a> {
    pub(super) name: &'a str,
    /// `gitSource`.
    pub(super) source: Value,
    pub(super) release: &'a str,
}

impl VercelClient {
    /// Production deployments of a commit, the newest first.
    pub(super) async fn deployments_of(
        &self,
        commit: &str,
    ) -> Result<Vec<DeploymentRow>, VercelError> {
        let query = [
            ("projectId", self.project_id().await?),
            ("target", "production".to_owned()),
            ("sha", commit.to_owned()),
            ("limit", LISTED.to_owned()),
        ];
        let page: DeploymentPage =
            self.read("/v7/deployments", &query, "the list of deployments").await?;
        Ok(page.deployments)
    }

    /// Begins a build. Sent once: a second one would be a second deployment.
    pub(super) async fn create(&self, of: &Creation<'_>) -> Result<Deployment, VercelError> {
        const WHAT: &str = "the new deployment";
        let body = json!({
            "name": of.name, "project": self.project, "target": "production",
            "autoAssignCustomDomains": false, "gitSource": of.source,
            "meta": {MARK: of.release},
        });
        let query = [("forceNew", "1".to_owned())];
        let mut call = self.call(http::Method::POST, "/v13/deployments", &query);
        call.json = Some(body.to_string().into_bytes());
        call.repeat = Repeat::Never;
        let answer = self.send(&call, WHAT).await?;
        serde_json::from_slice(&answer.body).map_err(|error| VercelError::Unreadable {
            what: WHAT.to_owned(),
            cause: error.to_string(),
        })
    }

    /// Stops a build; one that has ended is left as it is.
    pub(super) async fn cancel(&self, id: &str) -> Result<(), VercelError> {
        let path = format!("/v12/deployments/{}/cancel", encoded(id));
        let mut call = self.call(http::Method::PATCH, &path, &[]);
        call.repeat = Repeat::Safe(READ_AGAIN);
        self.send(&call, "the build").await.map(|_| ())
    }

    /// The domains that the last promotion, or the last rollback, could not move.
    pub(super) async fn failed_domains(&self, of: Move) -> Result<Vec<String>, VercelError> {
        let project = encoded(&self.project);
        let path = match of {
            Move::Promotion => format!("/v1/projects/{project}/promote/aliases"),
            Move::Rollback => format!("/v9/projects/{project}/rollback/aliases"),
        };
        let query = [("failedOnly", "true".to_owned()), ("limit", "20".to_owned())];
        let answer: Value = self.read(&path, &query, "the domains").await?;
        // An empty object stands for none.
        let page: AliasPage = serde_json::from_value(answer).map_err(|error| {
            VercelError::Unreadable { what: "the domains".to_owned(), cause: error.to_string() }
        })?;
        Ok(page.aliases.into_iter().map(|row| row.alias).collect())
    }
}
