//! Closes the whole service for users, or opens it: one call, read back from the platform and at the
//! front door. No ledger, lease, freeze or remote delays it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::book::{Book, Note, Sync};
use super::ship::Tell;
use crate::base::clock;
use crate::base::ids::{Environment, OrcaId};
use crate::ledger::entry::{Body, Outcome};
use crate::rollout::closing::Closing;
use crate::rollout::ports::{Platform, PlatformError};

/// How long the platform and the front door may take to show it.
const SHOWN_WITHIN: Duration = Duration::from_secs(15);
/// How often they are asked.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What users of a closed service get, on every platform.
const CLOSED_STATUS: u16 = 503;

/// What it needs. There may be no repository at all.
pub(crate) struct Maintenance {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) book: Option<Arc<dyn Book>>,
    pub(crate) environment: Environment,
    pub(crate) reason: String,
    /// When the command began.
    pub(crate) since: Instant,
    pub(crate) tell: Tell,
}

/// How it stands, and what was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) closed: bool,
    /// What the front door answered last.
    pub(crate) front: Option<u16>,
    /// Whether the platform and the front door both show it.
    pub(crate) is_shown: bool,
    /// False when a restart of the platform undoes it.
    pub(crate) is_stored: bool,
    /// From the command to that.
    pub(crate) shown_us: Option<u64>,
    pub(crate) ledger: Sync,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MaintenanceError {
    #[error("{0} answers users by no page of its own, so orca cannot close the service there")]
    Unable(String),
    #[error("{0}")]
    Platform(PlatformError),
}

impl Maintenance {
    pub(crate) fn closing(&self) -> Result<&dyn Closing, MaintenanceError> {
        let unable = || MaintenanceError::Unable(self.platform.capabilities().state_holder);
        self.platform.closing().ok_or_else(unable)
    }

    /// How it stands. Changes nothing.
    pub(crate) async fn look(&self) -> Result<Standing, MaintenanceError> {
        let closing = self.closing()?;
        let closed = closing.is_closed().await.map_err(MaintenanceError::Platform)?;
        let front = closing.front().await;
        let is_shown = shows(closed, front);
        Ok(Standing {
            closed,
            front,
            is_shown,
            is_stored: true,
            shown_us: None,
            ledger: Sync::NoLedger,
        })
    }

    /// Closes the service, or opens it. Run twice, it is so already, and verified again.
    pub(crate) async fn set(&self, closed: bool) -> Result<Standing, MaintenanceError> {
        let closing = self.closing()?;
        let step = self.intend(closed).await;
        let is_stored = match closing.set_closed(closed).await {
            Ok(is_stored) => is_stored,
            Err(error) => {
                let outcome = match &error {
                    PlatformError::Unavailable { .. } | PlatformError::Refused { .. } => {
                        Outcome::Failed
                    }
                    _ => Outcome::Unknown,
                };
                self.end(step, outcome, &error.to_string()).await;
                return Err(MaintenanceError::Platform(error));
            }
        };
        let (front, is_shown) = self.shown(closing, closed).await;
        let shown_us = is_shown.then(|| clock::elapsed_us(self.since));
        let outcome = if is_shown { Outcome::Done } else { Outcome::Unknown };
        let ledger = self.end(step, outcome, &sentence(closed, front)).await;
        Ok(Standing { closed, front, is_shown, is_stored, shown_us, ledger })
    }

    /// Asks until platform and front door show it, or too long.
    async fn shown(&self, closing: &dyn Closing, closed: bool) -> (Option<u16>, bool) {
        let until = clock::monotonic() + SHOWN_WITHIN;
        loop {
            let (says, front) = tokio::join!(closing.is_closed(), closing.front());
            if matches!(says, Ok(is) if is == closed) && shows(closed, front) {
                return (front, true);
            }
            if clock::monotonic() >= until {
                return (front, false);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn intend(&self, closed: bool) -> Option<OrcaId> {
        let book = self.book.as_ref()?;
        let step = book.id("st");
        let name = if closed { "maintenance on" } else { "maintenance off" };
        let detail = BTreeMap::from([("reason".to_owned(), self.reason.clone())]);
        let intent = Body::StepIntended { step: step.clone(), name: name.to_owned(), detail };
        if let Err(error) = book.keep_at_once(Note::of(&self.environment, intent)).await {
            (self.tell)(&format!("ledger: {error}; going on all the same"));
        }
        Some(step)
    }

    async fn end(&self, step: Option<OrcaId>, outcome: Outcome, says: &str) -> Sync {
        let (Some(book), Some(step)) = (&self.book, step) else { return Sync::NoLedger };
        let ended = Body::StepEnded { step, outcome, detail: says.to_owned() };
        match book.keep(Note::of(&self.environment, ended)).await {
            Ok(_) => book.share().await,
            Err(error) => Sync::of(&error),
        }
    }
}

/// Whether the front door shows it. An open service is shown by any answer of its own, whatever it
/// is; 503 may be the page still.
const fn shows(closed: bool, front: Option<u16>) -> bool {
    match front {
        Some(status) => (status == CLOSED_STATUS) == closed,
        None => false,
    }
}

/// What the front door answers, in words.
pub(crate) fn sentence(closed: bool, front: Option<u16>) -> String {
    let word = if closed { "closed" } else { "open" };
    match front {
        Some(status) => format!("{word}; the front door answers HTTP {status}"),
        None => format!("{word}; the front door does not answer"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_page_shows_that_it_is_closed_and_only_another_answer_that_it_is_open() {
        for (closed, front, is_shown) in [
            (true, Some(503), true),
            (true, Some(200), false),
            (true, Some(500), false),
            (true, None, false),
            (false, Some(200), true),
            (false, Some(404), true),
            (false, Some(503), false),
            (false, None, false),
        ] {
            assert_eq!(shows(closed, front), is_shown, "{closed} {front:?}");
        }
    }
}
