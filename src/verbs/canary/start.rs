//! Before the first raise: is there anything that forbids this canary, can its stages be decided
//! with this traffic, and does the platform know the new version at weight zero?

use super::acts::Acts;
use super::drive::{Ending, drive};
use super::judging::Judging;
use super::once::{Rest, once};
use super::watch::Watch;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, DeploymentId, Environment, OrcaId, ReleaseName};
use crate::base::units::{Micros, Weight};
use crate::gate::ruling::Subject;
use crate::ledger::entry::{Body, Outcome, RolloutEnd, RolloutStarted};
use crate::ledger::environment::Rollout;
use crate::ledger::fold::State;
use crate::rollout::machine::{self, Event};
use crate::rollout::plan::{DecideBy, PlanError, RolloutPlan};
use crate::rollout::ports::{
    Arm, Capabilities, Lowering, PlatformError, PlatformState, Refused, StageOrder,
};
use crate::verbs::book::{BookError, Held};
use crate::verbs::gates;
use crate::verbs::settle;
use crate::verbs::ship::{Fleet, PhaseGate};
use crate::verbs::standing;
use crate::verbs::trusted;

/// What is to be shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
    /// The artifact, where the new version says which it is.
    pub(crate) digest: Option<Digest>,
    pub(crate) deployment: DeploymentId,
}

impl Candidate {
    pub(crate) fn subject(&self, environment: &Environment) -> Subject {
        Subject {
            commit: self.commit.clone(),
            digest: self.digest,
            environment: environment.clone(),
        }
    }
}

/// A rollout as it was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Started {
    pub(crate) rollout: OrcaId,
    pub(crate) base: DeploymentId,
    pub(crate) base_commit: Option<CommitId>,
}

/// Why a canary did not start. Nothing gained exposure.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Platform(#[from] PlatformError),
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Condemned(String),
    #[error("{0} already serves as the base")]
    AlreadyBase(DeploymentId),
    /// Ticks carry another canary on.
    #[error("the canary of {release} is carried on by ticks every {every}: it has {weight}")]
    Detached { release: ReleaseName, every: Micros, weight: Weight },
    #[error("{0}")]
    Undecidable(String),
    /// Nothing would be seen of a stage, however long it lasts.
    #[error("{0}")]
    Unmeasured(String),
    /// The plan's triggers ask the new version, and nobody says where.
    #[error("the triggers unhealthy_for and critical ask the new version itself: {0}")]
    Unasked(String),
    /// What this orca signs would not count when its stages are recalled.
    #[error("{0}, so no ruling about a stage would count")]
    Untrusted(String),
}

/// A plan that this platform cannot hold, or that nobody could judge on it.
pub(crate) fn refuse_unfit(
    plan: &RolloutPlan,
    platform: &Capabilities,
    judging: &Judging,
) -> Result<(), StartError> {
    plan.fits(platform)?;
    judging.unmeasured(plan, platform).map_or(Ok(()), |text| Err(StartError::Unmeasured(text)))
}

/// Between two ticks nobody holds the lease, and yet somebody attends.
pub(super) fn refuse_detached(running: &Rollout, seen: &PlatformState) -> Result<(), StartError> {
    let plan = serde_json::from_value::<RolloutPlan>(running.started.plan.clone());
    let every = plan.ok().and_then(|plan| plan.every);
    match every {
        Some(every) if seen.weight > Weight::ZERO => Err(StartError::Detached {
            release: running.started.release.clone(),
            every,
            weight: seen.weight,
        }),
        _ => Ok(()),
    }
}

/// A canary that may begin.
pub(crate) struct Canary<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) plan: &'a RolloutPlan,
    pub(crate) candidate: Candidate,
    pub(crate) gates: &'a [PhaseGate],
    pub(crate) judging: Judging,
    /// Go on although a stage cannot be decided: it will hold and be withdrawn.
    pub(crate) force_undecidable: bool,
}

impl Canary<'_> {
    /// Starts and drives the canary to its end.
    pub(crate) async fn run(mut self) -> Result<Ending, StartError> {
        let (started, held) = self.under_way().await?;
        let mut acts = self.acts(started, held);
        Ok(drive(self.plan, &mut acts, Event::Started).await)
    }

    /// Starts it, and leaves it to ticks at its first rest.
    pub(crate) async fn detach(mut self) -> Result<Rest, StartError> {
        let (started, held) = self.under_way().await?;
        let mut acts = self.acts(started, held);
        let state = machine::State::new(acts.now());
        Ok(once(self.plan, &mut acts, state, vec![Event::Started]).await)
    }

    /// The canary at weight zero, and the right to raise it.
    async fn under_way(&mut self) -> Result<(Started, Held), StartError> {
        let ship = &self.fleet.ship;
        self.plan.validate()?;
        refuse_unfit(self.plan, &self.fleet.platform.capabilities(), &self.judging)?;
        let state = ship.book.synced().await?;
        standing::understood(&state)?;
        settle::rollbacks(&*ship.book, &*self.fleet.platform, &ship.environment).await?;
        let state = ship.book.state().await?;
        self.refuse_condemned(&state).await?;
        trusted::may_rule(ship, &self.candidate.commit, &trusted::RULES)
            .await
            .map_err(|(_, why)| StartError::Untrusted(why))?;
        let seen = self.fleet.platform.look().await?;
        if seen.base == self.candidate.deployment {
            return Err(StartError::AlreadyBase(seen.base));
        }
        let by_users = self.plan.stages.iter().any(|stage| stage.decide_by == DecideBy::Users);
        if by_users && !self.force_undecidable {
            self.refuse_undecidable().await?;
        }
        if self.plan.stages.iter().any(|stage| stage.decide_by == DecideBy::Paired) {
            self.fleet.platform.door(Arm::Base).await?;
        }
        self.refuse_unasked().await?;
        let held = ship.take_lease_above(seen.epoch).await?;
        let seen = self.end_unattended(&state, seen, &held).await?;
        settle::steps(&*ship.book, &ship.environment).await?;
        let held =
            if seen.epoch < held.epoch { held } else { ship.take_lease_above(seen.epoch).await? };
        match self.begin(&seen, &held).await {
            Ok(started) => Ok((started, held)),
            Err(error) => {
                ship.book.release_lease(&ship.environment, &held).await;
                Err(error)
            }
        }
    }

    /// A canary whose process died is ended first: its lease was free, so nobody attends it.
    async fn end_unattended(
        &self,
        state: &State,
        seen: PlatformState,
        held: &Held,
    ) -> Result<PlatformState, StartError> {
        let ship = &self.fleet.ship;
        let running = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
        let Some(running) = running.filter(|running| !running.complete) else { return Ok(seen) };
        refuse_detached(running, &seen)?;
        let rollout = running.started.rollout.clone();
        ship.say(format!("rollout {rollout} has no process any more; users go back to base first"));
        let (step, reason) = (ship.book.id("st"), "its process was gone".to_owned());
        let intent = Body::LowerIntended {
            step: step.clone(),
            rollout: Some(rollout.clone()),
            to: running.started.base.clone(),
            reason: reason.clone(),
            condemns: None,
        };
        if let Err(error) = ship.book.keep_at_once(ship.note(intent)).await {
            ship.say(format!("ledger: {error}; going back all the same"));
        }
        let base = Some(&running.started.base);
        let lowered = self.fleet.platform.lower_to_base(base, Lowering::Withdrawn).await?;
        let (outcome, detail) = (Outcome::Done, reason.clone());
        ship.book.keep(ship.note(Body::StepEnded { step, outcome, detail })).await?;
        let mut note = ship.note(Body::RolloutEnded { rollout, end: RolloutEnd::Aborted, reason });
        note.epoch = Some(held.epoch);
        ship.book.keep(note).await?;
        Ok(lowered)
    }

    async fn refuse_condemned(&self, state: &State) -> Result<(), StartError> {
        match standing::condemned(state, self.fleet, &self.candidate.commit).await? {
            None => Ok(()),
            Some(text) => Err(StartError::Condemned(text)),
        }
    }

    /// Looks at real traffic for a moment and computes what each stage will get of it.
    async fn refuse_undecidable(&self) -> Result<(), StartError> {
        let rate = super::watch::traffic_rate(self.fleet).await?;
        match self.judging.undecidable(self.plan, rate) {
            None => Ok(()),
            Some(text) => Err(StartError::Undecidable(text)),
        }
    }

    /// Triggers ask the new version itself: where nobody says how, no stage could ever go on.
    async fn refuse_unasked(&self) -> Result<(), StartError> {
        if !self.plan.triggers.asks() || self.judging.ask.is_none() {
            return Ok(());
        }
        match self.fleet.platform.door(Arm::Base).await {
            Err(PlatformError::Refused { refused: Refused::Unsupported(why), .. }) => {
                Err(StartError::Unasked(why))
            }
            // Anything else may pass; until then the stage holds.
            _ => Ok(()),
        }
    }

    async fn begin(&mut self, seen: &PlatformState, held: &Held) -> Result<Started, StartError> {
        let ship = &self.fleet.ship;
        let started = Started {
            rollout: ship.book.id("ro"),
            base: seen.base.clone(),
            base_commit: seen.base_commit.clone(),
        };
        let mut note = ship.note(Body::RolloutStarted(RolloutStarted {
            rollout: started.rollout.clone(),
            release: self.candidate.release.clone(),
            commit: self.candidate.commit.clone(),
            digest: self.candidate.digest,
            canary: self.candidate.deployment.clone(),
            base: started.base.clone(),
            base_commit: started.base_commit.clone(),
            plan: serde_json::to_value(self.plan).expect("a plan is plain data"),
        }));
        note.epoch = Some(held.epoch);
        if let Err(error) = ship.book.decide(note).await {
            // What is here and not on the remote must not stand in the way of the next start.
            self.end_unbegun(&started, &error.to_string()).await;
            return Err(error.into());
        }
        let order = StageOrder {
            canary: self.candidate.deployment.clone(),
            commit: Some(self.candidate.commit.clone()),
            salt: self.candidate.release.clone(),
            expect_generation: seen.generation,
            epoch: held.epoch,
            weights: self.plan.stages.iter().map(|stage| stage.weight).collect(),
        };
        let staged = self.fleet.platform.stage(&order).await;
        if let Err(error) = staged {
            self.end_unbegun(&started, &error.to_string()).await;
            return Err(error.into());
        }
        Ok(started)
    }

    /// A rollout that never raised anything ends as aborted.
    async fn end_unbegun(&self, started: &Started, reason: &str) {
        let ship = &self.fleet.ship;
        let end = Body::RolloutEnded {
            rollout: started.rollout.clone(),
            end: RolloutEnd::Aborted,
            reason: reason.to_owned(),
        };
        if let Err(error) = ship.book.keep(ship.note(end)).await {
            ship.say(format!("ledger: {error}"));
        }
    }

    fn acts(&self, started: Started, held: Held) -> Acts<'_> {
        let ready = vec![gates::ready(self.fleet, &self.candidate, &started.base)];
        Acts {
            fleet: self.fleet,
            plan: self.plan,
            candidate: &self.candidate,
            gates: self.gates,
            ready,
            started,
            held,
            watch: Watch::new(self.judging.clone()),
            granted: None,
            decided: Vec::new(),
            moved_us: None,
            lowering_since: None,
            proof: None,
            unwritten: Vec::new(),
            recorded: None,
            not_let_go: None,
        }
    }
}
