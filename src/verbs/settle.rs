//! What a process that died left open is written down by the next one. Nothing here moves traffic,
//! and writing it twice changes nothing: whoever is still at it finds its own outcome ignored.

use super::book::{Book, BookError, Note};
use super::read_back;
use crate::base::ids::{Environment, OrcaId};
use crate::base::units::Weight;
use crate::gate::clearance::SeenLive;
use crate::ledger::entry::{Body, Outcome, RolledBack, TrafficProof};
use crate::ledger::fold::{Dangling, State};
use crate::rollout::ports::{Arm, Platform};

/// A rollback that was begun, and whose end nobody wrote: it condemns all the same. Answers the
/// last one that was recorded now.
pub(crate) async fn rollbacks(
    book: &dyn Book,
    platform: &dyn Platform,
    environment: &Environment,
) -> Result<Option<RolledBack>, BookError> {
    let mut last = None;
    let state = book.state().await?;
    for (step, left) in open(&state, environment) {
        let Body::LowerIntended { to, reason, condemns: Some(commit), .. } = &left.intent else {
            continue;
        };
        let known = state.environment(environment);
        let (outcome, detail) = if known.is_some_and(|e| e.condemned.contains_key(commit)) {
            (Outcome::Unknown, "recorded by another rollback".to_owned())
        } else {
            // Nobody can be asked: the next verb that looks will find it again.
            let Ok(seen) = platform.look().await else { continue };
            let arrived = seen.base == *to && seen.weight == Weight::ZERO;
            let commit_there = seen.base_commit.as_ref();
            let proof = if arrived {
                read_back::until_on(platform, Arm::Base, commit_there).await.proof
            } else {
                TrafficProof::Failed
            };
            let base = known.and_then(|e| e.base.as_ref());
            let running = known.and_then(|e| e.rollout.as_ref()).map(|r| &r.started);
            let release = running
                .filter(|started| started.commit == *commit)
                .map(|started| started.release.clone())
                .or_else(|| base.filter(|b| b.commit.as_ref() == Some(commit))?.release.clone());
            let fact = RolledBack {
                release,
                commit: Some(commit.clone()),
                from: None,
                to: to.clone(),
                seen: SeenLive::Ledger { entry: left.by.entry.clone() },
                reason: format!("{reason} (begun by {}, whose process died)", left.by.name),
                verified: proof,
                moved_us: 0,
                verified_us: None,
            };
            book.keep(Note::of(environment, Body::RolledBack(fact.clone()))).await?;
            last = Some(fact);
            let outcome = if arrived { Outcome::Done } else { Outcome::Failed };
            (outcome, format!("found by the next orca: {} serves", seen.base))
        };
        book.keep(ended(environment, step, outcome, detail)).await?;
    }
    Ok(last)
}

/// Every other step that was begun here, by a process that is known to be gone: its outcome is
/// unknown. Ask only while holding the lease.
pub(crate) async fn steps(book: &dyn Book, environment: &Environment) -> Result<(), BookError> {
    let state = book.state().await?;
    for (step, left) in open(&state, environment) {
        if is_of_traffic(&left.intent) {
            let detail = "its process died; the platform was looked at instead".to_owned();
            book.keep(ended(environment, step, Outcome::Unknown, detail)).await?;
        }
    }
    Ok(())
}

/// Whether [`steps`] would write anything.
pub(crate) fn any_steps(state: &State, environment: &Environment) -> bool {
    open(state, environment).any(|(_, left)| is_of_traffic(&left.intent))
}

fn is_of_traffic(intent: &Body) -> bool {
    match intent {
        Body::RaiseIntended { .. } | Body::PromoteIntended { .. } => true,
        Body::LowerIntended { condemns, .. } => condemns.is_none(),
        _ => false,
    }
}

/// Steps towards `release` of a process that died, once a later run has gone all the way: what they
/// were to do is done.
pub(crate) async fn release_steps(
    book: &dyn Book,
    environment: &Environment,
    release: &str,
) -> Result<(), BookError> {
    let state = book.state().await?;
    for (step, left) in open(&state, environment) {
        let Body::StepIntended { detail, .. } = &left.intent else { continue };
        if detail.get("release").is_some_and(|name| name == release) {
            let detail = "its process died; a later run found it done, or did it".to_owned();
            book.keep(ended(environment, step, Outcome::Unknown, detail)).await?;
        }
    }
    Ok(())
}

fn open<'a>(
    state: &'a State,
    environment: &'a Environment,
) -> impl Iterator<Item = (&'a OrcaId, &'a Dangling)> {
    state.dangling.iter().filter(|(_, left)| left.environment.as_ref() == Some(environment))
}

fn ended(environment: &Environment, step: &OrcaId, outcome: Outcome, detail: String) -> Note {
    Note::of(environment, Body::StepEnded { step: step.clone(), outcome, detail })
}
