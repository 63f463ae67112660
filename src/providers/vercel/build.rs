//! Standbys: production deployments without domains, built from one commit and followed. A build is
//! begun once; whoever comes after a lost answer finds it by its commit and orca's mark.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::answers::{Deployment, DeploymentRow};
use super::build_calls::{Creation, MARK, Move};
use super::client::VercelError;
use super::platform::VercelPlatform;
use super::seen::{Staged, Unsettled};
use crate::base::ids::{CommitId, DeploymentId};
use crate::rollout::deployer::{Build, BuildOrder, BuildState, Calls, Deployer};
use crate::rollout::ports::{PlatformError, PlatformState, Refused};

/// How often a build is asked for, by how long it takes already.
const PACE: [(u64, u64); 3] = [(15, 1), (60, 5), (300, 15)];
const PACE_AFTER: Duration = Duration::from_secs(30);

impl VercelPlatform {
    /// The project's name, and `gitSource` of a commit of its repository.
    async fn source_of(&self, commit: &str) -> Result<(String, Value), PlatformError> {
        let project = self.client.project().await.map_err(|error| self.unread(&error))?;
        let source = project.link.as_ref().and_then(|link| link.source_of(commit));
        if let Some(source) = source {
            return Ok((project.name, source));
        }
        let kind = project.link.as_ref().map_or("no repository", |link| link.kind.as_str());
        Err(self.refused(Refused::CannotBuild(format!(
            "it is linked to {kind}, so Vercel cannot be asked to build a commit"
        ))))
    }

    fn build_of(&self, found: &Deployment) -> Result<Build, PlatformError> {
        let deployment = DeploymentId::new(found.id.clone())
            .map_err(|error| self.unavailable(error.to_string()))?;
        let word = found.ready_state.clone();
        let state = match word.as_str() {
            "READY" => BuildState::Ready,
            "ERROR" | "BLOCKED" => {
                let said = [found.error_code.as_deref(), found.error_message.as_deref()];
                let said: Vec<&str> = said.into_iter().flatten().collect();
                BuildState::Failed(said.join(": "))
            }
            "CANCELED" => BuildState::Cancelled,
            "DELETED" => BuildState::Gone,
            _ => BuildState::Building,
        };
        Ok(Build { deployment, state, word, inspect: found.inspector_url.clone() })
    }
}

/// Whether a listed deployment is orca's standby for this release, and may still become one that
/// serves: it never did, or it does now.
fn is_standby(row: &DeploymentRow, release: &str, serving: &str) -> bool {
    let is_marked = row.meta.get(MARK).and_then(|mark| mark.as_str()) == Some(release);
    let is_alive =
        !matches!(row.ready_state.as_str(), "ERROR" | "CANCELED" | "DELETED" | "BLOCKED");
    let has_served = row.ready_substate.as_deref() == Some("PROMOTED");
    is_marked && is_alive && (!has_served || row.uid == serving)
}

#[async_trait]
impl Deployer for VercelPlatform {
    async fn able(&self) -> Result<(), PlatformError> {
        self.names_itself().await?;
        self.source_of("").await.map(|_| ())
    }

    async fn find(&self, order: &BuildOrder) -> Result<Option<Build>, PlatformError> {
        let listed = self.client.deployments_of(order.commit.as_str());
        let (rows, seen) = tokio::join!(listed, self.ask());
        let rows = rows.map_err(|error| self.unread(&error))?;
        let seen = seen.map_err(|error| self.unread(&error))?;
        let release = order.release.as_str();
        let found = rows.iter().find(|row| is_standby(row, release, &seen.domain));
        let Some(row) = found else { return Ok(None) };
        match self.client.deployment(&row.uid).await {
            Ok(found) => self.build_of(&found).map(Some),
            Err(VercelError::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.unread(&error)),
        }
    }

    async fn begin(&self, order: &BuildOrder) -> Result<Build, PlatformError> {
        let (name, source) = self.source_of(order.commit.as_str()).await?;
        let creation = Creation { name: &name, source, release: order.release.as_str() };
        let made = self.client.create(&creation).await.map_err(|error| self.unchanged(&error))?;
        self.build_of(&made)
    }

    async fn progress(&self, deployment: &DeploymentId) -> Result<Build, PlatformError> {
        match self.client.deployment(deployment.as_str()).await {
            Ok(found) => self.build_of(&found),
            Err(VercelError::NotFound { .. }) => Ok(Build {
                deployment: deployment.clone(),
                state: BuildState::Gone,
                word: "DELETED".to_owned(),
                inspect: None,
            }),
            Err(error) => Err(self.unread(&error)),
        }
    }

    async fn cancel(&self, deployment: &DeploymentId) -> Result<(), PlatformError> {
        let cancelled = self.client.cancel(deployment.as_str()).await;
        cancelled.map_err(|error| self.unchanged(&error))
    }

    async fn adopt(
        &self,
        deployment: &DeploymentId,
        commit: &CommitId,
    ) -> Result<PlatformState, PlatformError> {
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        self.is_free(&seen)?;
        match seen.unsettled(deployment.as_str()) {
            None => {}
            Some(Unsettled::UnderWay) => {
                let text = format!("{deployment} was asked for, and Vercel is at it; look again");
                return Err(self.uncertain(text));
            }
            Some(Unsettled::Failed) => {
                return Err(self.in_part(self.unmoved(Move::Promotion).await));
            }
        }
        self.is_fit(deployment, Some(commit)).await?;
        if seen.domain != deployment.as_str() {
            let (canary, base) = (deployment.to_string(), seen.domain.clone());
            self.memory().staged = Some(Staged { canary, base, begun: false });
        }
        self.state_of(&seen).await.map_err(|error| self.unread(&error))
    }

    fn ask_again_in(&self, begun: Duration) -> Duration {
        let paced = PACE.iter().find(|(until, _)| begun.as_secs() < *until);
        paced.map_or(PACE_AFTER, |(_, every)| Duration::from_secs(*every))
    }

    fn calls(&self, order: &BuildOrder) -> Calls {
        let project = &self.client.project;
        let line = |text: String| vec![text];
        let shown = self.settings.shows.as_ref().map(|_| {
            format!(
                "POST /v2/deployments/ID/check-runs, then PATCH (the check is in \
                 /v2/projects/{project}/checks)"
            )
        });
        let switch = [
            format!("GET /v1/projects/{project}/rolling-release"),
            format!("GET /v4/aliases/{}", self.front.domain()),
            format!("POST /v10/projects/{project}/promote/ID (once)"),
            format!(
                "POST /v1/projects/{project}/rolling-release/complete (only where rolling \
                 releases are on)"
            ),
        ];
        Calls {
            build: vec![
                format!("GET /v7/deployments?target=production&sha={}", order.commit),
                format!("GET /v9/projects/{project}"),
                "POST /v13/deployments (target production, autoAssignCustomDomains false, once)"
                    .to_owned(),
            ],
            follow: line("GET /v13/deployments/ID every 1 s to 30 s".to_owned()),
            switch: switch.into_iter().chain(shown).collect(),
            back: line(format!("POST /v1/projects/{project}/rollback/PREVIOUS")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_a_live_standby_of_this_release_is_used_again() {
        let row = |release: &str, state: &str, substate: &str| DeploymentRow {
            uid: "dpl_1".to_owned(),
            created_at: 1,
            ready_state: state.to_owned(),
            ready_substate: Some(substate.to_owned()),
            meta: [(MARK.to_owned(), release.into())].into(),
        };
        for (row, serving, expected) in [
            (row("v1", "READY", "STAGED"), "dpl_0", true),
            (row("v1", "BUILDING", "STAGED"), "dpl_0", true),
            (row("v2", "READY", "STAGED"), "dpl_0", false),
            (row("v1", "ERROR", "STAGED"), "dpl_0", false),
            (row("v1", "CANCELED", "STAGED"), "dpl_0", false),
            (row("v1", "READY", "PROMOTED"), "dpl_0", false),
            (row("v1", "READY", "PROMOTED"), "dpl_1", true),
        ] {
            assert_eq!(is_standby(&row, "v1", serving), expected, "{row:?}");
        }
        let unmarked = DeploymentRow { meta: BTreeMap::default(), ..row("v1", "READY", "STAGED") };
        assert!(!is_standby(&unmarked, "v1", "dpl_0"), "somebody else's deployment is not ours");
    }
}
