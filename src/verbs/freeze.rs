//! The freeze that everybody sees: set by hand, lifted with a reason, or looked at. It stops release
//! candidates and canaries of other versions. It never stops a rollback.

use super::book::{Book, BookError, Note};
use crate::base::clock::Timestamp;
use crate::base::ids::{Environment, ReleaseName};
use crate::ledger::entry::Body;
use crate::ledger::fold::Freeze;

/// The name under which a freeze by hand stands: no candidate is of that line, so none is admitted.
const BY_HAND: &str = "by-hand";

/// The freeze that holds at `now`, on the newest ledger.
pub(crate) async fn standing(book: &dyn Book, now: Timestamp) -> Result<Option<Freeze>, BookError> {
    Ok(book.synced().await?.freezes_at(now).next_back().cloned())
}

/// Freezes until `until`. Candidates of `admitted`'s version may still be tagged and shipped.
pub(crate) async fn freeze(
    book: &dyn Book,
    environment: &Environment,
    admitted: Option<ReleaseName>,
    (until, reason): (Timestamp, String),
) -> Result<(), BookError> {
    let by_hand = || ReleaseName::new(BY_HAND).expect("a constant name");
    let release = admitted.unwrap_or_else(by_hand);
    book.decide(Note::of(environment, Body::Frozen { release, until, reason })).await.map(drop)
}

/// Lifts `freeze`.
pub(crate) async fn unfreeze(
    book: &dyn Book,
    environment: &Environment,
    freeze: &Freeze,
    reason: String,
) -> Result<(), BookError> {
    let release = freeze.release.clone();
    book.decide(Note::of(environment, Body::Unfrozen { release, reason })).await.map(drop)
}
