//! The ledger as the journal of a plan.

use std::sync::Arc;

use async_trait::async_trait;

use super::book::{Book, BookError, Note};
use crate::base::ids::{Environment, OrcaId};
use crate::ledger::entry::{Body, Outcome};
use crate::plan::journal::{Journal, JournalError};

pub(crate) struct BookJournal {
    book: Arc<dyn Book>,
    environment: Environment,
}

impl BookJournal {
    pub(crate) fn new(book: Arc<dyn Book>, environment: Environment) -> Self {
        Self { book, environment }
    }
}

fn journal_error(error: BookError) -> JournalError {
    match error.cause() {
        BookError::Refused(text) | BookError::Frozen(text) => JournalError::Refused(text),
        BookError::Unsound(unsound) => JournalError::Unsound(unsound),
        other => JournalError::Unwritten(other.to_string()),
    }
}

#[async_trait]
impl Journal for BookJournal {
    fn step_id(&self) -> OrcaId {
        self.book.id("st")
    }

    async fn intend(&self, body: Body) -> Result<(), JournalError> {
        let note = Note::of(&self.environment, body);
        self.book.keep(note).await.map(|_| ()).map_err(journal_error)
    }

    async fn ended(
        &self,
        step: &OrcaId,
        outcome: Outcome,
        detail: &str,
    ) -> Result<(), JournalError> {
        let body = Body::StepEnded { step: step.clone(), outcome, detail: detail.to_owned() };
        self.intend(body).await
    }
}
