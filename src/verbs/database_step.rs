//! What was done for a database, kept in the ledger: a step that raises nothing, with its outcome.
//! It is written when it is over, for nothing is left half-done that a next run would have to know.

use std::collections::BTreeMap;

use super::book::{Book, BookError, Note, Sync};
use crate::base::ids::Environment;
use crate::ledger::entry::{Body, Outcome};

/// What happened.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    /// Such as `db backup`.
    pub(crate) name: &'static str,
    pub(crate) detail: BTreeMap<String, String>,
    pub(crate) outcome: Outcome,
    /// One sentence.
    pub(crate) says: String,
}

/// Keeps it and shares what is kept.
pub(crate) async fn record(
    book: &dyn Book,
    environment: &Environment,
    done: Done,
) -> Result<Sync, BookError> {
    let step = book.id("st");
    let Done { name, detail, outcome, says } = done;
    let intent = Body::StepIntended { step: step.clone(), name: name.to_owned(), detail };
    book.keep(Note::of(environment, intent)).await?;
    let ended = Body::StepEnded { step, outcome, detail: says };
    book.keep(Note::of(environment, ended)).await?;
    Ok(book.share().await)
}
