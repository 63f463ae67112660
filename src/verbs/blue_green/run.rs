//! The order of it. Nothing before [`super::switch`] changes who serves, so whatever stops it there
//! leaves users where they are, and a second run goes on with the same standby.

use std::time::Duration;

use super::judging::Judged;
use crate::base::clock;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::base::units::Micros;
use crate::gate::phase::{GateRequirement, Phase};
use crate::gate::verdict::{Cause, Verdict};
use crate::gate::waiver::Role;
use crate::ledger::entry::TrafficProof;
use crate::ledger::fold::State;
use crate::rollout::criteria::Criteria;
use crate::rollout::deployer::{BuildOrder, Deployer};
use crate::rollout::machine::Denied;
use crate::rollout::ports::{Arm, PlatformError, Refused};
use crate::verbs::book::{BookError, Sync};
use crate::verbs::canary::start::Candidate;
use crate::verbs::ports::Standby;
use crate::verbs::read_back::{self, ReadBack};
use crate::verbs::ship::{Fleet, PhaseGate};
use crate::verbs::waive::WaiveError;
use crate::verbs::{settle, standing, trusted};

/// What is to be shipped, and how.
pub(crate) struct BlueGreen<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) release: ReleaseName,
    /// The version that the candidate becomes, such as `v1.4.0`.
    pub(crate) version: ReleaseName,
    pub(crate) commit: CommitId,
    /// Gates that must be open before anything is built.
    pub(crate) preflight: &'a [PhaseGate],
    pub(crate) standby: &'a dyn Standby,
    pub(crate) settings: Settings,
    pub(crate) forced: Option<Forced>,
}

/// How long, and by what it is judged.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) criteria: Criteria,
    pub(crate) build_within: Micros,
    /// How long the version before is watched to be left alone after the switch.
    pub(crate) drain: Micros,
    /// Build anew although a standby of this candidate is there.
    pub(crate) rebuild: bool,
}

/// Somebody tolerates what the criteria find.
#[derive(Debug, Clone)]
pub(crate) struct Forced {
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) role: Role,
}

/// How far it came.
pub(crate) struct Ended {
    pub(crate) deployment: DeploymentId,
    /// Who served before: where a rollback leads.
    pub(crate) previous: Option<DeploymentId>,
    /// Absent where an earlier run had sent users there already.
    pub(crate) judged: Option<Judged>,
    /// Absent when nobody was sent there.
    pub(crate) traffic: Option<Traffic>,
    pub(crate) ledger: Sync,
}

/// What is known of traffic after the switch.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) seen: ReadBack,
    /// Whether this run moved it, or found it moved.
    pub(crate) moved: bool,
    pub(crate) drain: Option<Drain>,
}

/// The time after the switch.
#[derive(Debug)]
pub(crate) struct Drain {
    pub(crate) took: Micros,
    /// Cut short by a signal.
    pub(crate) cut: bool,
}

/// Why it did not come to its end. Unless it says otherwise nobody was moved.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlueGreenError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Platform(#[from] PlatformError),
    #[error("{0}")]
    Waive(#[from] WaiveError),
    #[error("{0}")]
    Condemned(String),
    #[error("{0}")]
    RolloutUnderWay(String),
    #[error("{0}, so no ruling about the standby would count")]
    Untrusted(String),
    #[error("{}", denied_text(.0))]
    Denied(Denied),
    #[error("{0}")]
    Interrupted(String),
    #[error("the build of {deployment} failed: {why}")]
    BuildFailed { deployment: DeploymentId, why: String, inspect: Option<String> },
    #[error("the standby {deployment} is {word}: somebody took it away meanwhile")]
    BuildGone { deployment: DeploymentId, word: String },
    #[error("{deployment} is {word} after {within}")]
    BuildTooLong { deployment: DeploymentId, word: String, within: Micros },
    #[error("a build may have been begun, and cannot be found: {0}")]
    BuildUncertain(String),
    #[error("{0} serves already, and orca did not send users there")]
    ServesUnjudged(DeploymentId),
    #[error("the standby cannot be loaded: {0}")]
    Load(String),
}

fn denied_text(denied: &Denied) -> &str {
    match denied {
        Denied::Expired { detail } | Denied::Undecided { detail } | Denied::Closed { detail } => {
            detail
        }
    }
}

impl BlueGreen<'_> {
    pub(crate) async fn run(&self) -> Result<Ended, BlueGreenError> {
        let ship = &self.fleet.ship;
        let deployer = self.deployer()?;
        self.prepared().await?;
        deployer.able().await?;
        let build = self.built(deployer).await?;
        let seen = deployer.adopt(&build.deployment, &self.commit).await?;
        let deployment = build.deployment;
        if seen.base == deployment {
            return self.found_moved(deployment, &seen).await;
        }
        let candidate = self.candidate(deployment.clone());
        let judged = self.judged(&candidate).await?;
        self.stopped(&deployment)?;
        let previous = Some(seen.base.clone());
        if !judged.verdict.opens() {
            let (judged, ledger) = (Some(judged), ship.book.share().await);
            return Ok(Ended { deployment, previous, judged, traffic: None, ledger });
        }
        self.switch(&candidate, &judged, &seen).await?;
        let traffic = self.verified(true).await;
        let ledger = self.written().await?;
        Ok(Ended { deployment, previous, judged: Some(judged), traffic: Some(traffic), ledger })
    }

    pub(super) fn deployer(&self) -> Result<&dyn Deployer, BlueGreenError> {
        let platform = &self.fleet.platform;
        platform.deployer().ok_or_else(|| {
            let platform = platform.capabilities().state_holder;
            let text = "it builds nothing that orca could ask for".to_owned();
            PlatformError::Refused { platform, refused: Refused::CannotBuild(text) }.into()
        })
    }

    pub(super) fn order(&self) -> BuildOrder {
        BuildOrder { release: self.release.clone(), commit: self.commit.clone() }
    }

    /// On Vercel the deployment's id stands for the artifact.
    fn candidate(&self, deployment: DeploymentId) -> Candidate {
        let (release, commit) = (self.release.clone(), self.commit.clone());
        Candidate { release, commit, digest: None, deployment }
    }

    /// Everything that would refuse it later refuses it now, before anything is built.
    async fn prepared(&self) -> Result<(), BlueGreenError> {
        let ship = &self.fleet.ship;
        standing::understood(&*ship.book.synced().await?)?;
        settle::rollbacks(&*ship.book, &*self.fleet.platform, &ship.environment).await?;
        let state = ship.book.state().await?;
        if let Some(text) = standing::condemned(&state, &ship.environment, &self.commit) {
            return Err(BlueGreenError::Condemned(text));
        }
        let thawed = state.thawed_for(&self.release, ship.now());
        thawed.map_err(|refused| BookError::Refused(refused.to_string()))?;
        let running = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
        if let Some(running) = running.filter(|running| running.is_raised() || running.complete) {
            return Err(BlueGreenError::RolloutUnderWay(format!(
                "a canary of {} has users in {}",
                running.started.release, ship.environment
            )));
        }
        trusted::may_rule(ship, &self.commit, &trusted::RULES)
            .await
            .map_err(|(_, why)| BlueGreenError::Untrusted(why))?;
        self.preflight_is_open(&state).await
    }

    async fn preflight_is_open(&self, state: &State) -> Result<(), BlueGreenError> {
        let ship = &self.fleet.ship;
        let subject = crate::gate::ruling::Subject {
            commit: self.commit.clone(),
            digest: None,
            environment: ship.environment.clone(),
        };
        let requirements: Vec<GateRequirement> =
            self.preflight.iter().map(PhaseGate::requirement).collect();
        let rulings = ship.recall(state, &subject).await?;
        let before = standing::applied_before(state, &ship.environment);
        let phase = ship.phase((Phase::Preflight, &subject), &requirements, &rulings, &before);
        let detail = format!("phase preflight is {}: {}", phase.verdict(), phase.headline());
        let denied = match (phase.verdict(), phase.cause()) {
            (verdict, _) if verdict.opens() => return Ok(()),
            (_, Some(Cause::Expired)) => Denied::Expired { detail },
            (Verdict::Inconclusive, _) => Denied::Undecided { detail },
            _ => Denied::Closed { detail },
        };
        Err(BlueGreenError::Denied(denied))
    }

    /// A signal ends it, as long as nobody was moved.
    pub(super) fn stopped(&self, standby: &DeploymentId) -> Result<(), BlueGreenError> {
        if !self.fleet.ship.bench.cancel.is_cancelled() {
            return Ok(());
        }
        Err(BlueGreenError::Interrupted(format!(
            "stopped by a signal before anybody was sent to {standby}; it stays there, without users"
        )))
    }

    /// Reads traffic back, waits for what is open on the version before, and reads again.
    pub(super) async fn verified(&self, moved: bool) -> Traffic {
        let (ship, platform) = (&self.fleet.ship, self.fleet.platform.as_ref());
        let commit = Some(&self.commit);
        let seen = read_back::until_on(platform, Arm::Base, commit).await;
        ship.say(format!("traffic: {}", seen.headline));
        if !moved || seen.proof != TrafficProof::Verified || self.settings.drain.0 == 0 {
            return Traffic { seen, moved, drain: None };
        }
        ship.say(format!(
            "drain: open requests have {} to end on the version before",
            self.settings.drain
        ));
        let start = clock::monotonic();
        let cut = tokio::select! {
            () = ship.bench.cancel.cancelled() => true,
            () = tokio::time::sleep(self.settings.drain.duration()) => false,
        };
        let took = Micros::from_millis(millis(clock::since(start)));
        let again = read_back::until_on(platform, Arm::Base, commit).await;
        Traffic { seen: again, moved, drain: Some(Drain { took, cut }) }
    }

    /// What dead runs left open is closed, and everything is shared.
    pub(super) async fn written(&self) -> Result<Sync, BlueGreenError> {
        let ship = &self.fleet.ship;
        let release = self.release.as_str();
        settle::release_steps(&*ship.book, &ship.environment, release).await?;
        Ok(ship.book.share().await)
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
