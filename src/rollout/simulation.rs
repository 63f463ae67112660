//! Thousands of random schedules against a false world: lost and late replies, refused calls,
//! verdicts of every kind, people and a second orca acting behind our back, kill and resume.
//!
//! Shows: nothing gains exposure without a clearance valid at that instant, nothing raises after
//! a breach or after going back, a stale epoch or generation changes nothing, and every run ends
//! with users on one known version, or under a grant that ends there, or saying it does not know.

use super::decision::StageJudgement;
use super::machine::{Action, At, Denied, Event, ExitKind, Found, RaiseRefused, State};
use super::plan::tests::plan;
use super::plan::{DecideBy, OnFail, OnInterrupt, RolloutPlan};
use super::step::step;
use crate::base::clock::{Entropy, Timestamp};
use crate::base::units::{Micros, Weight};
use crate::gate::verdict::Verdict;
use crate::ledger::entry::RolloutEnd;

const SCHEDULES: u64 = 2_000;
const STEPS_MAX: u32 = 2_000;
const GRANT_US: i64 = 60_000_000;

#[expect(clippy::struct_excessive_bools, reason = "each is one fact of the world")]
struct World {
    dice: Entropy,
    now: Timestamp,
    weight: Weight,
    generation: u64,
    epoch: u64,
    our_epoch: u64,
    grant_until: Timestamp,
    /// The clearance at hand: stage and expiry.
    clearance: Option<(usize, Timestamp)>,
    /// A raise whose call was lost and which may land later: (generation, epoch, weight, stage).
    late: Option<(u64, u64, Weight)>,
    /// Set by a judged breach or by going back: no raise may follow.
    no_more: bool,
    resumed: bool,
    breached: bool,
    touched_by_others: bool,
    end: Option<(Option<RolloutEnd>, ExitKind)>,
}

impl World {
    fn new(seed: u64) -> Self {
        let now = Timestamp::from_us(1_000_000_000);
        Self {
            dice: Entropy::seeded(seed),
            now,
            weight: Weight::ZERO,
            generation: 1,
            epoch: 1,
            our_epoch: 1,
            grant_until: now,
            clearance: None,
            late: None,
            no_more: false,
            resumed: false,
            breached: false,
            touched_by_others: false,
            end: None,
        }
    }

    fn chance(&self, per_thousand: u64) -> bool {
        self.dice.below(1_000) < per_thousand
    }

    fn set(&mut self, weight: Weight) {
        self.weight = weight;
        self.generation += 1;
        self.grant_until = self.now.plus_us(GRANT_US);
    }

    fn pass(&mut self, us: i64) {
        self.now = self.now.plus_us(us);
        if let Some((generation, epoch, weight)) = self.late.take() {
            if self.chance(500) {
                self.late = Some((generation, epoch, weight));
            } else if generation == self.generation && epoch >= self.epoch {
                assert!(!self.no_more, "a late raise landed after going back");
                self.set(weight);
            }
        }
        if self.now >= self.grant_until && self.weight > Weight::ZERO {
            self.weight = Weight::ZERO;
            self.generation += 1;
        }
    }

    /// Carries one action out; what comes back is the next event.
    fn act(&mut self, plan: &RolloutPlan, action: &Action) -> Option<Event> {
        match *action {
            Action::RequestClearance { stage } => Some(self.clear(stage)),
            Action::RaiseTo { stage, weight } => Some(self.raise(plan, stage, weight)),
            Action::RenewGrant => self.renew(),
            Action::LookAgain if self.chance(100) => {
                Some(Event::LookFailed { detail: "down".into() })
            }
            Action::LookAgain if self.epoch > self.our_epoch => {
                Some(Event::Preempted { by: "another orca".into() })
            }
            Action::LookAgain => Some(Event::Looked { weight: self.weight }),
            Action::JudgeStage { stage } => Some(self.judge(plan, stage)),
            Action::LowerToBase { .. } => Some(self.lower()),
            Action::VerifyBase => {
                Some(Event::Verified { on_base: self.weight == Weight::ZERO && !self.chance(100) })
            }
            Action::End { end, exit, .. } => {
                self.end = Some((end, exit));
                None
            }
            Action::RecordStage { .. } | Action::Say(_) => None,
        }
    }

    fn clear(&mut self, stage: usize) -> Event {
        self.clearance = None;
        let detail = String::new;
        let denied = match self.dice.below(40) {
            0..4 => Denied::Expired { detail: detail() },
            4..6 => Denied::Undecided { detail: detail() },
            6 => Denied::Closed { detail: detail() },
            _ => {
                let lives = i64::try_from(self.dice.below(30_000_000)).unwrap();
                self.clearance = Some((stage, self.now.plus_us(lives)));
                return Event::ClearanceGranted { stage };
            }
        };
        Event::ClearanceDenied { stage, denied }
    }

    fn raise(&mut self, plan: &RolloutPlan, stage: usize, weight: Weight) -> Event {
        assert!(
            !self.no_more && !self.breached && !self.resumed,
            "raised after a breach or after going back"
        );
        assert_eq!(plan.stages[stage].weight, weight);
        let refuse = |refused| Event::RaiseRefused { stage, refused };
        let detail = String::new();
        let (cleared, expires) = self.clearance.take().expect("a raise without a clearance");
        assert_eq!(cleared, stage, "the clearance was for another stage");
        if self.now >= expires {
            return refuse(RaiseRefused::Expired { detail });
        }
        if self.epoch > self.our_epoch {
            return refuse(RaiseRefused::Preempted { by: "another orca".into() });
        }
        match self.dice.below(20) {
            0 => refuse(RaiseRefused::Unavailable { detail }),
            1 => refuse(RaiseRefused::Refused { detail }),
            2 => {
                self.late = Some((self.generation, self.our_epoch, weight));
                refuse(RaiseRefused::InDoubt { detail })
            }
            3 => {
                self.set(weight);
                refuse(RaiseRefused::InDoubt { detail })
            }
            _ => {
                self.set(weight);
                Event::Raised { stage }
            }
        }
    }

    fn renew(&mut self) -> Option<Event> {
        if self.epoch > self.our_epoch {
            return Some(Event::Preempted { by: "another orca".into() });
        }
        if self.weight == Weight::ZERO {
            return Some(Event::GrantLost);
        }
        if self.chance(100) {
            return Some(Event::PlatformUncertain { detail: String::new() });
        }
        self.grant_until = self.now.plus_us(GRANT_US);
        None
    }

    fn lower(&mut self) -> Event {
        if self.chance(200) {
            return Event::LowerFailed { detail: String::new() };
        }
        self.no_more = true;
        self.epoch += 1;
        self.set(Weight::ZERO);
        if self.chance(100) {
            Event::LowerFailed { detail: "reply lost".into() }
        } else {
            Event::Lowered
        }
    }

    fn verdict(&self) -> Verdict {
        match self.dice.below(20) {
            0 => Verdict::Fail,
            1..3 => Verdict::Inconclusive,
            3 => Verdict::Waived,
            _ => Verdict::Pass,
        }
    }

    fn judge(&mut self, plan: &RolloutPlan, stage: usize) -> Event {
        let judged = StageJudgement {
            users: self.verdict(),
            probes: self.chance(500).then(|| self.verdict()),
            cause: None,
            headline: String::new(),
            both_arms_breach: self.chance(30).then(|| "postgres".to_owned()),
        };
        let fail = judged.users == Verdict::Fail || judged.probes == Some(Verdict::Fail);
        let decider = match plan.stages[stage].decide_by {
            DecideBy::Users => Some(judged.users),
            DecideBy::Paired => judged.probes,
        };
        // An undecided stage must not be left upwards until it is judged again.
        self.breached |= fail && judged.both_arms_breach.is_none();
        let opens = decider.is_some_and(Verdict::opens);
        self.clearance = self.clearance.take().filter(|_| opens);
        Event::StageJudged { stage, judged }
    }

    /// Something from outside, now and then.
    fn outside(&mut self) -> Event {
        match self.dice.below(3_000) {
            0..4 => Event::Interrupted { signal: "SIGTERM".into() },
            4..8 => Event::AbortRequested { reason: "asked".into() },
            8..14 => Event::HardLimit { headline: String::new(), both_arms_breach: None },
            14..20 => Event::HardLimit {
                headline: String::new(),
                both_arms_breach: Some("postgres".into()),
            },
            20..24 => Event::Unreachable { headline: String::new() },
            24..30 => {
                // A rollback by another orca, which we learn of by being refused.
                (self.epoch, self.touched_by_others) = (self.our_epoch + 1, true);
                self.set(Weight::ZERO);
                Event::Tick
            }
            30..34 => {
                self.touched_by_others = true;
                self.set(Weight::ZERO);
                Event::ForeignChange { who: "a person".into(), found: Found::Base }
            }
            34..38 => {
                // SIGSTOP: long enough for the grant to end.
                self.pass(GRANT_US);
                Event::Tick
            }
            38..42 => Event::Raised { stage: usize::try_from(self.dice.below(4)).unwrap() },
            42..46 => Event::Looked { weight: Weight::FULL },
            _ => Event::Tick,
        }
    }

    fn check_end(&self, seed: u64) {
        let (end, exit) = self.end.expect("a run ends");
        let on_base = self.weight == Weight::ZERO;
        match (end, exit) {
            (Some(RolloutEnd::Complete), ExitKind::Done) => {
                assert!(!self.breached && !self.no_more, "seed {seed}: complete");
            }
            (_, ExitKind::Unverified | ExitKind::PartDone) => {
                // Not known, or held: the grant, no longer renewed, brings users back.
                assert!(self.grant_until <= self.now.plus_us(GRANT_US), "seed {seed}");
            }
            (_, ExitKind::Closed) if self.touched_by_others => assert!(on_base, "seed {seed}"),
            (_, _) => assert!(on_base, "seed {seed}: {end:?} {exit:?} with {}", self.weight),
        }
        if self.breached && !self.touched_by_others && exit == ExitKind::BackOnBase {
            assert_ne!(end, Some(RolloutEnd::Withdrawn), "seed {seed}: a breach is no withdrawal");
        }
    }
}

fn plan_of(seed: u64) -> RolloutPlan {
    let mut plan = plan();
    let stage = &mut plan.stages[usize::try_from(seed % 4).unwrap()];
    if seed.is_multiple_of(3) {
        stage.on_fail = OnFail::Hold;
    }
    if seed.is_multiple_of(5) {
        stage.decide_by = DecideBy::Paired;
    }
    if seed.is_multiple_of(7) {
        plan.on_interrupt = OnInterrupt::Hold;
    }
    plan.stages[1].max_hold = Micros::from_secs(30);
    plan
}

fn run(seed: u64) -> (Option<RolloutEnd>, ExitKind) {
    let plan = plan_of(seed);
    plan.validate().unwrap();
    let mut world = World::new(seed);
    let mut state = State::new(world.now);
    let mut queue = vec![Event::Started];
    for _ in 0..STEPS_MAX {
        if world.end.is_some() {
            break;
        }
        let event = if queue.is_empty() { world.outside() } else { queue.remove(0) };
        let breach = matches!(&event, Event::Unreachable { .. })
            || matches!(&event, Event::HardLimit { both_arms_breach: None, .. });
        world.breached |= breach && state.exposed;
        let (next, actions) = step(&plan, state, world.now, event);
        state = next;
        for action in actions {
            // Killed between two actions: memory is lost, a new process only records.
            if world.chance(5) && !state.is_past() && state.at != At::Idle {
                (state, queue) = (State::new(world.now), Vec::new());
                (world.resumed, world.clearance) = (true, None);
                queue.push(Event::Resumed { weight: world.weight });
                break;
            }
            queue.extend(world.act(&plan, &action));
        }
        let pause = i64::try_from(world.dice.below(5_000_000)).unwrap();
        world.pass(if queue.is_empty() { pause } else { pause / 10 });
    }
    world.check_end(seed);
    world.end.unwrap()
}

#[test]
fn no_schedule_breaks_the_rules() {
    let ends: Vec<_> = (0..SCHEDULES).map(run).collect();
    // The world is wild enough to reach every way a rollout can end.
    for end in [
        RolloutEnd::Complete,
        RolloutEnd::RolledBack,
        RolloutEnd::Withdrawn,
        RolloutEnd::Aborted,
        RolloutEnd::GrantEnded,
    ] {
        assert!(ends.iter().any(|(e, _)| *e == Some(end)), "no schedule ends as {end:?}");
    }
    for exit in [ExitKind::Done, ExitKind::Closed, ExitKind::Undecided, ExitKind::BackOnBase] {
        assert!(ends.iter().any(|(_, e)| *e == exit), "no schedule exits as {exit:?}");
    }
}

#[test]
fn a_schedule_repeats() {
    assert_eq!(run(42), run(42));
}
