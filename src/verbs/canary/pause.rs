//! `canary pause` and its end: decisions in the ledger. Whoever drives the canary sees them there,
//! and no raise is written while a pause is in force.

use crate::base::clock::Timestamp;
use crate::base::ids::OrcaId;
use crate::ledger::entry::{AfterPause, Body, Paused};
use crate::ledger::environment::Rollout;
use crate::verbs::book::BookError;
use crate::verbs::ship::Ship;

/// Holds the rollout where it is. Repeated, the newest pause holds.
pub(crate) async fn pause(
    ship: &Ship,
    rollout: &OrcaId,
    (until, then): (Timestamp, AfterPause),
    reason: &str,
) -> Result<(), BookError> {
    let (rollout, reason) = (rollout.clone(), reason.to_owned());
    let body = Body::Paused(Paused { rollout, until, then, reason });
    ship.book.decide(ship.note(body)).await.map(drop)
}

/// Lifts the pause that is in force; says whether there was one.
pub(crate) async fn lift(ship: &Ship, rollout: &Rollout, reason: &str) -> Result<bool, BookError> {
    if !rollout.paused.as_ref().is_some_and(|pause| pause.is_in_force(ship.now())) {
        return Ok(false);
    }
    let (rollout, reason) = (rollout.started.rollout.clone(), reason.to_owned());
    ship.book.decide(ship.note(Body::Unpaused { rollout, reason })).await.map(|_| true)
}
