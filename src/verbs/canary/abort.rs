//! `canary abort`: users back to base, by one call, whatever the ledger knows. Not a failed change:
//! nothing is condemned.

use std::sync::Arc;

use crate::base::ids::Environment;
use crate::ledger::entry::{Body, RolloutEnd, TrafficProof};
use crate::rollout::ports::{Arm, Platform, PlatformError};
use crate::verbs::book::{Book, Note, Sync};
use crate::verbs::read_back::{self, ReadBack};
use crate::verbs::ship::Tell;

/// What an abort needs. There may be no ledger.
#[derive(Clone)]
pub(crate) struct Abort {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) book: Option<Arc<dyn Book>>,
    pub(crate) environment: Environment,
    pub(crate) reason: String,
    pub(crate) tell: Tell,
}

/// An abort that reached the platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aborted {
    pub(crate) seen: ReadBack,
    pub(crate) ledger: Sync,
}

impl Abort {
    /// Lowers, reads back, and only then writes it down.
    pub(crate) async fn run(&self) -> Result<Aborted, PlatformError> {
        let state = self.platform.lower_to_base().await?;
        if let Some(text) = state.unstored() {
            (self.tell)(&format!("warning: {text}"));
        }
        let commit = state.base_commit.as_ref();
        let seen = read_back::until_on(self.platform.as_ref(), Arm::Base, commit).await;
        let ledger = match &self.book {
            Some(book) => self.record(book.as_ref(), &seen).await,
            None => Sync::NoLedger,
        };
        Ok(Aborted { seen, ledger })
    }

    async fn record(&self, book: &dyn Book, seen: &ReadBack) -> Sync {
        let state = match book.state().await {
            Ok(state) => state,
            Err(error) => return Sync::Pending(error.to_string()),
        };
        let running = state.environment(&self.environment).and_then(|e| e.rollout.as_ref());
        if let Some(running) = running {
            let proof = match seen.proof {
                TrafficProof::Verified => "verified",
                TrafficProof::Requested => "not verified",
                TrafficProof::Failed => "failed",
            };
            let ended = Body::RolloutEnded {
                rollout: running.started.rollout.clone(),
                end: RolloutEnd::Aborted,
                reason: format!("{} ({proof})", self.reason),
            };
            if let Err(error) = book.keep(Note::of(&self.environment, ended)).await {
                return Sync::Pending(error.to_string());
            }
        }
        if let Err(error) = book.preempt_lease(&self.environment).await {
            (self.tell)(&format!("lease: {error}"));
        }
        book.share().await
    }
}
