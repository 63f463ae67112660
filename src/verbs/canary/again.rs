//! A canary that lost its process: `resume` records what happened, by the same machine, and never
//! raises.

use super::acts::Acts;
use super::drive::{Ending, drive};
use super::judging::Judging;
use super::start::{Candidate, StartError, Started, refuse_detached};
use super::watch::Watch;
use crate::ledger::entry::{RolledBack, RolloutEnd, TrafficProof};
use crate::ledger::environment::Rollout;
use crate::rollout::machine::{Event, ExitKind};
use crate::rollout::plan::RolloutPlan;
use crate::rollout::ports::PlatformError;
use crate::verbs::book::BookError;
use crate::verbs::settle;
use crate::verbs::ship::Fleet;

/// Why there was nothing to do, or nothing was done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AgainError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Platform(#[from] PlatformError),
    #[error("no canary is under way in {0}")]
    NoneRunning(String),
    #[error("{0}")]
    Detached(StartError),
    #[error("the plan of rollout {0} in the ledger cannot be read: {1}")]
    Plan(String, String),
}

/// Ends the rollout that the ledger says is under way, as what it became.
pub(crate) async fn resume(fleet: &Fleet, judging: Judging) -> Result<Ending, AgainError> {
    let ship = &fleet.ship;
    let settled = settle::rollbacks(&*ship.book, &*fleet.platform, &ship.environment).await?;
    if let Some(back) = settled {
        ship.book.share().await;
        return Ok(recorded(back));
    }
    let state = ship.book.state().await?;
    let running = state.environment(&ship.environment).and_then(|e| e.rollout.clone());
    let Some(running) = running else {
        return Err(AgainError::NoneRunning(ship.environment.to_string()));
    };
    let plan: RolloutPlan = serde_json::from_value(running.started.plan.clone())
        .map_err(|e| AgainError::Plan(running.started.rollout.to_string(), e.to_string()))?;
    if let Err(why) = refuse_detached(&running, &fleet.platform.look().await?) {
        return Err(AgainError::Detached(why));
    }
    // Only an unattended canary is resumed: a living process keeps its lease.
    let held = ship.book.take_lease(&ship.environment).await?;
    settle::steps(&*ship.book, &ship.environment).await?;
    let seen = fleet.platform.look().await?;
    let granted = fleet.platform.capabilities().holds_grant;
    let first = Event::Resumed { weight: seen.weight, granted };
    let (candidate, started) = of_ledger(&running);
    let mut acts = Acts {
        fleet,
        plan: &plan,
        candidate: &candidate,
        gates: &[],
        ready: Vec::new(),
        started,
        held,
        watch: Watch::new(judging),
        granted: None,
        decided: Vec::new(),
        moved_us: None,
        lowering_since: None,
        proof: None,
        unwritten: Vec::new(),
        recorded: None,
        not_let_go: None,
    };
    let ending = drive(&plan, &mut acts, first).await;
    // An intent that waited in a file came in with the first entry that was written here.
    let settled = settle::rollbacks(&*ship.book, &*fleet.platform, &ship.environment).await;
    if let Err(error) = settled {
        ship.say(format!("ledger: {error}"));
    }
    Ok(ending)
}

/// A rollback was under way when its process died: there is nothing to resume but the writing.
fn recorded(back: RolledBack) -> Ending {
    let exit = match back.verified {
        TrafficProof::Verified => ExitKind::Done,
        TrafficProof::Requested | TrafficProof::Failed => ExitKind::Unverified,
    };
    Ending { end: Some(RolloutEnd::RolledBack), exit, reason: back.reason }
}

pub(super) fn of_ledger(running: &Rollout) -> (Candidate, Started) {
    let from = &running.started;
    let candidate = Candidate {
        release: from.release.clone(),
        commit: from.commit.clone(),
        digest: from.digest,
        deployment: from.canary.clone(),
    };
    let started = Started {
        rollout: from.rollout.clone(),
        base: from.base.clone(),
        base_commit: from.base_commit.clone(),
    };
    (candidate, started)
}
