//! `canary advance`: a person's decision in the ledger. The raise that follows is made by whoever
//! drives the canary, under the lease and with a clearance, as every other.

use crate::ledger::advance::{NoAdvance, advanceable};
use crate::ledger::entry::{Advanced, Body};
use crate::ledger::environment::Rollout;
use crate::rollout::plan::RolloutPlan;
use crate::verbs::book::BookError;
use crate::verbs::ship::Ship;
use crate::verbs::{standing, trusted};

/// Who goes on from the stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum GoesOn {
    /// The process that holds the lease.
    Driver(String),
    /// The next `canary tick`.
    Tick,
}

/// Why the stage does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdvanceError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    NoAdvance(#[from] NoAdvance),
    #[error("nobody drives the canary of {0}: its process is gone")]
    Undriven(String),
    /// What this orca signs would not count as a person's word.
    #[error("{0}, so nobody would go on from it")]
    Untrusted(String),
}

/// The stage (1-based) that would go on, and by whom.
pub(crate) async fn standing(
    ship: &Ship,
    running: &Rollout,
) -> Result<(u32, GoesOn), AdvanceError> {
    let state = ship.book.synced().await?;
    standing::understood(&state)?;
    trusted::may_rule(ship, &running.started.commit, &trusted::PEOPLE)
        .await
        .map_err(|(_, why)| AdvanceError::Untrusted(why))?;
    let stage = advanceable(&state, &ship.environment, running)?;
    let lease = ship.book.lease(&ship.environment).await?;
    let live = lease.filter(|lease| lease.is_live(ship.now()));
    let plan = serde_json::from_value::<RolloutPlan>(running.started.plan.clone());
    let by_ticks = plan.is_ok_and(|plan| plan.every.is_some());
    match live.and_then(|lease| lease.holder) {
        Some(holder) => Ok((stage, GoesOn::Driver(holder))),
        None if by_ticks => Ok((stage, GoesOn::Tick)),
        None => Err(AdvanceError::Undriven(running.started.release.to_string())),
    }
}

/// Lets the stage go on. Where nobody holds the lease it is held for this, so that no two people
/// decide at once.
pub(crate) async fn advance(
    ship: &Ship,
    running: &Rollout,
    reason: &str,
) -> Result<(u32, GoesOn), AdvanceError> {
    let (stage, by) = standing(ship, running).await?;
    let rollout = running.started.rollout.clone();
    let body = Body::Advanced(Advanced { rollout, stage, reason: reason.to_owned() });
    let mut note = ship.note(body);
    let held = match by {
        GoesOn::Tick => Some(ship.book.take_lease(&ship.environment).await?),
        GoesOn::Driver(_) => None,
    };
    note.epoch = held.as_ref().map(|held| held.epoch);
    let decided = ship.book.decide(note).await;
    if let Some(held) = &held {
        ship.book.release_lease(&ship.environment, held).await;
    }
    decided?;
    Ok((stage, by))
}
