//! `canary abort`: users back to base, by one call, whatever the ledger knows. Not a failed change:
//! nothing is condemned but what was being rolled back already.

use std::sync::Arc;
use std::time::Duration;

use crate::base::ids::{DeploymentId, Environment, OrcaId};
use crate::base::limits;
use crate::ledger::entry::{Body, Outcome, RolloutEnd, TrafficProof};
use crate::rollout::ports::{Arm, Lowering, Platform, PlatformError, PlatformState};
use crate::verbs::book::{Book, Note, Sync};
use crate::verbs::read_back::{self, ReadBack};
use crate::verbs::settle;
use crate::verbs::ship::Tell;

/// How long the platform is asked whether anything is under way, where the ledger says no.
const LOOK: Duration = Duration::from_secs(1);

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

/// What the ledger says of the canary that is to be aborted.
enum Known {
    Running {
        step: OrcaId,
        base: DeploymentId,
    },
    /// None is under way: this serves.
    Over {
        base: DeploymentId,
    },
    Nothing,
}

impl Abort {
    /// Lowers, reads back, and only then writes down what became of it.
    pub(crate) async fn run(&self) -> Result<Aborted, PlatformError> {
        let (step, lowered) = match self.known().await {
            Known::Running { step, base } => {
                (Some(step), self.platform.lower_to_base(Some(&base), Lowering::Withdrawn).await)
            }
            Known::Over { base } => (None, self.lower_unless_on(&base).await),
            Known::Nothing => (None, self.platform.lower_to_base(None, Lowering::Withdrawn).await),
        };
        let state = match lowered {
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

    /// What the ledger here knows at once; of what is under way the intent is written.
    async fn known(&self) -> Known {
        let Some(book) = self.book.as_ref() else { return Known::Nothing };
        let known = tokio::time::timeout(limits::LEDGER_LOCK_ROLLBACK, book.state()).await;
        let Ok(Ok(state)) = known else {
            (self.tell)("ledger: not readable at once; going back all the same");
            return Known::Nothing;
        };
        let environment = state.environment(&self.environment);
        let Some(running) = environment.and_then(|e| e.rollout.as_ref()) else {
            return match environment.and_then(|e| e.base.as_ref()) {
                Some(base) => Known::Over { base: base.deployment.clone() },
                None => Known::Nothing,
            };
        };
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
        Known::Running { step, base: running.started.base.clone() }
    }

    /// A release that was made the base for good is no canary any more, though some platforms still
    /// remember what it replaced. Anything else that the platform shows is taken back.
    async fn lower_unless_on(&self, base: &DeploymentId) -> Result<PlatformState, PlatformError> {
        match tokio::time::timeout(LOOK, self.platform.look()).await {
            Ok(Ok(seen)) if seen.canary.is_none() && seen.base == *base => Ok(seen),
            _ => self.platform.lower_to_base(None, Lowering::Withdrawn).await,
        }
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
