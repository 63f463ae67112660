//! Vercel as the platform of a rollout: the port's words become calls, and the production domain is
//! asked who serves.
//!
//! Vercel holds no grant, knows no epoch and counts nothing by version. Its optimistic lock is the
//! index of the active stage, and what else changed is found by reading just before a raise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::answers::Deployment;
use super::client::{VercelClient, VercelError};
use super::front::Front;
use super::seen::{Seen, Staged};
use crate::base::call_made::CallMade;
use crate::base::clock::{Entropy, Timestamp};
use crate::base::ids::{CommitId, DeploymentId};
use crate::base::redact::{Redactor, Secret};
use crate::base::units::Micros;
use crate::gate::clearance::Warrant;
use crate::providers::http::HttpError;
use crate::rollout::board::Board;
use crate::rollout::bypass::Pushes;
use crate::rollout::closing::Closing;
use crate::rollout::deployer::Deployer;
use crate::rollout::ports::{
    Arm, ArmSamples, Capabilities, Change, Door, Identity, Known, Lowering, Measures, Platform,
    PlatformError, PlatformState, ProbeAnswer, PromoteOrder, Raise, Samples, StageOrder, Weights,
};

/// How often Vercel is asked while a canary is watched: its limits count calls by the minute.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The header that opens protected deployments to automation.
pub(super) const BYPASS: &str = "x-vercel-protection-bypass";

/// What is known of the project before it is asked.
#[derive(Debug, Clone)]
pub(crate) struct VercelSettings {
    /// The production domain with its scheme.
    pub(crate) front: String,
    /// How long going back is tried while Vercel does not answer.
    pub(crate) back_within: Duration,
    /// Opens protected deployments, where the project has a secret for it.
    pub(crate) bypass: Option<Secret>,
    /// Who acts.
    pub(crate) actor: String,
    /// Decisions are shown beside deployments, through this, where somebody asked for it.
    pub(crate) shows: Option<Redactor>,
}

/// A Vercel project.
#[derive(Debug, Clone)]
pub(crate) struct VercelPlatform {
    pub(super) client: VercelClient,
    pub(super) settings: VercelSettings,
    pub(super) front: Front,
    pub(super) name: String,
    memory: Arc<Mutex<Memory>>,
}

/// What this run knows beside the answers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) staged: Option<Staged>,
    /// Its id.
    project: Option<String>,
    /// Deployments never change their commit or address.
    deployments: BTreeMap<String, Deployment>,
    /// What served before a deployment, once it was found.
    before: BTreeMap<String, Option<String>>,
    /// The newest request to move the domain that was seen.
    pub(super) last_requested: Option<i64>,
    /// Where going back leads and since when it is tried.
    pub(super) going_back: Option<(String, Instant)>,
}

impl VercelPlatform {
    pub(crate) fn new(
        client: VercelClient,
        settings: VercelSettings,
        entropy: Entropy,
    ) -> Result<Self, HttpError> {
        let front = Front::new(&settings.front, entropy)?;
        let name = format!("Vercel project {}", client.project);
        Ok(Self { client, settings, front, name, memory: Arc::default() })
    }

    pub(super) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that decides who serves, asked at once.
    pub(super) async fn ask(&self) -> Result<Seen, VercelError> {
        let (rolling, domain, project) = tokio::try_join!(
            self.client.rolling(),
            self.client.serving(self.front.domain()),
            self.client.project(),
        )?;
        let is_paused = project.paused.unwrap_or(false);
        let seen = Seen { rolling, domain, last: project.last_alias_request, is_paused };
        let mut memory = self.memory();
        memory.project = Some(project.id);
        memory.last_requested = memory.last_requested.max(Some(seen.last_requested()));
        drop(memory);
        Ok(seen)
    }

    pub(super) async fn state_of(&self, seen: &Seen) -> Result<PlatformState, VercelError> {
        let split = seen.split(self.memory().staged.as_ref());
        let base = self.known(&split.base).await?;
        let canary = match &split.canary {
            Some(id) => Some(self.known(id).await?),
            None => None,
        };
        let went_back = seen.went_back();
        let previous = match self.before(seen, canary.is_some() || went_back).await? {
            Some(id) => Some(self.known(&id).await?),
            None => None,
        };
        Ok(PlatformState {
            base: base.deployment,
            base_commit: base.commit,
            canary,
            previous,
            went_back,
            lowered_by: None,
            // One call serves for every way back, and Vercel keeps no word of ours with it.
            lowered: None,
            weight: split.weight,
            generation: seen.generation(),
            epoch: 0,
            grant_until: None,
            stored: true,
            closed: seen.is_paused,
        })
    }

    async fn known(&self, id: &str) -> Result<Known, VercelError> {
        let commit = match self.deployment(id).await {
            Ok(deployment) => commit_of(&deployment),
            // It serves all the same; only its commit is not to be had.
            Err(VercelError::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Known { deployment: id_of(id)?, commit })
    }

    /// What served before, unless nobody needs to know.
    async fn before(&self, seen: &Seen, needless: bool) -> Result<Option<String>, VercelError> {
        if needless {
            return Ok(None);
        }
        if let Some(id) = seen.before() {
            return Ok(Some(id));
        }
        let known = self.memory().before.get(&seen.domain).cloned();
        if let Some(before) = known {
            return Ok(before);
        }
        let created = self.deployment(&seen.domain).await.map_or(i64::MAX, |d| d.created_at);
        let is_before = |id: &str, at: i64| id != seen.domain && at <= created;
        let found = self.client.rollback_candidate(is_before).await?;
        self.memory().before.insert(seen.domain.clone(), found.clone());
        Ok(found)
    }

    /// A deployment as it was when it was first asked for.
    pub(super) async fn deployment(&self, id: &str) -> Result<Deployment, VercelError> {
        let known = self.memory().deployments.get(id).cloned();
        if let Some(deployment) = known {
            return Ok(deployment);
        }
        let deployment = self.client.deployment(id).await?;
        self.memory().deployments.insert(id.to_owned(), deployment.clone());
        Ok(deployment)
    }

    async fn id_on(&self, arm: Arm) -> Result<Option<String>, PlatformError> {
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        let split = seen.split(self.memory().staged.as_ref());
        Ok(match arm {
            Arm::Base => Some(split.base),
            Arm::Canary => split.canary,
        })
    }
}

pub(super) fn commit_of(deployment: &Deployment) -> Option<CommitId> {
    CommitId::new(deployment.commit()?).ok()
}

fn id_of(id: &str) -> Result<DeploymentId, VercelError> {
    DeploymentId::new(id).map_err(|error| VercelError::Unreadable {
        what: "the deployment's id".to_owned(),
        cause: error.to_string(),
    })
}

#[async_trait]
impl Platform for VercelPlatform {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            weights: Weights::WholePercent,
            holds_grant: false,
            measures: Measures::Nothing,
            stickiness: "Vercel's visitor cookie".to_owned(),
            state_holder: self.name.clone(),
            abort_cost: "one call; Vercel moves the domain in seconds".to_owned(),
        }
    }

    fn look_every(&self) -> Duration {
        LOOK_EVERY
    }

    fn after_back(&self) -> Option<String> {
        Some(format!(
            "Vercel no longer gives production domains to new deployments of {}: a push to the \
             production branch stays without users until something is promoted. To restore it now: \
             Undo Rollback in the dashboard, or curl -X PATCH \
             {} -H \"Authorization: Bearer $VERCEL_TOKEN\" -d '{{\"autoAssignCustomDomains\":true}}'",
            self.client.project,
            self.client.project_url()
        ))
    }

    fn closing(&self) -> Option<&dyn Closing> {
        Some(self)
    }

    /// A project may be meant by its id or by its name: the id counts.
    async fn own_name(&self) -> Result<Option<String>, PlatformError> {
        let known = self.memory().project.clone();
        let id = match known {
            Some(id) => id,
            None => self.client.project().await.map_err(|error| self.unread(&error))?.id,
        };
        self.memory().project = Some(id.clone());
        Ok(Some(format!("Vercel project {id}")))
    }

    async fn resolve(&self, named: &DeploymentId) -> Result<Known, PlatformError> {
        self.resolved(named).await
    }

    async fn address(&self, deployment: &DeploymentId) -> Result<String, PlatformError> {
        let found = self.deployment(deployment.as_str()).await;
        let found = found.map_err(|error| self.unread(&error))?;
        Ok(self.client.url_of(&found.url))
    }

    async fn look(&self) -> Result<PlatformState, PlatformError> {
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        self.state_of(&seen).await.map_err(|error| self.unread(&error))
    }

    async fn stage(&self, order: &StageOrder) -> Result<PlatformState, PlatformError> {
        self.staged(order).await
    }

    async fn raise(&self, raise: Raise) -> Result<PlatformState, PlatformError> {
        self.raised(raise.terms()).await
    }

    /// There is no grant: what stands, stands.
    async fn renew(&self, _: Micros, _: u64) -> Result<PlatformState, PlatformError> {
        self.look().await
    }

    async fn lower_to_base(
        &self,
        base: Option<&DeploymentId>,
        _: Lowering,
    ) -> Result<PlatformState, PlatformError> {
        match base {
            Some(base) => self.gone_back(base.as_str()).await,
            None => self.lowered().await,
        }
    }

    async fn promote(&self, order: PromoteOrder) -> Result<PlatformState, PlatformError> {
        self.promoted(order.terms()).await
    }

    async fn revert(&self, warrant: &Warrant) -> Result<PlatformState, PlatformError> {
        self.gone_back(warrant.deployment().as_str()).await
    }

    /// Nothing is counted; capabilities say so, and nobody asks.
    async fn samples(&self) -> Result<Samples, PlatformError> {
        let (base, canary) = (ArmSamples::default(), ArmSamples::default());
        Ok(Samples { at: Timestamp::default(), base, canary })
    }

    async fn door(&self, arm: Arm) -> Result<Door, PlatformError> {
        let id = self.id_on(arm).await?.ok_or_else(|| self.unavailable("there is no canary"))?;
        let deployment = self.deployment(&id).await.map_err(|error| self.unread(&error))?;
        let bypass = self.settings.bypass.as_ref();
        let headers = bypass.map(|secret| (BYPASS.to_owned(), secret.expose().to_owned()));
        let url = self.client.url_of(&deployment.url);
        Ok(Door { url, headers: headers.into_iter().collect(), proof: None })
    }

    /// By Vercel's own word, asked anew: a deployment that was deleted is nobody.
    async fn identity(&self, arm: Arm) -> Result<Option<Identity>, PlatformError> {
        let Some(id) = self.id_on(arm).await? else { return Ok(None) };
        let asked = self.client.deployment(&id).await.map_err(|error| self.unread(&error))?;
        if asked.ready_state != "READY" {
            return Err(self.unavailable(format!("{id} is {}", asked.ready_state)));
        }
        if let Some(commit) = commit_of(&asked) {
            return Ok(Some(Identity { commit, digest: None }));
        }
        let url = self.client.url_of(&asked.url);
        let said = self.front.version_of(&url, self.settings.bypass.as_ref()).await;
        let said = said.map_err(|error| self.unavailable(error.to_string()))?;
        Ok(said.commit.map(|commit| Identity { commit, digest: None }))
    }

    async fn probe_keys(&self, count: u32) -> Result<Vec<ProbeAnswer>, PlatformError> {
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        let split = seen.split(self.memory().staged.as_ref());
        Ok(self.front.probe_keys(count, &split).await)
    }

    fn calls(&self) -> Vec<CallMade> {
        self.client.calls()
    }

    fn calls_of(&self, change: Change) -> Vec<String> {
        let project = &self.client.project;
        let rolling = format!("/v1/projects/{project}/rolling-release");
        match change {
            Change::Stage => vec![
                format!("GET {rolling}/billing"),
                format!("PATCH {rolling}/config (only where the stages differ)"),
            ],
            Change::Raise => vec![
                format!("GET {rolling}"),
                format!("POST {rolling}/start for the first stage, then approve-stage"),
            ],
            Change::Promote => vec![format!(
                "POST /v10/projects/{project}/promote/ID (none where it serves already)"
            )],
            Change::Back => vec![format!("POST /v1/projects/{project}/rollback/BASE")],
        }
    }

    fn deployer(&self) -> Option<&dyn Deployer> {
        Some(self)
    }

    fn pushes(&self) -> Option<&dyn Pushes> {
        Some(self)
    }

    fn board(&self) -> Option<&dyn Board> {
        self.settings.shows.is_some().then_some(self)
    }
}
