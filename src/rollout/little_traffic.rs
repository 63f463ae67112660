//! Story D, its second half: a canary that was started although its traffic cannot decide it.
//!
//! The real judge and the real machine see three requests a second of a healthy service whose
//! errors are 0.3 % against a limit of 1 %. Shows, for a thousand seeds: a raise follows only a
//! judgement that passed, and no run ends as rolled back.

use super::arms::{self, ArmsPolicy};
use super::decision::StageJudgement;
use super::machine::{Action, At, Event, State};
use super::plan::tests::plan;
use super::samples::StageSeen;
use super::samples::tests::arm;
use super::step::step;
use crate::base::clock::{Entropy, Timestamp};
use crate::base::units::{Micros, Weight};
use crate::gate::verdict::Verdict;
use crate::ledger::entry::RolloutEnd;
use crate::slo::compare::ComparisonPolicy;
use crate::slo::judge_objectives::ObjectivesPolicy;

const SEEDS: u64 = 1_000;
const REQUESTS_A_SECOND: u64 = 3;
const ERRORS_A_THOUSAND: u64 = 3;
const LOOK_SECS: i64 = 10;

/// Requests and errors of each arm since the stage began.
#[derive(Default)]
struct Counted {
    base: (u64, u64),
    canary: (u64, u64),
}

struct Run {
    dice: Entropy,
    policy: ArmsPolicy,
    counted: Counted,
    raised: usize,
    passed: usize,
    ended: bool,
    end: Option<RolloutEnd>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let policy = ArmsPolicy {
            objectives: ObjectivesPolicy {
                objectives: vec!["errors < 1%".parse().unwrap()],
                confidence_bp: 9_500,
                min_samples: 50,
            },
            comparison: ComparisonPolicy { min_samples: 50, ..ComparisonPolicy::default() },
            weight: Weight::ZERO,
            decides: true,
            error_trigger_ppm: None,
            p95_trigger_pct: None,
            throughput: None,
        };
        let counted = Counted::default();
        Self {
            dice: Entropy::seeded(seed),
            policy,
            counted,
            raised: 0,
            passed: 0,
            ended: false,
            end: None,
        }
    }

    fn traffic(&mut self) {
        for _ in 0..REQUESTS_A_SECOND * LOOK_SECS.unsigned_abs() {
            let to_canary = self.dice.below(10_000) < u64::from(self.policy.weight.basis_points());
            let failed = u64::from(self.dice.below(1_000) < ERRORS_A_THOUSAND);
            let arm = if to_canary { &mut self.counted.canary } else { &mut self.counted.base };
            arm.0 += 1;
            arm.1 += failed;
        }
    }

    fn seen(&self) -> StageSeen {
        let of = |(requests, errors)| arm(requests, errors, 10_000);
        StageSeen {
            base: of(self.counted.base),
            canary: of(self.counted.canary),
            duration_us: 60_000_000,
            uncounted: false,
            recent: None,
        }
    }

    fn judged(&mut self) -> StageJudgement {
        let judgement = arms::judge(&self.policy, &self.seen(), "users");
        self.passed += usize::from(judgement.verdict == Verdict::Pass);
        StageJudgement {
            users: judgement.verdict,
            probes: None,
            cause: judgement.cause,
            headline: judgement.headline,
            both_arms_breach: None,
        }
    }

    fn act(&mut self, action: &Action) -> Option<Event> {
        match *action {
            Action::RequestClearance { stage } => Some(Event::ClearanceGranted { stage }),
            Action::RaiseTo { stage, weight } => {
                self.raised += 1;
                assert!(self.raised <= self.passed + 1, "raised without a passed stage");
                self.policy.weight = weight;
                self.counted = Counted::default();
                Some(Event::Raised { stage })
            }
            Action::JudgeStage { stage } => {
                Some(Event::StageJudged { stage, judged: self.judged() })
            }
            Action::LookAgain => Some(Event::Looked { weight: self.policy.weight }),
            Action::LowerToBase { .. } => {
                self.policy.weight = Weight::ZERO;
                Some(Event::Lowered)
            }
            Action::VerifyBase => Some(Event::Verified { on_base: true }),
            Action::End { end, .. } => {
                (self.ended, self.end) = (true, end);
                None
            }
            Action::RenewGrant | Action::RecordStage { .. } | Action::Say(_) => None,
        }
    }

    /// What a live look makes of the traffic so far.
    fn live(&self, state: &State) -> Option<Event> {
        let watched = matches!(state.at, At::Baking { .. } | At::Holding { .. });
        // With fewer than five failures there is no live limit to pass, so nothing to compute.
        if !watched || (self.counted.canary.1 < 5 && self.counted.canary.0 > 0) {
            return None;
        }
        let breach = arms::live_breach(&self.policy, &self.seen(), "users")?;
        Some(Event::HardLimit { headline: breach.headline, both_arms_breach: None })
    }
}

fn run(seed: u64) -> Run {
    let mut plan = plan();
    plan.stages[0].weight = Weight::from_basis_points(1_000).expect("10 %");
    plan.stages[0].bake = Micros::from_secs(900);
    plan.stages[0].max_hold = Micros::from_secs(1_000);
    let mut now = Timestamp::from_us(1_000_000_000);
    let (mut world, mut state) = (Run::new(seed), State::new(now));
    let mut events = vec![Event::Started];
    // The second stage is another question.
    while !world.ended && world.raised < 2 {
        let Some(event) = events.pop() else {
            now = now.plus_us(LOOK_SECS * 1_000_000);
            world.traffic();
            events.push(Event::Tick);
            events.extend(world.live(&state));
            continue;
        };
        let (next, actions) = step(&plan, state, now, event);
        state = next;
        for action in actions {
            events.extend(world.act(&action));
        }
    }
    world
}

#[test]
fn story_d_a_forced_stage_is_never_promoted_undecided_and_never_blamed() {
    let (mut undecided, mut raised) = (0, 0);
    for seed in 0..SEEDS {
        let ended = run(seed);
        assert!(ended.raised <= ended.passed + 1, "seed {seed} went on undecided");
        match (ended.ended, ended.end) {
            (true, Some(RolloutEnd::Withdrawn)) => undecided += 1,
            (false, None) => raised += 1,
            other => panic!("seed {seed} blames a healthy release: {other:?}"),
        }
    }
    // Both must occur, or the seeds prove nothing.
    assert!(undecided > 0 && raised > 0, "{undecided} withdrawn, {raised} raised");
}
