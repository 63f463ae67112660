//! `canary tick`: everything that is known comes from ledger and platform; one look, one act, exit.
//!
//! Whoever holds the lease does the work, so two ticks at once are one. Without the remote a tick
//! raises nothing, judges nothing and prolongs nothing: it only brings users back from a breach.

use super::acts::Acts;
use super::again::{self, AgainError, of_ledger};
use super::drive::Ending;
use super::judging::Judging;
use super::once::{Rest, Stands, once};
use super::watch::Watch;
use crate::base::clock::Timestamp;
use crate::base::units::Weight;
use crate::gate::phase::{GateRequirement, Phase};
use crate::gate::ruling::Ruling;
use crate::ledger::environment::Rollout;
use crate::ledger::fold::State as Ledger;
use crate::rollout::machine::{self, Action, At, Event, State};
use crate::rollout::plan::{OnFail, RolloutPlan};
use crate::rollout::ports::{PlatformError, PlatformState};
use crate::rollout::snapshot;
use crate::verbs::book::{BookError, Held};
use crate::verbs::ship::{Fleet, PhaseGate};
use crate::verbs::{gates, settle, standing};

/// What one look came to.
#[derive(Debug)]
pub(crate) enum Ticked {
    /// No canary is under way.
    Nothing,
    /// Somebody holds the lease.
    Attended {
        by: String,
        until: Timestamp,
    },
    GoesOn {
        stands: Stands,
        plan: Box<RolloutPlan>,
        grant_until: Option<Timestamp>,
    },
    /// Every stage was judged, nothing was breached since, and it waits to be promoted.
    Complete {
        grant_until: Option<Timestamp>,
    },
    Ended(Ending),
}

/// Why nothing was looked at, or nothing could be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TickError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Platform(#[from] PlatformError),
    #[error("the plan of rollout {0} in the ledger cannot be read: {1}")]
    Plan(String, String),
    #[error("stage {0} passed, and its ruling is not in the ledger: nothing is raised on it")]
    NoRuling(usize),
    /// Users are no worse off than before, and nobody prolonged their grant.
    #[error("{0}; no breach was seen, and nothing was raised or prolonged")]
    Blind(BookError),
}

impl From<AgainError> for TickError {
    fn from(error: AgainError) -> Self {
        match error {
            AgainError::Book(error) => Self::Book(error),
            AgainError::Platform(error) => Self::Platform(error),
            AgainError::NoneRunning(text) => Self::Book(BookError::Refused(text)),
            AgainError::Detached(why) => Self::Book(BookError::Refused(why.to_string())),
            AgainError::Plan(rollout, why) => Self::Plan(rollout, why),
        }
    }
}

/// The ledger as a tick begins with it: the remote's, or the one here where it does not answer.
pub(crate) async fn ledger(
    fleet: &Fleet,
) -> Result<(std::sync::Arc<Ledger>, Option<BookError>), BookError> {
    let ship = &fleet.ship;
    let blind = match ship.book.synced().await {
        Ok(state) => standing::understood(&state).err(),
        Err(error @ BookError::Unsynced(_)) => Some(error),
        Err(error) => return Err(error),
    };
    Ok((ship.book.state().await?, blind))
}

/// The canary under way, or complete.
pub(crate) fn running(state: &Ledger, fleet: &Fleet) -> Option<Rollout> {
    state.environment(&fleet.ship.environment)?.rollout.clone()
}

/// One look at a canary under way.
pub(crate) struct Tick<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) gates: &'a [PhaseGate],
    pub(crate) judging: Judging,
    /// Why the ledger here may be old.
    pub(crate) blind: Option<BookError>,
}

/// A canary as one look finds it.
struct Found<'a> {
    rollout: &'a Rollout,
    plan: RolloutPlan,
    seen: PlatformState,
}

impl Tick<'_> {
    pub(crate) async fn run(self, rollout: &Rollout) -> Result<Ticked, TickError> {
        let ship = &self.fleet.ship;
        let plan = plan_of(rollout)?;
        if plan.every.is_none() && !rollout.complete {
            return self.end_unattended().await;
        }
        let seen = self.fleet.platform.look().await?;
        if let Some(why) = self.blind.clone() {
            return self.guard(Found { rollout, plan, seen }, why).await;
        }
        let held = match ship.take_lease_above(seen.epoch).await {
            Ok(held) => held,
            Err(why @ BookError::Unsynced(_)) => {
                return self.guard(Found { rollout, plan, seen }, why).await;
            }
            Err(refused) => return self.attended(refused).await,
        };
        // What somebody else did before the lease was ours counts.
        match self.again(rollout).await {
            Ok(Some(rollout)) => self.carry_on(Found { rollout: &rollout, plan, seen }, held).await,
            Ok(None) => {
                ship.book.release_lease(&ship.environment, &held).await;
                Ok(Ticked::Nothing)
            }
            Err(error) => {
                ship.book.release_lease(&ship.environment, &held).await;
                Err(error.into())
            }
        }
    }

    /// The same rollout, as the newest ledger has it.
    async fn again(&self, rollout: &Rollout) -> Result<Option<Rollout>, BookError> {
        let ship = &self.fleet.ship;
        ship.book.synced().await?;
        settle::rollbacks(&*ship.book, &*self.fleet.platform, &ship.environment).await?;
        settle::steps(&*ship.book, &ship.environment).await?;
        let state = ship.book.state().await?;
        let same = |r: &Rollout| r.started.rollout == rollout.started.rollout;
        Ok(running(&state, self.fleet).filter(same))
    }

    /// Whoever holds the lease does the work.
    async fn attended(&self, refused: BookError) -> Result<Ticked, TickError> {
        let ship = &self.fleet.ship;
        let lease = ship.book.lease(&ship.environment).await?;
        match lease.filter(|lease| lease.is_live(ship.now())) {
            Some(lease) => {
                let by = lease.holder.unwrap_or_default();
                Ok(Ticked::Attended { by, until: lease.expires_at })
            }
            None => Err(refused.into()),
        }
    }

    /// A canary that a process drove, and that lost it: it ends, as `resume` would end it.
    async fn end_unattended(self) -> Result<Ticked, TickError> {
        match again::resume(self.fleet, self.judging.clone()).await {
            Ok(ending) => Ok(Ticked::Ended(ending)),
            Err(AgainError::Book(refused @ BookError::Refused(_))) => self.attended(refused).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn carry_on(self, found: Found<'_>, held: Held) -> Result<Ticked, TickError> {
        let fleet = self.fleet;
        let (candidate, started) = of_ledger(found.rollout);
        let decided = self.decided(found.rollout, &candidate).await?;
        let now = fleet.ship.now();
        let state = State::carried_on(found.rollout, now);
        let watch = self.watch(&found).await;
        let mut acts = Acts {
            fleet,
            plan: &found.plan,
            candidate: &candidate,
            gates: self.gates,
            ready: vec![gates::ready(fleet, &candidate, &started.base)],
            started,
            held,
            watch,
            granted: None,
            decided,
            moved_us: None,
            lowering_since: None,
            proof: None,
            unwritten: Vec::new(),
            recorded: None,
            not_let_go: None,
        };
        let first = match by_others(&found, &state, fleet) {
            Some(event) => vec![event],
            None if state.at == At::Looking => {
                // The stage before may have passed long ago: nothing is raised on it unseen.
                let mut first = if acts.watch.measures(state.stage) {
                    Vec::new()
                } else {
                    acts.watch(&state).await
                };
                first.extend(acts.act(&state, Action::LookAgain).await);
                first
            }
            None => Vec::new(),
        };
        let rest = once(&found.plan, &mut acts, state, first).await;
        // What every stage let through may be breached since.
        let waits = match &rest {
            Rest::GoesOn(stands) => found.rollout.complete && !stands.breached,
            Rest::Ended(_) => false,
        };
        if waits {
            acts.hold_complete().await;
        }
        let grant_until = fleet.platform.look().await.ok().and_then(|seen| seen.grant_until);
        Ok(match rest {
            Rest::Ended(ending) => Ticked::Ended(ending),
            Rest::GoesOn(_) if waits => Ticked::Complete { grant_until },
            Rest::GoesOn(mut stands) => {
                // What was said when it began to hold.
                if let (Some(why), Some(said)) = (&mut stands.held, found.rollout.breach()) {
                    why.clone_from(&said.headline);
                }
                Ticked::GoesOn { stands, plan: Box::new(found.plan), grant_until }
            }
        })
    }

    /// Without the ledger's remote: users go back from a breach, and nothing else happens.
    async fn guard(self, found: Found<'_>, why: BookError) -> Result<Ticked, TickError> {
        let fleet = self.fleet;
        let now = fleet.ship.now();
        let (candidate, started) = of_ledger(found.rollout);
        let watch = self.watch(&found).await;
        let mut acts = Acts {
            fleet,
            plan: &found.plan,
            candidate: &candidate,
            gates: &[],
            ready: Vec::new(),
            started,
            held: Held { epoch: found.seen.epoch, expires_at: now },
            watch,
            granted: None,
            decided: Vec::new(),
            moved_us: None,
            lowering_since: None,
            proof: None,
            unwritten: Vec::new(),
            recorded: None,
            not_let_go: None,
        };
        let mut state = State::carried_on(found.rollout, now);
        // A stage that is not known to have begun is measured from the one before.
        state.at = if acts.watch.measures(state.stage) {
            At::Baking { since: now }
        } else {
            At::Holding { asked: now }
        };
        let goes_back = found.plan.stages[state.stage].on_fail == OnFail::Rollback;
        let breach = acts.watch(&state).await.into_iter().find(|event| {
            let alone = |both: &Option<String>| both.is_none();
            matches!(event, Event::HardLimit { both_arms_breach, .. } if alone(both_arms_breach))
                || matches!(event, Event::Unreachable { .. })
        });
        let Some(breach) = breach.filter(|_| goes_back) else { return Err(TickError::Blind(why)) };
        match once(&found.plan, &mut acts, state, vec![breach]).await {
            Rest::Ended(ending) => Ok(Ticked::Ended(ending)),
            Rest::GoesOn(_) => Err(TickError::Blind(why)),
        }
    }

    /// The stage under way, measured from where the ledger says it began; before that, the one that
    /// passed.
    async fn watch(&self, found: &Found<'_>) -> Watch {
        let (book, rollout) = (&self.fleet.ship.book, found.rollout);
        let began = rollout.began.last();
        let number = began.and_then(|began| usize::try_from(began.stage).ok()).unwrap_or(1);
        let stage = number.saturating_sub(1);
        let earlier = match began.and_then(|began| began.samples) {
            None => None,
            Some(digest) => book.exhibits(vec![digest]).await.remove(&digest),
        };
        let began = earlier.and_then(|bytes| snapshot::parse(&bytes).ok());
        let before = (rollout.looks(stage + 1), &found.plan.triggers);
        Watch::carried_on(self.judging.clone(), (stage, began), before)
    }

    /// The stages that passed, with their rulings judged again from the ledger.
    async fn decided(
        &self,
        rollout: &Rollout,
        candidate: &super::start::Candidate,
    ) -> Result<Vec<(GateRequirement, Ruling)>, TickError> {
        let ship = &self.fleet.ship;
        let state = ship.book.state().await?;
        let subject = candidate.subject(&ship.environment);
        let rulings = ship.recall(&state, &subject).await?;
        let (passed, _) = rollout.place();
        let of_this_rollout = |gate: &str| {
            state.rulings_of(&subject.commit, &subject.environment).any(|kept| {
                let ours = kept.by.at >= rollout.by.at && kept.phase == Phase::Canary;
                ours && kept.record.gate == gate
            })
        };
        (1..=passed)
            .map(|stage| {
                let gate = format!("stage-{stage}");
                let ruling = rulings.iter().find(|ruling| ruling.record().gate == gate);
                let ruling = ruling.filter(|_| of_this_rollout(&gate));
                let ruling = ruling.ok_or(TickError::NoRuling(stage))?;
                Ok((GateRequirement::recorded(Phase::Canary, ruling.record()), ruling.clone()))
            })
            .collect()
    }
}

pub(crate) fn plan_of(rollout: &Rollout) -> Result<RolloutPlan, TickError> {
    let started = &rollout.started;
    serde_json::from_value(started.plan.clone())
        .map_err(|error| TickError::Plan(started.rollout.to_string(), error.to_string()))
}

/// What happened to the traffic since the last look: a lapsed grant, or somebody.
fn by_others(found: &Found<'_>, state: &State, fleet: &Fleet) -> Option<Event> {
    let seen = &found.seen;
    if seen.went_back {
        let who = seen.lowered_by.clone().unwrap_or_else(|| "somebody".to_owned());
        return Some(Event::ForeignChange { who, found: machine::Found::Base });
    }
    let lapsed = state.exposed && seen.weight == Weight::ZERO;
    if lapsed && fleet.platform.capabilities().holds_grant {
        return Some(Event::GrantLost);
    }
    None
}
