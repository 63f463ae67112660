//! `canary abort`: users back to base, by one call, whatever the ledger knows. Not a failed change:
//! nothing is condemned but what was being rolled back already.

use std::sync::Arc;

use crate::base::ids::{DeploymentId, Environment, OrcaId};
use crate::base::limits;
use crate::ledger::entry::{Body, Outcome, RolloutEnd, TrafficProof};
use crate::rollout::ports::{Arm, Platform, PlatformError};
use crate::verbs::book::{Book, Note, Sync};
use crate::verbs::read_back::{self, ReadBack};
use crate::verbs::settle;
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
    /// Lowers, reads back, and only then writes down what became of it.
    pub(crate) async fn run(&self) -> Result<Aborted, PlatformError> {
        let (step, base) = self.intend().await.unzip();
        let state = match self.platform.lower_to_base(base.as_ref()).await {
            Ok(state) => state,
            Err(error) => {
                let is_uncertain =
                    matches!(error, PlatformError::Uncertain { .. } | PlatformError::InPart { .. });
                let outcome = if is_uncertain { Outcome::Unknown } else { Outcome::Failed };
                self.ended(step, outcome, &error.to_string()).await;
                return Err(error);
            }
        };
        if let Some(text) = state.unstored() {
            (self.tell)(&format!("warning: {text}"));
        }
        let commit = state.base_commit.as_ref();
        let seen = read_back::until_on(self.platform.as_ref(), Arm::Base, commit).await;
        let ledger = match &self.book {
            Some(book) => self.record(book.as_ref(), step, &seen).await,
            None => Sync::NoLedger,
        };
        Ok(Aborted { seen, ledger })
    }

    /// The intent and the base, where the ledger here knows at once what is under way.
    async fn intend(&self) -> Option<(OrcaId, DeploymentId)> {
        let book = self.book.as_ref()?;
        let known = tokio::time::timeout(limits::LEDGER_LOCK_ROLLBACK, book.state()).await;
        let Ok(Ok(state)) = known else {
            (self.tell)("ledger: not readable at once; going back all the same");
            return None;
        };
        let running = state.environment(&self.environment)?.rollout.as_ref()?;
        let step = book.id("st");
        let intent = Body::LowerIntended {
            step: step.clone(),
            rollout: Some(running.started.rollout.clone()),
            to: running.started.base.clone(),
            reason: self.reason.clone(),
            condemns: None,
        };
        if let Err(error) = book.keep_at_once(Note::of(&self.environment, intent)).await {
            (self.tell)(&format!("ledger: {error}; going back all the same"));
        }
        Some((step, running.started.base.clone()))
    }

    async fn ended(&self, step: Option<OrcaId>, outcome: Outcome, detail: &str) {
        let (Some(book), Some(step)) = (&self.book, step) else { return };
        let ended = Body::StepEnded { step, outcome, detail: detail.to_owned() };
        if let Err(error) = book.keep(Note::of(&self.environment, ended)).await {
            (self.tell)(&format!("ledger: {error}"));
        }
    }

    async fn record(&self, book: &dyn Book, step: Option<OrcaId>, seen: &ReadBack) -> Sync {
        let outcome = match seen.proof {
            TrafficProof::Verified => Outcome::Done,
            TrafficProof::Requested => Outcome::Unknown,
            TrafficProof::Failed => Outcome::Failed,
        };
        self.ended(step, outcome, &seen.headline).await;
        // A breach that somebody was going back from when the process died condemns all the same.
        let settled = settle::rollbacks(book, &*self.platform, &self.environment).await;
        if let Err(error) = settled {
            (self.tell)(&format!("ledger: {error}"));
        }
        let state = match book.state().await {
            Ok(state) => state,
            Err(error) => return Sync::Unwritten(error.to_string()),
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
                return Sync::of(&error);
            }
        }
        if let Err(error) = book.preempt_lease(&self.environment).await {
            (self.tell)(&format!("lease: {error}"));
        }
        book.share().await
    }
}
