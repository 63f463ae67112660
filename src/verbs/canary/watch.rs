//! Watching a stage: the snapshot it began with, the gate it is judged by, and what the world does
//! meanwhile by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

use crate::base::clock;
use crate::base::ids::{DeploymentId, OrcaId};
use crate::base::units::{Micros, Rate, Weight};
use crate::gate::check::ErasedCheck;
use crate::gate::engine::GateCheck;
use crate::gate::phase::Phase;
use crate::gate::ruling::{Mode, RulingRecord};
use crate::gate::verdict::{Cause, Verdict};
use crate::ledger::entry::StageDecided;
use crate::rollout::arms::{self, ArmsPolicy};
use crate::rollout::decision::StageJudgement;
use crate::rollout::machine::{At, Event, Found, StageNext, State};
use crate::rollout::plan::{DecideBy, RolloutPlan};
use crate::rollout::ports::{PlatformError, PlatformState, Samples};
use crate::rollout::probes::ProbesCheck;
use crate::rollout::samples::{Source, StageSeen};
use crate::rollout::users::UsersCheck;
use crate::slo::compare::ComparisonPolicy;
use crate::slo::judge_objectives::ObjectivesPolicy;
use crate::slo::samples_needed::{clean_samples_needed, time_needed, weight_needed};
use crate::verbs::gates;
use crate::verbs::ports::PairedLoad;
use crate::verbs::ship::{Fleet, PhaseGate};

/// How often the platform is looked at while the canary has traffic.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often an unreachable platform is mentioned.
const SAY_EVERY: Duration = Duration::from_mins(1);
/// How long a decided stage counts, in a promotion that comes later.
const STAGE_MAX_AGE: Micros = Micros::from_secs(24 * 3_600);

/// By what stages are judged.
#[derive(Clone)]
pub(crate) struct Judging {
    pub(crate) objectives: ObjectivesPolicy,
    pub(crate) comparison: ComparisonPolicy,
    /// Absent where paired load cannot be sent.
    pub(crate) paired: Option<Arc<dyn PairedLoad>>,
}

impl Judging {
    fn policy(&self, plan: &RolloutPlan, stage: usize, source: Source) -> ArmsPolicy {
        let at = &plan.stages[stage];
        let decides = match (at.decide_by, source) {
            (DecideBy::Users, Source::Users) | (DecideBy::Paired, Source::Probes) => true,
            (DecideBy::Users, Source::Probes) | (DecideBy::Paired, Source::Users) => false,
        };
        ArmsPolicy {
            objectives: self.objectives.clone(),
            comparison: self.comparison.clone(),
            weight: at.weight,
            decides,
        }
    }

    /// Why a stage that users decide would not get enough of them, and what would be enough.
    pub(crate) fn undecidable(&self, plan: &RolloutPlan, traffic: Rate) -> Option<String> {
        let confidence = self.objectives.confidence_bp;
        let clean = self.objectives.objectives.iter();
        let needed = clean
            .filter_map(|objective| clean_samples_needed(objective, confidence))
            .chain([self.objectives.min_samples, self.comparison.min_samples])
            .max()?;
        (1..).zip(&plan.stages).filter(|(_, at)| at.decide_by == DecideBy::Users).find_map(
            |(number, at)| {
                let expected = expected_requests(traffic, at.weight, at.bake);
                if expected >= needed {
                    return None;
                }
                let time = time_needed(needed, traffic, at.weight)
                    .map(|time| format!("a bake time of {}", rounded_up(time)));
                let weight = weight_needed(needed, traffic, at.bake)
                    .map(|weight| format!("a weight of {weight}"));
                let enough: Vec<String> = weight.into_iter().chain(time).collect();
                let enough = match enough.join(" or ") {
                    none if none.is_empty() => "no weight and no time".to_owned(),
                    some => some,
                };
                Some(format!(
                    "stage {number} cannot be decided: at {traffic} and {} it gets about {expected} \
                     requests in {}, and {needed} clean ones are needed; {enough} would do",
                    at.weight, at.bake
                ))
            },
        )
    }
}

/// Whole minutes, so that people can write it down.
fn rounded_up(time: Micros) -> Micros {
    const MINUTE: u64 = 60_000_000;
    Micros(time.0.div_ceil(MINUTE).saturating_mul(MINUTE))
}

fn expected_requests(traffic: Rate, weight: Weight, span: Micros) -> u64 {
    let exact =
        u128::from(traffic.milli_per_s) * u128::from(weight.basis_points()) * u128::from(span.0)
            / 10_000_000
            / 1_000_000;
    u64::try_from(exact).unwrap_or(u64::MAX)
}

/// A stage under way.
struct Began {
    stage: usize,
    snapshot: Samples,
    /// Ends the stage's paired load when the stage ends.
    _paired: Option<DropGuard>,
}

/// What is known of the stage at hand.
pub(crate) struct Watch {
    judging: Judging,
    began: Option<Began>,
    /// Users during the stage, as they were judged.
    users: Option<StageSeen>,
    looked: Option<Instant>,
    said: Option<Instant>,
}

impl Watch {
    pub(crate) fn new(judging: Judging) -> Self {
        Self { judging, began: None, users: None, looked: None, said: None }
    }

    /// Takes the snapshot that the stage is measured from, and starts its paired load.
    pub(crate) async fn begin_stage(&mut self, fleet: &Fleet, stage: usize, plan: &RolloutPlan) {
        self.began = None;
        self.users = None;
        match fleet.platform.samples().await {
            Ok(snapshot) => {
                let paired = self.start_paired(fleet, stage, plan);
                self.began = Some(Began { stage, snapshot, _paired: paired });
            }
            Err(error) => fleet.ship.say(format!("the stage cannot be measured: {error}")),
        }
    }

    /// Whether the stage at hand has its beginning.
    pub(crate) fn measures(&self, stage: usize) -> bool {
        self.began.as_ref().is_some_and(|began| began.stage == stage)
    }

    fn start_paired(&self, fleet: &Fleet, stage: usize, plan: &RolloutPlan) -> Option<DropGuard> {
        let at = &plan.stages[stage];
        let rate = at.paired_rate.filter(|_| at.decide_by == DecideBy::Paired)?;
        let load = Arc::clone(self.judging.paired.as_ref()?);
        let cancel = CancellationToken::new();
        let (own, tell, bake) = (cancel.clone(), Arc::clone(&fleet.ship.tell), at.bake);
        tokio::spawn(async move {
            if let Err(why) = load.run(rate, bake, own).await {
                tell(&format!("paired load: {why}"));
            }
        });
        Some(cancel.drop_guard())
    }

    /// The gate that decides a stage.
    pub(crate) fn stage_gate(&self, fleet: &Fleet, stage: usize, plan: &RolloutPlan) -> PhaseGate {
        let began = self
            .began
            .as_ref()
            .filter(|began| began.stage == stage)
            .map(|began| began.snapshot.clone());
        let paired = plan.stages[stage].decide_by == DecideBy::Paired;
        let users: Arc<dyn ErasedCheck> = Arc::new(UsersCheck {
            platform: Arc::clone(&fleet.platform),
            began: began.clone(),
            policy: self.judging.policy(plan, stage, Source::Users),
        });
        let probes: Arc<dyn ErasedCheck> = Arc::new(ProbesCheck {
            platform: Arc::clone(&fleet.platform),
            began,
            policy: self.judging.policy(plan, stage, Source::Probes),
        });
        let name = format!("stage-{}", stage + 1);
        let mut gate =
            gates::gate(Phase::Canary, (&name, Mode::Enforce), STAGE_MAX_AGE, vec![users]);
        gate.gate.checks.push(GateCheck {
            check: probes,
            required: paired,
            max_age_us: STAGE_MAX_AGE.0,
        });
        gate
    }

    /// The ruling of a stage in the words of the machine.
    pub(crate) fn stage_judgement(record: &RulingRecord) -> StageJudgement {
        let of = |check: &str| record.checks.iter().find(|c| c.check.as_str() == check);
        let probes = of("canary.probes")
            .map(|c| c.counted)
            .filter(|verdict| *verdict != Verdict::NotApplicable);
        // A Fail of either wins, and is what people must read.
        let failed = record.checks.iter().find(|c| c.counted == Verdict::Fail);
        let both = record
            .checks
            .iter()
            .find(|c| c.judgement.headline.starts_with("both versions breach"))
            .map(|c| c.judgement.headline.clone());
        StageJudgement {
            users: of("canary.users").map_or(Verdict::Inconclusive, |c| c.counted),
            probes,
            cause: record.cause,
            headline: failed.map_or(&record.headline, |c| &c.judgement.headline).clone(),
            both_arms_breach: both,
        }
    }

    /// A stage whose ruling the ledger did not take: nobody may go on from it.
    pub(crate) fn unrecorded(why: &str) -> StageJudgement {
        StageJudgement {
            users: Verdict::Inconclusive,
            probes: None,
            cause: Some(Cause::Unobserved),
            headline: format!("the ruling could not be kept: {why}"),
            both_arms_breach: None,
        }
    }

    pub(crate) async fn stage_decided(
        &mut self,
        fleet: &Fleet,
        rollout: &OrcaId,
        (stage, plan): (usize, &RolloutPlan),
        next: StageNext,
        judged: &StageJudgement,
    ) -> StageDecided {
        let users = self.users_now(fleet).await;
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
    async fn users_now(&mut self, fleet: &Fleet) -> Option<StageSeen> {
        let began = self.began.as_ref()?;
        if let Ok(now) = fleet.platform.samples().await {
            self.users = Some(StageSeen::between(&began.snapshot, &now, Source::Users));
        }
        self.users.clone()
    }

    /// Looks at most once a second while the canary has traffic.
    pub(crate) async fn look(
        &mut self,
        fleet: &Fleet,
        state: &State,
        plan: &RolloutPlan,
        ours: Ours<'_>,
    ) -> Vec<Event> {
        let due = self.looked.is_none_or(|at| clock::since(at) >= LOOK_EVERY);
        if !state.exposed || state.is_past() || !due {
            return Vec::new();
        }
        self.looked = Some(clock::monotonic());
        if !self.measures(state.stage) && matches!(state.at, At::Baking { .. }) {
            self.begin_stage(fleet, state.stage, plan).await;
        }
        match fleet.platform.look().await {
            Ok(seen) => {
                if let Some(event) = changed(&seen, plan, state, ours) {
                    return vec![event];
                }
            }
            Err(error) => return self.uncertain(&error),
        }
        let Some(users) = self.users_now(fleet).await else { return Vec::new() };
        // A breach that is known already is not told again: it would only prolong the hold.
        if state.breached {
            return Vec::new();
        }
        let breach = self.breach(&users, state.stage, plan);
        let holding = matches!(state.at, At::Holding { .. });
        let shared =
            |event: &Event| matches!(event, Event::HardLimit { both_arms_breach: Some(_), .. });
        breach.into_iter().filter(|event| !(holding && shared(event))).collect()
    }

    fn breach(&self, users: &StageSeen, stage: usize, plan: &RolloutPlan) -> Option<Event> {
        let policy = self.judging.policy(plan, stage, Source::Users);
        let breach = arms::live_breach(&policy, users, "users")?;
        let finding = breach.findings.first().map(|f| f.fingerprint.as_str());
        if finding.is_some_and(|f| f.starts_with("canary.unreachable")) {
            return Some(Event::Unreachable { headline: breach.headline });
        }
        let both_arms_breach = arms::both_arms_breach(&policy, users);
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

/// A stage that went on passed; one that did not either failed or could not decide.
fn verdict_of(judged: &StageJudgement, next: StageNext) -> Verdict {
    if judged.users == Verdict::Fail || judged.probes == Some(Verdict::Fail) {
        return Verdict::Fail;
    }
    match next {
        StageNext::Raise | StageNext::Done if judged.users == Verdict::Waived => Verdict::Waived,
        StageNext::Raise | StageNext::Done => Verdict::Pass,
        StageNext::Hold | StageNext::Abort => Verdict::Inconclusive,
    }
}

/// What this canary believes to be its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) canary: &'a DeploymentId,
    pub(crate) base: &'a DeploymentId,
    pub(crate) epoch: u64,
}

/// What somebody or something else did to the traffic.
fn changed(
    seen: &PlatformState,
    plan: &RolloutPlan,
    state: &State,
    ours: Ours<'_>,
) -> Option<Event> {
    let staged = seen.canary.as_ref().is_some_and(|known| known.deployment == *ours.canary);
    if seen.epoch > ours.epoch {
        let who = seen.lowered_by.as_deref().unwrap_or("somebody");
        return Some(Event::Preempted { by: format!("{who} (epoch {})", seen.epoch) });
    }
    let found = match (staged, seen.weight) {
        (true, _) if seen.base != *ours.base => Found::Split,
        (true, Weight::ZERO) => return Some(Event::GrantLost),
        (false, _) if seen.base == *ours.canary => Found::Canary,
        (false, Weight::ZERO) => Found::Base,
        (false, _) => Found::Split,
        (true, weight) => {
            // While a stage is measured it has its own weight, and none of those before.
            let first = if matches!(state.at, At::Baking { .. }) { state.stage } else { 0 };
            let known = plan.stages[first..=state.stage].iter().any(|s| s.weight == weight);
            if known {
                return None;
            }
            Found::Split
        }
    };
    Some(Event::ForeignChange { who: "somebody".to_owned(), found })
}

/// User requests a second over the last second.
pub(crate) async fn traffic_rate(fleet: &Fleet) -> Result<Rate, PlatformError> {
    let earlier = fleet.platform.samples().await?;
    tokio::time::sleep(LOOK_EVERY).await;
    let later = fleet.platform.samples().await?;
    let seen = StageSeen::between(&earlier, &later, Source::Users);
    let requests = seen.base.requests.saturating_add(seen.canary.requests);
    Ok(Rate::of(requests, Micros(seen.duration_us.max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::plan::{HardLimits, OnFail, OnInterrupt, Stage};

    fn plan(stages: &[(u32, u64, DecideBy)]) -> RolloutPlan {
        let stages = stages
            .iter()
            .map(|(weight, secs, decide_by)| Stage {
                weight: Weight::from_basis_points(*weight).unwrap(),
                bake: Micros::from_secs(*secs),
                min_samples: 0,
                on_fail: OnFail::Rollback,
                decide_by: *decide_by,
                paired_rate: None,
                max_hold: Micros::from_secs(secs * 4),
            })
            .collect();
        RolloutPlan {
            stages,
            grant: Micros::from_secs(60),
            renewal: Micros::from_secs(15),
            hard_limits: HardLimits::default(),
            on_interrupt: OnInterrupt::Abort,
        }
    }

    fn judging() -> Judging {
        Judging {
            objectives: ObjectivesPolicy {
                objectives: vec!["errors < 1%".parse().unwrap()],
                confidence_bp: 9_500,
                min_samples: 100,
            },
            comparison: ComparisonPolicy { min_samples: 100, ..ComparisonPolicy::default() },
            paired: None,
        }
    }

    /// Story D: 3 requests a second at 5 % for half an hour are 270, and 368 are needed.
    #[test]
    fn a_stage_that_traffic_cannot_decide_is_named_with_what_would() {
        let users = plan(&[(500, 1_800, DecideBy::Users), (10_000, 60, DecideBy::Users)]);
        let said = judging().undecidable(&users, Rate::per_second(3)).unwrap();
        assert!(said.contains("about 270 requests") && said.contains("368"), "{said}");
        assert!(said.contains("a weight of") && said.contains("a bake time of"), "{said}");
        assert_eq!(judging().undecidable(&users, Rate::per_second(300)), None);
        let paired = plan(&[(500, 1_800, DecideBy::Paired)]);
        assert_eq!(judging().undecidable(&paired, Rate::per_second(3)), None);
    }
}
