//! Watching a stage: the snapshot it began with, the gate it is judged by, and what the world does
//! meanwhile by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use super::foreign::{Ours, changed};
use super::health::{Asked, Health};
use super::judged::verdict_of;
use super::judging::Judging;
use crate::base::clock;
use crate::base::ids::OrcaId;
use crate::base::units::{Micros, Rate};
use crate::gate::check::ErasedCheck;
use crate::gate::engine::GateCheck;
use crate::gate::phase::Phase;
use crate::gate::ruling::Mode;
use crate::ledger::entry::StageDecided;
use crate::rollout::arms;
use crate::rollout::decision::StageJudgement;
use crate::rollout::machine::{At, Event, StageNext, State};
use crate::rollout::plan::{DecideBy, RolloutPlan};
use crate::rollout::ports::{Arm, Measures, PlatformError, Samples};
use crate::rollout::probes::{Counted, ProbesCheck};
use crate::rollout::recent::Recent;
use crate::rollout::samples::{Source, StageSeen};
use crate::rollout::snapshot;
use crate::rollout::tally::Tally;
use crate::rollout::triggers::Triggers;
use crate::rollout::users::UsersCheck;
use crate::verbs::gates;
use crate::verbs::ship::{Fleet, PhaseGate};

/// How long traffic is counted to know its rate.
const RATE_WITHIN: Duration = Duration::from_secs(1);
/// How often an unreachable platform is mentioned.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// How long a decided stage counts at least, in a promotion that comes later.
const STAGE_MAX_AGE: Micros = Micros::from_secs(24 * 3_600);

/// A stage under way.
struct Began {
    stage: usize,
    /// Absent where the platform counts nothing.
    snapshot: Option<Samples>,
    paired: Option<Paired>,
}

/// The stage's paired load.
struct Paired {
    tally: Tally,
    /// Ends the load when the stage ends.
    _running: DropGuard,
}

/// What is known of the stage at hand.
pub(crate) struct Watch {
    judging: Judging,
    began: Option<Began>,
    /// The stage that was judged last, and how often.
    judged: (usize, u32),
    /// Users during the stage, as they were judged.
    users: Option<StageSeen>,
    /// A stage that began and that the ledger does not know of yet, with what was measured then.
    unwritten: Option<(usize, Option<Vec<u8>>)>,
    /// The stage whose beginning was handed over last.
    written: Option<usize>,
    looked: Option<Instant>,
    said: Option<Instant>,
    health: Health,
    /// What was counted within the last minute.
    recent: Recent,
}

impl Watch {
    pub(crate) fn new(judging: Judging) -> Self {
        Self {
            judging,
            began: None,
            judged: (0, 0),
            users: None,
            unwritten: None,
            written: None,
            looked: None,
            said: None,
            health: Health::default(),
            recent: Recent::default(),
        }
    }

    /// The stage under way as another process began it, judged so often. Its last minute begins
    /// there too: what lies between is all that is known.
    pub(super) fn carried_on(
        judging: Judging,
        (stage, snapshot): (usize, Option<Samples>),
        (looks, triggers): (u32, &Triggers),
    ) -> Self {
        let mut recent = Recent::default();
        if let Some(samples) = snapshot.as_ref().filter(|_| triggers.looks_at_recent()) {
            recent.note(samples);
        }
        let began = snapshot.map(|s| Began { stage, snapshot: Some(s), paired: None });
        let written = began.as_ref().map(|began| began.stage);
        Self { began, written, recent, judged: (stage, looks), ..Self::new(judging) }
    }

    /// Takes the snapshot that the stage is measured from, and starts its paired load.
    pub(crate) async fn begin_stage(&mut self, fleet: &Fleet, stage: usize, plan: &RolloutPlan) {
        self.began = None;
        self.users = None;
        self.recent.clear();
        let first = self.written != Some(stage);
        self.unwritten = first.then_some((stage, None));
        let snapshot = if fleet.platform.capabilities().measures >= Measures::Users {
            match fleet.platform.samples().await {
                Ok(snapshot) => {
                    self.unwritten = Some((stage, Some(snapshot::bytes(&snapshot))));
                    if plan.triggers.looks_at_recent() {
                        self.recent.note(&snapshot);
                    }
                    Some(snapshot)
                }
                Err(error) => {
                    fleet.ship.say(format!("the stage cannot be measured: {error}"));
                    return;
                }
            }
        } else {
            None
        };
        let paired = self.start_paired(fleet, stage, plan);
        self.began = Some(Began { stage, snapshot, paired });
    }

    /// Begins a stage that the platform says has its weight. It is believed once it was seen,
    /// however rarely the platform is looked at.
    pub(super) async fn raised(&mut self, fleet: &Fleet, stage: usize, plan: &RolloutPlan) {
        self.begin_stage(fleet, stage, plan).await;
        self.looked = None;
    }

    /// What the ledger is to be told of a stage that began: once, and again when it is measured.
    pub(super) fn take_beginning(&mut self) -> Option<(usize, Option<Vec<u8>>)> {
        let beginning = self.unwritten.take()?;
        self.written = Some(beginning.0);
        Some(beginning)
    }

    /// Whether the stage at hand has its beginning.
    pub(crate) fn measures(&self, stage: usize) -> bool {
        self.began.as_ref().is_some_and(|began| began.stage == stage)
    }

    fn start_paired(&self, fleet: &Fleet, stage: usize, plan: &RolloutPlan) -> Option<Paired> {
        let at = &plan.stages[stage];
        let rate = at.paired_rate.filter(|_| at.decide_by == DecideBy::Paired)?;
        let load = Arc::clone(self.judging.paired.as_ref()?);
        let platform = Arc::clone(&fleet.platform);
        // Where nobody else looks at users, a stage that holds must not be left alone.
        let span = if platform.capabilities().measures >= Measures::Users {
            at.bake
        } else {
            Micros(at.bake.0.saturating_add(at.max_hold.0))
        };
        let (cancel, tally) = (CancellationToken::new(), Tally::default());
        let (own, tell, counted) = (cancel.clone(), Arc::clone(&fleet.ship.tell), tally.clone());
        tokio::spawn(async move {
            if let Err(why) = load.run(&*platform, (rate, span), &counted, own).await {
                tell(&format!("paired load: {why}"));
            }
        });
        Some(Paired { tally, _running: cancel.drop_guard() })
    }

    /// The gate that decides a stage, at the next look.
    pub(crate) fn stage_gate(
        &mut self,
        fleet: &Fleet,
        stage: usize,
        plan: &RolloutPlan,
    ) -> PhaseGate {
        let before = if self.judged.0 == stage { self.judged.1 } else { 0 };
        self.judged = (stage, before + 1);
        let judging = self.judging.at_look(self.judged.1);
        let began = self.began.as_ref().filter(|began| began.stage == stage);
        let tally =
            began.and_then(|began| began.paired.as_ref()).map(|paired| paired.tally.clone());
        let began = began.and_then(|began| began.snapshot.clone());
        let paired = plan.stages[stage].decide_by == DecideBy::Paired;
        let users: Arc<dyn ErasedCheck> = Arc::new(UsersCheck {
            platform: Arc::clone(&fleet.platform),
            began: began.clone(),
            recent: self.recent.began().cloned(),
            looked: self.users.clone().filter(|_| began.is_some()),
            policy: judging.policy(plan, stage, Source::Users),
        });
        let counted = if fleet.platform.capabilities().measures == Measures::UsersAndProbes {
            Counted::ByPlatform(Arc::clone(&fleet.platform), began.map(Box::new))
        } else {
            Counted::ByLoad(tally)
        };
        let probes: Arc<dyn ErasedCheck> =
            Arc::new(ProbesCheck { counted, policy: judging.policy(plan, stage, Source::Probes) });
        let name = format!("stage-{}", stage + 1);
        let max_age = max_age(plan, stage);
        let mut gate = gates::gate(Phase::Canary, (&name, Mode::Enforce), max_age, vec![users]);
        gate.gate.checks.push(GateCheck { check: probes, required: paired, max_age_us: max_age.0 });
        if plan.triggers.asks() && self.judging.ask.is_some() {
            let check: Arc<dyn ErasedCheck> = Arc::new(self.health.check(&plan.triggers));
            gate.gate.checks.push(GateCheck { check, required: true, max_age_us: max_age.0 });
        }
        gate
    }

    pub(crate) async fn stage_decided(
        &mut self,
        fleet: &Fleet,
        rollout: &OrcaId,
        (stage, plan): (usize, &RolloutPlan),
        next: StageNext,
        judged: &StageJudgement,
    ) -> StageDecided {
        let users = if self.measures(stage) { self.users_now(fleet, plan).await } else { None };
        let arm = |pick: fn(&StageSeen) -> &crate::rollout::samples::ArmSeen| {
            users.as_ref().map(pick).map_or((0, 0), |arm| (arm.requests, arm.errors))
        };
        let (base_requests, base_errors) = arm(|seen| &seen.base);
        let (canary_requests, canary_errors) = arm(|seen| &seen.canary);
        StageDecided {
            rollout: rollout.clone(),
            stage: u32::try_from(stage + 1).unwrap_or(u32::MAX),
            weight: plan.stages[stage].weight,
            verdict: verdict_of(judged, next),
            next: next.as_str().to_owned(),
            headline: judged.headline.clone(),
            base_requests,
            base_errors,
            canary_requests,
            canary_errors,
        }
    }

    /// Users since the stage began.
    async fn users_now(&mut self, fleet: &Fleet, plan: &RolloutPlan) -> Option<StageSeen> {
        let began = self.began.as_ref()?;
        let (snapshot, weight) = (began.snapshot.as_ref()?, plan.stages[began.stage].weight);
        if let Ok(now) = fleet.platform.samples().await {
            if plan.triggers.looks_at_recent() {
                self.recent.note(&now);
            }
            let seen = StageSeen::between(snapshot, &now, Source::Users);
            let seen = seen.with_recent(self.recent.began(), &now, Source::Users);
            self.users = Some(seen.or_who_came(self.users.as_ref(), weight));
        }
        self.users.clone()
    }

    /// Looks as often as the platform bears it while the canary has traffic.
    pub(crate) async fn look(
        &mut self,
        fleet: &Fleet,
        state: &State,
        plan: &RolloutPlan,
        ours: Ours<'_>,
    ) -> Vec<Event> {
        let due = self.looked.is_none_or(|at| clock::since(at) >= fleet.platform.look_every());
        if !state.exposed || state.is_past() || !due {
            return Vec::new();
        }
        self.looked = Some(clock::monotonic());
        if !self.measures(state.stage) && matches!(state.at, At::Baking { .. }) {
            self.begin_stage(fleet, state.stage, plan).await;
        }
        // Asked first: a platform that does not answer must not hide a version that is down.
        let unwell = self.unwell(fleet, state, plan).await;
        match fleet.platform.look().await {
            Ok(seen) => {
                if let Some(event) = changed(&seen, plan, state, ours) {
                    return vec![event];
                }
            }
            Err(error) if unwell.is_none() => return self.uncertain(&error),
            Err(_) => {}
        }
        if let Some(event) = unwell {
            return vec![event];
        }
        let Some((seen, source)) = self.live(fleet, plan).await else { return Vec::new() };
        // A breach that is known already is not told again: it would only prolong the hold.
        if state.breached {
            return Vec::new();
        }
        let breach = self.breach(&seen, source, plan);
        breach.into_iter().filter(|event| !is_told(state, event)).collect()
    }

    /// Whether the new version answers by itself, where the plan asks for that.
    async fn unwell(&mut self, fleet: &Fleet, state: &State, plan: &RolloutPlan) -> Option<Event> {
        let ask = self.judging.ask.as_ref().filter(|_| !state.breached)?;
        let platform = &*fleet.platform;
        let (cancel, other) = (&fleet.ship.bench.cancel, Some(Arm::Base));
        let asked = Asked { platform, ask, cancel, arm: Arm::Canary, other };
        let event = self.health.look(asked, &plan.triggers).await?;
        (!is_told(state, &event)).then_some(event)
    }

    /// Users while the stage bakes; where nobody counts them, what paired load gets.
    async fn live(&mut self, fleet: &Fleet, plan: &RolloutPlan) -> Option<(StageSeen, Source)> {
        let began = self.began.as_ref()?;
        if began.snapshot.is_none() {
            return Some((began.paired.as_ref()?.tally.seen(), Source::Probes));
        }
        Some((self.users_now(fleet, plan).await?, Source::Users))
    }

    /// A live limit that users were beyond when they were counted last.
    pub(super) fn known_breach(&self, plan: &RolloutPlan) -> Option<Event> {
        self.breach(self.users.as_ref()?, Source::Users, plan)
    }

    fn breach(&self, seen: &StageSeen, source: Source, plan: &RolloutPlan) -> Option<Event> {
        // By the limits of the stage that was measured: the next one may be about to begin.
        let policy = self.judging.policy(plan, self.began.as_ref()?.stage, source);
        let who = match source {
            Source::Users => "users",
            Source::Probes => "probes",
        };
        let breach = arms::live_breach(&policy, seen, who)?;
        let finding = breach.findings.first().map(|f| f.fingerprint.as_str());
        if finding.is_some_and(|f| f.starts_with("canary.unreachable")) {
            return Some(Event::Unreachable { headline: breach.headline });
        }
        let both_arms_breach = arms::both_arms_breach(&policy, seen);
        Some(Event::HardLimit { headline: breach.headline, both_arms_breach })
    }

    fn uncertain(&mut self, error: &PlatformError) -> Vec<Event> {
        if self.said.is_some_and(|at| clock::since(at) < SAY_EVERY) {
            return Vec::new();
        }
        self.said = Some(clock::monotonic());
        vec![Event::PlatformUncertain { detail: error.to_string() }]
    }
}

/// Whether the machine holds for what both versions share already.
fn is_told(state: &State, event: &Event) -> bool {
    let shared = matches!(event, Event::HardLimit { both_arms_breach: Some(_), .. });
    shared && state.shared && matches!(state.at, At::Holding { .. })
}

/// A stage counts until the later ones could be decided, and a day more.
fn max_age(plan: &RolloutPlan, stage: usize) -> Micros {
    let later = plan.stages.iter().skip(stage + 1);
    let span = later.map(|at| at.bake.0.saturating_add(at.max_hold.0));
    Micros(span.fold(STAGE_MAX_AGE.0, u64::saturating_add))
}

/// User requests a second over the last second.
pub(crate) async fn traffic_rate(fleet: &Fleet) -> Result<Rate, PlatformError> {
    let earlier = fleet.platform.samples().await?;
    tokio::time::sleep(RATE_WITHIN).await;
    let later = fleet.platform.samples().await?;
    let seen = StageSeen::between(&earlier, &later, Source::Users);
    let requests = seen.base.requests.saturating_add(seen.canary.requests);
    Ok(Rate::of(requests, Micros(seen.duration_us.max(1))))
}

#[cfg(test)]
mod tests {
    use super::super::judging::tests::judging;
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::units::BasisPoints;
    use crate::rollout::ports::ArmSamples;

    /// Whoever looks once has nothing else to compare with: the last minute begins with the stage.
    #[test]
    fn a_stage_that_is_carried_on_has_a_last_minute() {
        let arm = ArmSamples::default;
        let began = || Some(Samples { at: Timestamp::from_us(5), base: arm(), canary: arm() });
        let spikes = Triggers { error_rate: Some(BasisPoints(500)), ..Triggers::default() };
        for (triggers, expected) in [(&spikes, began()), (&Triggers::default(), None)] {
            let mut watch = Watch::carried_on(judging(), (0, began()), (1, triggers));
            let at = |samples: &Samples| samples.at;
            assert_eq!(watch.recent.began().map(at), expected.as_ref().map(at));
            let later = Samples { at: Timestamp::from_us(600_000_000), ..began().unwrap() };
            watch.recent.note(&later);
            let first = expected.as_ref().unwrap_or(&later);
            assert_eq!(watch.recent.began().map(at), Some(first.at), "all that is known");
        }
    }
}
