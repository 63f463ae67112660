//! The way back. One changing call on the critical path, after at most one read when the ledger
//! does not know the target; verified by reading traffic back; the ledger is shared afterwards.
//! No lease, freeze, prompt, hook, remote or lock delays it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::meant;
use super::plan;
use super::target::{BackError, Target};
use crate::base::clock::{self, Timestamp};
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::ids::{DeploymentId, Environment, OrcaId};
use crate::base::units::Weight;
use crate::gate::clearance::Warrant;
use crate::ledger::entry::{Body, Outcome, RolledBack, RolloutEnd, TrafficProof};
use crate::plan::step::Description;
use crate::rollout::ports::{Arm, Lowering, Platform, PlatformError, PlatformState};
use crate::verbs::book::{Book, Note, Sync};
use crate::verbs::read_back::{self, ReadBack};
use crate::verbs::settle;
use crate::verbs::ship::Tell;

/// How long a failed rollback may spend on writing down that it failed.
const SAY_FAILED: Duration = Duration::from_secs(1);

/// What a rollback needs. There may be no repository at all.
#[derive(Clone)]
pub(crate) struct Rollback {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) book: Option<Arc<dyn Book>>,
    pub(crate) environment: Environment,
    pub(crate) reason: String,
    /// `--to`: a deployment that once served.
    pub(crate) to: Option<DeploymentId>,
    /// `--emergency`: traffic, its validation, and nothing beside them.
    pub(crate) emergency: bool,
    /// What is known to fail, where somebody does know: users leave it, whatever else was taken back
    /// before or has users beside it.
    pub(crate) fails: Option<DeploymentId>,
    /// When the command began, by both clocks.
    pub(crate) since: Instant,
    pub(crate) now: Timestamp,
    pub(crate) tell: Tell,
}

/// A rollback that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Back {
    pub(crate) target: Target,
    pub(crate) plan: Vec<Description>,
    pub(crate) proof: TrafficProof,
    pub(crate) headline: String,
    /// From the command to the platform's answer.
    pub(crate) moved_us: u64,
    pub(crate) verified_us: Option<u64>,
    /// What a restart of the platform would undo.
    pub(crate) unstored: Option<&'static str>,
    pub(crate) ledger: Sync,
}

impl Rollback {
    /// Goes back to `target`.
    pub(crate) async fn run(&self, target: Target) -> Result<Back, BackError> {
        let plan = plan::planned(self, &target);
        let step = self.intend(&target).await;
        hit(CrashPoint::StepAfterIntent);
        self.begin(&plan, plan::TRAFFIC);
        let moved = self.move_traffic(&target).await;
        let moved_us = clock::elapsed_us(self.since);
        hit(CrashPoint::StepAfterApply);
        self.begin(&plan, plan::VERIFY);
        let unstored = moved.as_ref().ok().and_then(PlatformState::unstored);
        let seen = match self.prove(&target, moved).await {
            Ok(seen) => seen,
            Err(error) => {
                self.nothing_moved(step, &error).await;
                return Err(BackError::Platform(error));
            }
        };
        let is_verified = seen.proof == TrafficProof::Verified;
        let verified_us = is_verified.then(|| clock::elapsed_us(self.since));
        if !is_verified {
            self.say_if_closed().await;
        }
        let back = Back {
            target,
            plan,
            proof: seen.proof,
            headline: seen.headline,
            moved_us,
            verified_us,
            unstored,
            ledger: Sync::NoLedger,
        };
        hit(CrashPoint::StepAfterVerify);
        let ledger = self.record(&back, step).await;
        Ok(Back { ledger, ..back })
    }

    /// Of a closed service no request can show who would serve.
    async fn say_if_closed(&self) {
        let Some(closing) = self.platform.closing() else { return };
        if matches!(closing.is_closed().await, Ok(true)) {
            (self.tell)(
                "the service is closed for users: orca maintenance off --reason R, then look again",
            );
        }
    }

    fn begin(&self, plan: &[Description], name: &str) {
        if let Some(step) = plan.iter().find(|step| step.name == name) {
            (self.tell)(&step.title);
        }
    }

    /// The step's id, by which its outcome is kept; nothing without a ledger.
    async fn intend(&self, target: &Target) -> Option<OrcaId> {
        let book = self.book.as_ref()?;
        let step = book.id("st");
        let intent = Body::LowerIntended {
            step: step.clone(),
            rollout: None,
            to: target.deployment.clone(),
            reason: self.reason.clone(),
            condemns: target.condemned.clone(),
        };
        if let Err(error) = book.keep_at_once(Note::of(&self.environment, intent)).await {
            (self.tell)(&format!("ledger: {error}; going back all the same"));
        }
        Some(step)
    }

    async fn move_traffic(&self, target: &Target) -> Result<PlatformState, PlatformError> {
        if target.lowers {
            return self
                .platform
                .lower_to_base(Some(&target.deployment), Lowering::RolledBack)
                .await;
        }
        let (deployment, commit) = (target.deployment.clone(), target.commit.clone());
        let warrant = Warrant::seen_live(deployment, commit, target.seen.clone());
        self.platform.revert(&warrant).await
    }

    /// What real requests show. Fails only when the call had no effect.
    async fn prove(
        &self,
        target: &Target,
        moved: Result<PlatformState, PlatformError>,
    ) -> Result<ReadBack, PlatformError> {
        let failed = |headline| ReadBack { proof: TrafficProof::Failed, headline };
        let arrived =
            |state: &PlatformState| state.base == target.deployment && state.weight == Weight::ZERO;
        match moved {
            Ok(state) if arrived(&state) => Ok(self.read_back(target).await),
            // The answer itself must show it: another base is no success, whoever answers probes.
            Ok(state) => Ok(failed(format!(
                "{} serves after the call, not {}",
                state.base, target.deployment
            ))),
            Err(error @ (PlatformError::Unavailable { .. } | PlatformError::Refused { .. })) => {
                Err(error)
            }
            // Answers of the right commit prove nothing for the users of the other domains.
            Err(error @ PlatformError::InPart { .. }) => Ok(failed(error.to_string())),
            // The reply was lost: look before any second call, and say honestly what serves.
            Err(error) => Ok(match self.platform.look().await {
                Ok(state) if arrived(&state) => self.read_back(target).await,
                Ok(state) => failed(format!("{error}; {} serves", state.base)),
                Err(second) => ReadBack {
                    proof: TrafficProof::Requested,
                    headline: format!("{error}; then {second}"),
                },
            }),
        }
    }

    async fn read_back(&self, target: &Target) -> ReadBack {
        read_back::until_on(self.platform.as_ref(), Arm::Base, target.commit.as_ref()).await
    }

    /// The call had no effect: its intent ends as failed, and condemns nothing.
    async fn nothing_moved(&self, step: Option<OrcaId>, error: &PlatformError) {
        let (Some(book), Some(step)) = (&self.book, step) else { return };
        let ended = Body::StepEnded { step, outcome: Outcome::Failed, detail: error.to_string() };
        let kept = book.keep(Note::of(&self.environment, ended));
        if let Ok(Err(error)) = tokio::time::timeout(SAY_FAILED, kept).await {
            (self.tell)(&format!("ledger: {error}"));
        }
    }

    /// A canary beside the release that users left ends with it: it failed nothing, unless a person
    /// left it too.
    async fn end_beside(&self, book: &dyn Book, back: &Back) {
        let Ok(state) = book.state().await else { return };
        let known = state.environment(&self.environment);
        let running = known.and_then(|e| e.rollout.as_ref());
        let left = back.target.from.as_ref().filter(|_| back.proof != TrafficProof::Failed);
        let beside = running.filter(|running| Some(&running.started.base) == left);
        let Some(running) = beside else { return };
        let is_left = self.to.is_some() && running.is_raised();
        let (end, said) = if is_left {
            (RolloutEnd::RolledBack, meant::past(running))
        } else {
            (RolloutEnd::Aborted, meant::beside(&running.started))
        };
        let ended = Body::RolloutEnded {
            rollout: running.started.rollout.clone(),
            end,
            reason: format!("its base was left: {}", self.reason),
        };
        match book.keep(Note::of(&self.environment, ended)).await {
            Ok(_) => (self.tell)(&said),
            Err(error) => (self.tell)(&format!("ledger: {error}")),
        }
    }

    async fn record(&self, back: &Back, step: Option<OrcaId>) -> Sync {
        let Some(book) = &self.book else { return Sync::NoLedger };
        self.begin(&back.plan, plan::RECORD);
        self.end_beside(book.as_ref(), back).await;
        let fact = Body::RolledBack(RolledBack {
            release: back.target.release.clone(),
            commit: back.target.condemned.clone(),
            from: back.target.from.clone(),
            to: back.target.deployment.clone(),
            seen: back.target.seen.clone(),
            reason: self.reason.clone(),
            verified: back.proof,
            moved_us: back.moved_us,
            verified_us: back.verified_us,
        });
        let kept = book.keep(Note::of(&self.environment, fact)).await;
        if let Some(step) = step {
            let outcome = match back.proof {
                TrafficProof::Verified => Outcome::Done,
                TrafficProof::Requested => Outcome::Unknown,
                TrafficProof::Failed => Outcome::Failed,
            };
            let ended = Body::StepEnded { step, outcome, detail: back.headline.clone() };
            if let Err(error) = book.keep(Note::of(&self.environment, ended)).await {
                (self.tell)(&format!("ledger: {error}"));
            }
        }
        hit(CrashPoint::StepAfterOutcome);
        if let Err(error) = kept {
            return Sync::of(&error);
        }
        if let Err(error) = settle::rollbacks(&**book, &*self.platform, &self.environment).await {
            (self.tell)(&format!("ledger: {error}"));
        }
        if let Err(error) = book.preempt_lease(&self.environment).await {
            (self.tell)(&format!("lease: {error}"));
        }
        if self.emergency {
            return Sync::Pending("not shared in an emergency".to_owned());
        }
        self.begin(&back.plan, plan::SHARE);
        book.share().await
    }
}
