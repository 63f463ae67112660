//! The order of it. Nothing before [`super::switch`] changes who serves, so whatever stops it there
//! leaves users where they are, and a second run goes on with the same standby.

use std::future::Future;

use super::judging::Judged;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::base::units::Micros;
use crate::gate::phase::{GateRequirement, Phase};
use crate::gate::verdict::{Cause, Verdict};
use crate::gate::waiver::Role;
use crate::ledger::entry::TrafficProof;
use crate::ledger::environment::Rollout;
use crate::ledger::fold::State;
use crate::rollout::board::{Decided, Notice};
use crate::rollout::criteria::Criteria;
use crate::rollout::deployer::{BuildOrder, Deployer};
use crate::rollout::machine::Denied;
use crate::rollout::plan::RolloutPlan;
use crate::rollout::ports::{PlatformError, Refused};
use crate::verbs::book::{BookError, Sync};
use crate::verbs::canary::start::Candidate;
use crate::verbs::ports::Standby;
use crate::verbs::read_back::ReadBack;
use crate::verbs::ship::{Fleet, PhaseGate};
use crate::verbs::waive::WaiveError;
use crate::verbs::{lease, notice, settle, standing, trusted};

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

impl Ended {
    /// What this says of the deployment.
    fn notice(&self) -> Notice {
        let proof = self.traffic.as_ref().map(|traffic| traffic.seen.proof);
        let verdict = self.judged.as_ref().map(|judged| judged.verdict);
        let decided = match (proof, verdict) {
            (Some(TrafficProof::Verified), _) => Decided::Good,
            (None, Some(Verdict::Fail)) => Decided::Bad,
            _ => Decided::Undecided,
        };
        let seen = self.traffic.as_ref().map(|traffic| traffic.seen.headline.as_str());
        let judged = self.judged.as_ref().map(|judged| judged.headline.as_str());
        let told: Vec<&str> = judged.into_iter().chain(seen).collect();
        Notice { decided, text: told.join("; ") }
    }
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
        let ended = self.gone_through().await;
        let shares =
            |error: &BlueGreenError| !matches!(error, BlueGreenError::Book(BookError::Unsynced(_)));
        if ended.as_ref().err().is_some_and(shares) {
            // How far it came is for every clone to read.
            lease::shared(&self.fleet.ship).await;
        }
        if let Ok(ended) = &ended {
            notice::show(self.fleet, &ended.deployment, ended.notice()).await;
        }
        ended
    }

    async fn gone_through(&self) -> Result<Ended, BlueGreenError> {
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
        let recorded = self.switch(&candidate, &judged, &seen).await?;
        let traffic = self.verified(true, &deployment).await;
        let ledger = self.written(recorded).await;
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
        if let Some(text) = standing::condemned(&state, self.fleet, &self.commit).await? {
            return Err(BlueGreenError::Condemned(text));
        }
        let thawed = state.thawed_for(&self.release, ship.now());
        thawed.map_err(|refused| BookError::Refused(refused.to_string()))?;
        let running = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
        if let Some(running) = running.filter(|running| is_attended(running)) {
            return Err(self.under_way(running));
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
        let before = state.applied_before(&ship.environment, None);
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
        if self.fleet.ship.bench.cancel.is_cancelled() { Err(interrupted(standby)) } else { Ok(()) }
    }

    /// Looks, and stops looking at a signal.
    pub(super) async fn unless_stopped<T>(
        &self,
        standby: &DeploymentId,
        looking: impl Future<Output = T>,
    ) -> Result<T, BlueGreenError> {
        tokio::select! {
            biased;
            () = self.fleet.ship.bench.cancel.cancelled() => Err(interrupted(standby)),
            seen = looking => Ok(seen),
        }
    }

    pub(super) fn under_way(&self, running: &Rollout) -> BlueGreenError {
        let (release, environment) = (&running.started.release, &self.fleet.ship.environment);
        BlueGreenError::RolloutUnderWay(format!(
            "a canary of {release} is under way in {environment}"
        ))
    }
}

pub(super) fn interrupted(standby: &DeploymentId) -> BlueGreenError {
    BlueGreenError::Interrupted(format!(
        "stopped by a signal before anybody was sent to {standby}; it stays there, without users"
    ))
}

/// Whether it goes on although nobody holds its lease: it has users, waits to be promoted, or ticks
/// carry it on.
pub(super) fn is_attended(running: &Rollout) -> bool {
    let plan = serde_json::from_value::<RolloutPlan>(running.started.plan.clone());
    let is_detached = plan.is_ok_and(|plan| plan.every.is_some());
    running.is_raised() || running.complete || is_detached
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Weight;
    use crate::ledger::fixture::{Told, environment, rollout};
    use crate::verbs::blue_green::switch::at_once;

    #[test]
    fn only_a_rollout_that_nobody_goes_on_with_is_ended() {
        let mut told = Told::new();
        told.live(rollout("v1.4.0-rc.1", '4', "d3"));
        let begun = told.state().environments[&environment("production")].rollout.clone().unwrap();
        let detached = RolloutPlan { every: Some(Micros::from_secs(300)), ..at_once() };
        let with = |change: &dyn Fn(&mut Rollout)| {
            let mut rollout = begun.clone();
            change(&mut rollout);
            rollout
        };
        for (rollout, expected) in [
            (begun.clone(), false),
            (with(&|r| r.started.plan = serde_json::to_value(at_once()).unwrap()), false),
            (with(&|r| r.started.plan = serde_json::to_value(&detached).unwrap()), true),
            (with(&|r| r.complete = true), true),
            (with(&|r| r.weight = Weight::FULL), true),
        ] {
            assert_eq!(is_attended(&rollout), expected, "{rollout:?}");
        }
    }
}
