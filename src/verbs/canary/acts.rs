//! What the machine's actions do to the world. Raising: clearance, intent, call, outcome. Going
//! back: the call first, and nothing may delay it.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::asked::NotLetGo;
use super::clear::{Granted, Proof};
use super::foreign::Ours;
use super::judged;
use super::refusals::{refusal_of, refusal_of_book};
use super::start::{Candidate, Started};
use super::watch::Watch;
use crate::base::clock::{self, Timestamp};
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::ids::OrcaId;
use crate::base::units::Weight;
use crate::gate::phase::{GateRequirement, Phase};
use crate::gate::ruling::Ruling;
use crate::ledger::entry::{Body, Outcome, RolloutEnd, TrafficProof};
use crate::rollout::machine::{Action, At, Event, Found, RaiseRefused, StageNext, State};
use crate::rollout::plan::RolloutPlan;
use crate::rollout::ports::{Arm, Lowering, Measures, PlatformError, Raise, RaiseTerms, Refused};
use crate::verbs::book::{BookError, Held};
use crate::verbs::read_back;
use crate::verbs::ship::{Fleet, PhaseGate};

/// A canary under way.
pub(crate) struct Acts<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) plan: &'a RolloutPlan,
    pub(crate) candidate: &'a Candidate,
    pub(crate) gates: &'a [PhaseGate],
    pub(crate) ready: Vec<PhaseGate>,
    pub(crate) started: Started,
    pub(crate) held: Held,
    pub(crate) watch: Watch,
    pub(crate) granted: Option<Granted>,
    pub(crate) decided: Vec<(GateRequirement, Ruling)>,
    pub(crate) moved_us: Option<u64>,
    pub(crate) lowering_since: Option<std::time::Instant>,
    pub(crate) proof: Option<TrafficProof>,
    /// Steps whose outcome is written once users are safe: calls that went back, and a raise that
    /// a signal stopped.
    pub(crate) unwritten: Vec<(OrcaId, Outcome)>,
    /// The stage that was recorded last.
    pub(crate) recorded: Option<usize>,
    /// What was asked for last and does not count.
    pub(crate) not_let_go: Option<NotLetGo>,
}

impl Acts<'_> {
    pub(crate) fn now(&self) -> Timestamp {
        self.fleet.ship.now()
    }

    pub(crate) fn cancel(&self) -> CancellationToken {
        self.fleet.ship.bench.cancel.clone()
    }

    /// Does one action and says what came of it.
    pub(crate) async fn act(&mut self, state: &State, action: Action) -> Vec<Event> {
        let events = match action {
            Action::RequestClearance { stage } => {
                let cancel = self.cancel();
                // Nothing was raised yet: a signal ends the asking, not the other way round.
                tokio::select! {
                    biased;
                    () = cancel.cancelled() => Vec::new(),
                    events = self.request_clearance(stage) => events,
                }
            }
            Action::RaiseTo { stage, weight } => self.raise(stage, weight).await,
            Action::RenewGrant => self.renew().await,
            Action::LookAgain => self.look_again(state.stage).await,
            Action::JudgeStage { stage } => self.judge(stage).await,
            Action::RecordStage { stage, next, judged } => {
                self.record_stage(stage, next, &judged).await;
                Vec::new()
            }
            Action::LowerToBase { reason } => self.lower(state, &reason).await,
            Action::VerifyBase => self.verify().await,
            Action::Say(text) => {
                self.fleet.ship.say(text);
                Vec::new()
            }
            Action::End { .. } => {
                debug_assert!(state.is_past(), "the driver ends the run itself");
                Vec::new()
            }
        };
        self.write_beginning().await;
        events
    }

    async fn request_clearance(&mut self, stage: usize) -> Vec<Event> {
        let (stages, rulings): (Vec<_>, Vec<_>) = self.decided.iter().cloned().unzip();
        let proof = Proof {
            fleet: self.fleet,
            candidate: self.candidate,
            gates: self.gates,
            ready: &self.ready,
            stages: &stages,
            rulings: &rulings,
            phase: Phase::Canary,
        };
        match proof.ask().await {
            Ok(granted) => {
                self.granted = Some(granted);
                vec![Event::ClearanceGranted { stage }]
            }
            Err(denied) => vec![Event::ClearanceDenied { stage, denied }],
        }
    }

    /// What speaks against a raise that is cleared.
    fn held_back(&self, stage: usize, seen: Weight) -> Option<Event> {
        match self.leaves_no_stage_out(stage, seen) {
            Err(refused) => Some(Event::RaiseRefused { stage, refused }),
            // A process may have stood still since the judgement: what was counted last decides.
            Ok(()) => self.watch.known_breach(self.plan),
        }
    }

    async fn raise(&mut self, stage: usize, weight: Weight) -> Vec<Event> {
        let refused = |refused| vec![Event::RaiseRefused { stage, refused }];
        let Some(Granted { clearance, at_hand, seen }) = self.granted.take() else {
            return refused(RaiseRefused::Expired { detail: "no clearance is held".to_owned() });
        };
        if let Some(against) = self.held_back(stage, seen.weight) {
            return vec![against];
        }
        let stopped = || RaiseRefused::Expired { detail: "stopped before the raise".to_owned() };
        let cancel = self.cancel();
        // A remote that hangs must not keep a signal waiting: nothing was raised yet.
        tokio::select! {
            biased;
            () = cancel.cancelled() => return refused(stopped()),
            held = self.hold_lease() => if let Err(why) = held { return refused(why) },
        }
        let ship = &self.fleet.ship;
        let step = ship.book.id("st");
        let intent = Body::RaiseIntended {
            step: step.clone(),
            rollout: self.started.rollout.clone(),
            clearance: clearance.record().id.clone(),
            from: seen.weight,
            to: weight,
        };
        let mut note = ship.note(intent);
        note.epoch = Some(self.held.epoch);
        let decided = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            decided = ship.book.decide(note) => Some(decided),
        };
        if let Some(Err(error)) = decided {
            return refused(refusal_of_book(&error));
        }
        if cancel.is_cancelled() {
            // The intent may have been written: it ends as what it is, once users are safe.
            self.unwritten.push((step, Outcome::Failed));
            return refused(stopped());
        }
        hit(CrashPoint::StepAfterIntent);
        let now = self.now();
        let grants = self.fleet.platform.capabilities().holds_grant;
        let terms = RaiseTerms {
            canary: self.candidate.deployment.clone(),
            from: seen.weight,
            to: weight,
            expect_generation: seen.generation,
            epoch: self.held.epoch,
            grant: grants.then_some(self.plan.grant),
        };
        let outcome = match Raise::new(clearance, &at_hand, terms, now) {
            Ok((raise, _)) => self.fleet.platform.raise(raise).await.map_err(refusal_of),
            Err(refusal) => Err(RaiseRefused::Expired { detail: refusal.to_string() }),
        };
        hit(CrashPoint::StepAfterApply);
        let (what, detail) = match &outcome {
            Ok(state) => (Outcome::Done, format!("generation {}", state.generation)),
            Err(RaiseRefused::InDoubt { detail }) => (Outcome::Unknown, detail.clone()),
            Err(other) => (Outcome::Failed, format!("{other:?}")),
        };
        self.keep(Body::StepEnded { step, outcome: what, detail }).await;
        hit(CrashPoint::StepAfterOutcome);
        match outcome {
            Ok(_) => {
                ship.say(format!("stage {}: the new version gets {weight}", stage + 1));
                self.watch.raised(self.fleet, stage, self.plan).await;
                vec![Event::Raised { stage }]
            }
            Err(error) => refused(error),
        }
    }

    /// A grant that ended since the last look, or somebody else, left another weight than the one
    /// that was judged.
    fn leaves_no_stage_out(&self, stage: usize, found: Weight) -> Result<(), RaiseRefused> {
        let judged = stage.checked_sub(1).map_or(Weight::ZERO, |i| self.plan.stages[i].weight);
        if found == judged {
            return Ok(());
        }
        let detail = format!("the new version has {found}, not {judged} as it was judged");
        Err(RaiseRefused::InDoubt { detail })
    }

    /// The lease must be ours for a raise: renewed, or taken again when it ended by itself.
    async fn hold_lease(&mut self) -> Result<(), RaiseRefused> {
        let ship = &self.fleet.ship;
        let held = match ship.book.renew_lease(&ship.environment, &self.held).await {
            Ok(held) => held,
            Err(BookError::Refused(_)) => ship
                .book
                .take_lease(&ship.environment)
                .await
                .map_err(|error| refusal_of_book(&error))?,
            Err(error) => return Err(refusal_of_book(&error)),
        };
        self.held = held;
        Ok(())
    }

    /// Prolongs the lease beside everything else: a slow remote must not stop the watching.
    fn renew_lease_aside(&self) {
        let (book, held) = (self.fleet.ship.book.clone(), self.held.clone());
        let environment = self.fleet.ship.environment.clone();
        tokio::spawn(async move {
            if let Err(error) = book.renew_lease(&environment, &held).await {
                tracing::debug!(%error, "the lease was not prolonged");
            }
        });
    }

    async fn renew(&mut self) -> Vec<Event> {
        self.renew_lease_aside();
        self.fetch_aside();
        if !self.fleet.platform.capabilities().holds_grant {
            return Vec::new();
        }
        match self.fleet.platform.renew(self.plan.grant, self.held.epoch).await {
            Ok(_) => Vec::new(),
            Err(PlatformError::Refused {
                refused: Refused::StaleEpoch { who, found, .. }, ..
            }) => {
                vec![Event::Preempted { by: format!("{who} (epoch {found})") }]
            }
            Err(error) => vec![Event::PlatformUncertain { detail: error.to_string() }],
        }
    }

    async fn look_again(&mut self, stage: usize) -> Vec<Event> {
        match self.fleet.platform.look().await {
            Ok(state) => {
                // A raise in doubt that landed begins its stage now.
                let landed = state.weight == self.plan.stages[stage].weight;
                if landed && !self.watch.measures(stage) {
                    self.watch.begin_stage(self.fleet, stage, self.plan).await;
                }
                let had_weight = stage > 0 || self.watch.measures(stage);
                let granted = self.fleet.platform.capabilities().holds_grant;
                if !granted && had_weight && state.weight == Weight::ZERO {
                    let who = state.lowered_by.unwrap_or_else(|| "somebody".to_owned());
                    return vec![Event::ForeignChange { who, found: Found::Base }];
                }
                vec![Event::Looked { weight: state.weight }]
            }
            Err(error) => vec![Event::LookFailed { detail: error.to_string() }],
        }
    }

    pub(super) async fn judge(&mut self, stage: usize) -> Vec<Event> {
        let gate = self.watch.stage_gate(self.fleet, stage, self.plan);
        let subject = self.candidate.subject(&self.fleet.ship.environment);
        let gates = [gate];
        match self.fleet.ship.judge(&gates, &subject).await {
            Ok(mut ruled) => {
                let item = ruled.remove(0);
                let judged = judged::stage_judgement(item.ruling.record());
                self.decided.push((gates[0].requirement(), item.ruling));
                vec![Event::StageJudged { stage, judged }]
            }
            Err(error) => {
                let judged = judged::unrecorded(&error.to_string());
                vec![Event::StageJudged { stage, judged }]
            }
        }
    }

    pub(super) async fn record_stage(
        &mut self,
        stage: usize,
        next: StageNext,
        judged: &crate::rollout::decision::StageJudgement,
    ) {
        let place = (stage, self.plan);
        let rollout = self.started.rollout.clone();
        let decided = self.watch.stage_decided(self.fleet, &rollout, place, next, judged).await;
        let users = if self.fleet.platform.capabilities().measures >= Measures::Users {
            let (requests, failed) = (decided.canary_requests, decided.canary_errors);
            format!("{requests} user requests on the new version, {failed} failed")
        } else {
            "users are not counted here".to_owned()
        };
        self.fleet.ship.say(format!("stage {}: {} ({users})", stage + 1, judged.headline));
        self.keep(Body::StageDecided(decided)).await;
        self.recorded = Some(stage);
    }

    /// One call; the intent is tried for 200 ms first, and its failure delays nothing.
    async fn lower(&mut self, state: &State, reason: &str) -> Vec<Event> {
        let since = *self.lowering_since.get_or_insert_with(clock::monotonic);
        let is_breach = matches!(state.at, At::Lowering { end: RolloutEnd::RolledBack, .. });
        let how = if is_breach { Lowering::RolledBack } else { Lowering::Withdrawn };
        let step = self.fleet.ship.book.id("st");
        let intent = Body::LowerIntended {
            step: step.clone(),
            rollout: Some(self.started.rollout.clone()),
            to: self.started.base.clone(),
            reason: reason.to_owned(),
            // Should this process die now, the next one knows what it went back for.
            condemns: is_breach.then(|| self.candidate.commit.clone()),
        };
        if let Err(error) = self.fleet.ship.book.keep_at_once(self.fleet.ship.note(intent)).await {
            self.fleet.ship.say(format!("ledger: {error}; going back all the same"));
        }
        hit(CrashPoint::StepAfterIntent);
        let lowered = self.fleet.platform.lower_to_base(Some(&self.started.base), how).await;
        hit(CrashPoint::StepAfterApply);
        let outcome = if lowered.is_ok() { Outcome::Done } else { Outcome::Unknown };
        self.unwritten.push((step, outcome));
        match lowered {
            Ok(state) => {
                self.moved_us.get_or_insert(clock::elapsed_us(since));
                if let Some(text) = state.unstored() {
                    self.fleet.ship.say(format!("warning: {text}"));
                }
                vec![Event::Lowered]
            }
            Err(error) => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                vec![Event::LowerFailed { detail: error.to_string() }]
            }
        }
    }

    async fn verify(&mut self) -> Vec<Event> {
        let commit = self.started.base_commit.as_ref();
        let seen = read_back::all_on(self.fleet.platform.as_ref(), Arm::Base, commit).await;
        self.fleet.ship.say(format!("read back: {}", seen.headline));
        self.proof = Some(seen.proof);
        if seen.proof != TrafficProof::Verified {
            tokio::time::sleep(read_back::PAUSE).await;
        }
        vec![Event::Verified { on_base: seen.proof == TrafficProof::Verified }]
    }

    /// What the world does by itself meanwhile.
    pub(crate) async fn watch(&mut self, state: &State) -> Vec<Event> {
        let at = Ours {
            canary: &self.candidate.deployment,
            base: &self.started.base,
            epoch: self.held.epoch,
            granted: self.fleet.platform.capabilities().holds_grant,
        };
        let mut events = self.watch.look(self.fleet, state, self.plan, at).await;
        // What was just seen to fail is not let go on; a person is heard at the next look.
        if !events.iter().any(Event::is_breach) {
            events.extend(self.asked(state).await);
        }
        self.write_beginning().await;
        events
    }

    pub(super) async fn keep(&self, body: Body) -> Option<OrcaId> {
        let mut note = self.fleet.ship.note(body);
        note.epoch = Some(self.held.epoch);
        match self.fleet.ship.book.keep(note).await {
            Ok(entry) => Some(entry.id),
            Err(error) => {
                self.fleet.ship.say(format!("ledger: {error}"));
                None
            }
        }
    }
}
