//! The user's commands as the platform of a rollout. Before each raise the state is read again and
//! compared; what a command does not say is never assumed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::answers::{source_samples, state_of};
use super::asking::Failed;
use super::command::Surroundings;
use super::contract::{Counted, Expectation, Operation, Request, State};
use crate::base::call_made::CallMade;
use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, DeploymentId};
use crate::base::units::{Micros, Weight};
use crate::gate::clearance::Warrant;
use crate::providers::front::FrontDoor;
use crate::providers::http::own_name;
use crate::rollout::ports::{
    Arm, ArmSamples, Capabilities, Door, Identity, Lowering, Measures, Platform, PlatformError,
    PlatformState, ProbeAnswer, PromoteOrder, Raise, Refused, Samples, SourceSamples, StageOrder,
    Weights,
};

/// The commands as configured.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    /// Program and arguments of each operation; `health` and `samples` may be missing.
    pub(crate) argv: BTreeMap<Operation, Vec<String>>,
    pub(crate) deadline: Duration,
    pub(crate) deploy_deadline: Duration,
    pub(crate) weights: Weights,
    /// What keeps a user on one version, in the team's words.
    pub(crate) stickiness: String,
    /// The request header by which the front chooses an arm, where it has one.
    pub(crate) arm_header: Option<String>,
}

/// Says one line to people.
type Tell = Arc<dyn Fn(&str) + Send + Sync>;

pub(crate) struct ExecPlatform {
    pub(crate) commands: Commands,
    pub(crate) surroundings: Surroundings,
    pub(crate) front: FrontDoor,
    pub(crate) environment: String,
    pub(crate) clock: Clock,
    pub(crate) tell: Tell,
    /// The commands run so far.
    pub(crate) made: Mutex<VecDeque<CallMade>>,
}

pub(super) const NAME: &str = "the exec platform";

/// The state a change counts on; nothing for one that goes back.
#[derive(Debug, Clone, Copy, Default)]
struct CountsOn {
    generation: u64,
    epoch: u64,
}

impl ExecPlatform {
    /// Reading changes nothing, so nothing is in doubt.
    fn unread(failed: Failed) -> PlatformError {
        PlatformError::Unavailable { platform: NAME.to_owned(), detail: failed.detail }
    }

    fn refused(refused: Refused) -> PlatformError {
        PlatformError::Refused { platform: NAME.to_owned(), refused }
    }

    fn uncertain(detail: String) -> PlatformError {
        PlatformError::Uncertain { platform: NAME.to_owned(), detail }
    }

    async fn read_state(&self) -> Result<State, PlatformError> {
        let answer = self.ask(self.request(Operation::Current)).await.map_err(Self::unread)?;
        answer.state.ok_or_else(|| {
            Self::unread(Failed {
                without_effect: None,
                detail: "current answered no state".to_owned(),
            })
        })
    }

    /// Makes one change and says what serves after it.
    async fn change(
        &self,
        request: Request,
        counts_on: CountsOn,
    ) -> Result<PlatformState, PlatformError> {
        let operation = request.operation;
        let answer = match self.ask(request).await {
            Ok(answer) => answer,
            Err(failed) => return Err(self.unchanged(failed, counts_on).await),
        };
        let state = match answer.state {
            Some(state) => state,
            None => self.read_state().await.map_err(|error| {
                Self::uncertain(format!("{} ended well, and then {error}", operation.as_str()))
            })?,
        };
        state_of(&state)
    }

    /// A change that failed: in doubt unless the command said that nothing changed.
    async fn unchanged(&self, failed: Failed, counts_on: CountsOn) -> PlatformError {
        let CountsOn { generation, epoch } = counts_on;
        match failed.without_effect {
            None => Self::uncertain(failed.detail),
            Some(Refused::Denied(detail)) => {
                PlatformError::Unavailable { platform: NAME.to_owned(), detail }
            }
            Some(Refused::StaleGeneration { .. }) => match self.look().await {
                Ok(found) if found.epoch > epoch => Self::refused(stale_epoch(&found, epoch)),
                Ok(found) => Self::refused(Refused::StaleGeneration {
                    expected: generation,
                    found: found.generation,
                }),
                Err(_) => Self::uncertain(failed.detail),
            },
            Some(refused) => Self::refused(refused),
        }
    }

    /// The state that a raise counts on, read again just before.
    async fn expected(&self, counts_on: CountsOn) -> Result<Expectation, PlatformError> {
        let CountsOn { generation, epoch } = counts_on;
        let state = self.read_state().await?;
        let found = state_of(&state)?;
        if found.epoch > epoch {
            return Err(Self::refused(stale_epoch(&found, epoch)));
        }
        if found.generation != generation {
            return Err(Self::refused(Refused::StaleGeneration {
                expected: generation,
                found: found.generation,
            }));
        }
        Ok(Expectation {
            base: state.base.deployment,
            canary: state.canary.map(|canary| canary.deployment),
            weight_bp: state.weight_bp,
            generation: state.generation,
            epoch,
        })
    }

    async fn back(&self, to: Option<&Warrant>) -> Result<PlatformState, PlatformError> {
        let request = Request {
            deployment: to.map(|warrant| warrant.deployment().to_string()),
            commit: to.and_then(Warrant::commit).map(ToString::to_string),
            ..self.request(Operation::Rollback)
        };
        let state = self.change(request, CountsOn::default()).await?;
        let elsewhere = to.is_some_and(|warrant| *warrant.deployment() != state.base);
        if state.weight > Weight::ZERO || elsewhere {
            let text = format!("rollback ended well, and {} still serves", shown(&state));
            return Err(Self::uncertain(text));
        }
        Ok(state)
    }
}

fn stale_epoch(found: &PlatformState, ours: u64) -> Refused {
    let who = found.lowered_by.clone().unwrap_or_else(|| "another orca".to_owned());
    Refused::StaleEpoch { ours, found: found.epoch, who }
}

fn shown(state: &PlatformState) -> String {
    let canary = state.canary.as_ref().map_or("no canary", |known| known.deployment.as_str());
    format!("{} with {canary} at {}", state.base, state.weight)
}

#[async_trait]
impl Platform for ExecPlatform {
    fn capabilities(&self) -> Capabilities {
        let counts = self.commands.argv.contains_key(&Operation::Samples);
        let rollback = self.commands.argv.get(&Operation::Rollback).and_then(|argv| argv.first());
        Capabilities {
            weights: self.commands.weights.clone(),
            holds_grant: false,
            measures: if counts { Measures::Users } else { Measures::Nothing },
            stickiness: self.commands.stickiness.clone(),
            state_holder: format!("what {} moves", rollback.map_or("exec", String::as_str)),
            abort_cost: format!("one command, at most {} s", self.commands.deadline.as_secs()),
        }
    }

    /// Commands may be written anew: who is served tells. Where no other machine can tell that, the
    /// commands do, by their digest, since they may hold anything.
    async fn own_name(&self) -> Result<Option<String>, PlatformError> {
        let url = own_name::of_address(self.front.url());
        if !own_name::is_loopback(&url) {
            return Ok(Some(format!("what serves {url}")));
        }
        let argv = self.commands.argv.values().map(|argv| argv.join("\0")).collect::<Vec<_>>();
        let commands = Digest::of(argv.join("\n").as_bytes());
        Ok(Some(format!("what the commands {} serve at {url}", commands.short())))
    }

    async fn look(&self) -> Result<PlatformState, PlatformError> {
        state_of(&self.read_state().await?)
    }

    async fn stage(&self, order: &StageOrder) -> Result<PlatformState, PlatformError> {
        let counts_on = CountsOn { generation: order.expect_generation, epoch: order.epoch };
        let request = Request {
            deployment: Some(order.canary.to_string()),
            commit: order.commit.as_ref().map(ToString::to_string),
            release: Some(order.salt.to_string()),
            expect: Some(self.expected(counts_on).await?),
            ..self.request(Operation::Deploy)
        };
        let state = self.change(request, counts_on).await?;
        let staged = state.canary.as_ref().is_some_and(|known| known.deployment == order.canary);
        if !staged || state.weight > Weight::ZERO {
            let text = format!("deploy ended well, and {} serves", shown(&state));
            return Err(Self::uncertain(text));
        }
        Ok(state)
    }

    async fn raise(&self, raise: Raise) -> Result<PlatformState, PlatformError> {
        let terms = raise.terms();
        let counts_on = CountsOn { generation: terms.expect_generation, epoch: terms.epoch };
        let request = Request {
            deployment: Some(terms.canary.to_string()),
            weight_bp: Some(terms.to.basis_points()),
            expect: Some(self.expected(counts_on).await?),
            ..self.request(Operation::Weight)
        };
        let state = self.change(request, counts_on).await?;
        if state.weight != terms.to {
            let text = format!("weight ended well, and {} serves", shown(&state));
            return Err(Self::uncertain(text));
        }
        Ok(state)
    }

    /// There are no grants: a weight stands until it is moved.
    async fn renew(&self, _: Micros, _: u64) -> Result<PlatformState, PlatformError> {
        self.look().await
    }

    /// The commands keep the base themselves. Their answers have no place for why users went back.
    async fn lower_to_base(
        &self,
        _: Option<&DeploymentId>,
        _: Lowering,
    ) -> Result<PlatformState, PlatformError> {
        self.back(None).await
    }

    async fn promote(&self, order: PromoteOrder) -> Result<PlatformState, PlatformError> {
        let terms = order.terms();
        let counts_on = CountsOn { generation: terms.expect_generation, epoch: terms.epoch };
        let request = Request {
            deployment: Some(terms.to.to_string()),
            expect: Some(self.expected(counts_on).await?),
            ..self.request(Operation::Promote)
        };
        let state = self.change(request, counts_on).await?;
        if state.base != terms.to {
            let text = format!("promote ended well, and {} serves", shown(&state));
            return Err(Self::uncertain(text));
        }
        Ok(state)
    }

    async fn revert(&self, warrant: &Warrant) -> Result<PlatformState, PlatformError> {
        self.back(Some(warrant)).await
    }

    async fn samples(&self) -> Result<Samples, PlatformError> {
        let answer = self.ask(self.request(Operation::Samples)).await.map_err(Self::unread)?;
        let unread = |detail: String| Self::unread(Failed { without_effect: None, detail });
        let counted =
            answer.samples.ok_or_else(|| unread("samples answered no samples".to_owned()))?;
        let arm = |counted: &Counted| -> Result<ArmSamples, PlatformError> {
            let users = source_samples(counted).map_err(|why| unread(format!("samples: {why}")))?;
            Ok(ArmSamples { users, probes: SourceSamples::default() })
        };
        let (base, canary) = (arm(&counted.base)?, arm(&counted.canary)?);
        Ok(Samples { at: self.clock.now(), base, canary })
    }

    /// By the header of the front where it has one, else at the deployment's own address.
    async fn door(&self, arm: Arm) -> Result<Door, PlatformError> {
        if let Some(header) = &self.commands.arm_header {
            let name = match arm {
                Arm::Base => "base",
                Arm::Canary => "canary",
            };
            let headers = vec![(header.clone(), name.to_owned())];
            return Ok(Door { url: self.front.url().to_owned(), headers, proof: None });
        }
        let deployment = self.deployment(arm).await?;
        match deployment.filter(is_url) {
            Some(deployment) => {
                Ok(Door { url: deployment.to_string(), headers: Vec::new(), proof: None })
            }
            None => Err(Self::refused(Refused::Unsupported(
                "asking one version by itself needs platform.exec.arm_header, or deployments that are \
                 URLs"
                    .to_owned(),
            ))),
        }
    }

    async fn identity(&self, arm: Arm) -> Result<Option<Identity>, PlatformError> {
        let Some(deployment) = self.deployment(arm).await? else { return Ok(None) };
        if self.commands.argv.contains_key(&Operation::Health) {
            return self.health(&deployment).await;
        }
        if !is_url(&deployment) {
            return Ok(None);
        }
        let version = self.front.version_at(deployment.as_str()).await;
        version.map_err(|e| Self::unread(Failed { without_effect: None, detail: e.to_string() }))
    }

    async fn probe_keys(&self, count: u32) -> Result<Vec<ProbeAnswer>, PlatformError> {
        Ok(self.front.probe_keys(count).await)
    }

    fn calls(&self) -> Vec<CallMade> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl ExecPlatform {
    async fn deployment(&self, arm: Arm) -> Result<Option<DeploymentId>, PlatformError> {
        let state = self.look().await?;
        Ok(match arm {
            Arm::Base => Some(state.base),
            Arm::Canary => state.canary.map(|known| known.deployment),
        })
    }

    async fn health(&self, deployment: &DeploymentId) -> Result<Option<Identity>, PlatformError> {
        let request =
            Request { deployment: Some(deployment.to_string()), ..self.request(Operation::Health) };
        let answer = self.ask(request).await.map_err(Self::unread)?;
        let unread = |detail: String| Self::unread(Failed { without_effect: None, detail });
        let health = answer.health.ok_or_else(|| unread("health answered no health".to_owned()))?;
        if !health.healthy {
            let why = health.detail.unwrap_or_else(|| "it does not say why".to_owned());
            return Err(unread(format!("{deployment} is not healthy: {why}")));
        }
        let Some(commit) = health.commit else { return Ok(None) };
        let commit = CommitId::new(commit).map_err(|error| unread(error.to_string()))?;
        Ok(Some(Identity { commit, digest: health.digest.as_deref().and_then(Digest::parse) }))
    }
}

fn is_url(deployment: &DeploymentId) -> bool {
    ["http://", "https://"].iter().any(|scheme| deployment.as_str().starts_with(scheme))
}
