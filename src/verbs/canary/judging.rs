//! By what stages are judged, and whether the traffic will be enough to judge by it.

use std::sync::Arc;

use crate::base::units::{Micros, Rate, Weight};
use crate::rollout::arms::ArmsPolicy;
use crate::rollout::plan::{DecideBy, RolloutPlan};
use crate::rollout::ports::{Capabilities, Measures};
use crate::rollout::samples::Source;
use crate::slo::compare::ComparisonPolicy;
use crate::slo::judge_objectives::ObjectivesPolicy;
use crate::slo::samples_needed::{clean_samples_needed, time_needed, weight_needed};
use crate::slo::statistics::spending::confidence_at;
use crate::verbs::ports::{Ask, PairedLoad};

/// By what stages are judged.
#[derive(Clone)]
pub(crate) struct Judging {
    pub(crate) objectives: ObjectivesPolicy,
    pub(crate) comparison: ComparisonPolicy,
    /// How often an undecided stage may be judged, sharing the confidence; `None` does not share.
    pub(crate) looks: Option<u32>,
    /// Absent where paired load cannot be sent.
    pub(crate) paired: Option<Arc<dyn PairedLoad>>,
    /// Absent where a version cannot be asked by itself.
    pub(crate) ask: Option<Arc<dyn Ask>>,
}

impl Judging {
    /// As strict as one look (1-based) has to be.
    pub(super) fn at_look(&self, look: u32) -> Self {
        let Some(looks) = self.looks else { return self.clone() };
        let mut strict = self.clone();
        for confidence in
            [&mut strict.objectives.confidence_bp, &mut strict.comparison.confidence_bp]
        {
            *confidence = confidence_at(*confidence, look, looks);
        }
        strict
    }

    pub(super) fn policy(&self, plan: &RolloutPlan, stage: usize, source: Source) -> ArmsPolicy {
        let at = &plan.stages[stage];
        let decides = match (at.decide_by, source) {
            (DecideBy::Users, Source::Users) | (DecideBy::Paired, Source::Probes) => true,
            (DecideBy::Users, Source::Probes) | (DecideBy::Paired, Source::Users) => false,
        };
        // Load is sent by schedule: only users may stay away.
        let may_stay_away = source == Source::Users && at.weight != Weight::FULL;
        ArmsPolicy {
            objectives: self.objectives.clone(),
            comparison: self.comparison.clone(),
            weight: at.weight,
            decides,
            error_trigger_ppm: plan.triggers.error_rate.map(|limit| limit.0.saturating_mul(100)),
            p95_trigger_pct: plan.triggers.p95_ratio_pct,
            throughput: plan.triggers.throughput().filter(|_| may_stay_away),
        }
    }

    /// Why nothing would be seen of a stage on this platform, by whatever decides it.
    pub(super) fn unmeasured(&self, plan: &RolloutPlan, platform: &Capabilities) -> Option<String> {
        let lacks = match &self.paired {
            None => Some("it cannot be sent here".to_owned()),
            Some(load) => load.lacks(),
        };
        (1..).zip(&plan.stages).find_map(|(number, at)| match (at.decide_by, &lacks) {
            (DecideBy::Users, _) if platform.measures == Measures::Nothing => Some(format!(
                "stage {number} at {} is decided by users, and {} does not count what each \
                 version answers",
                at.weight, platform.state_holder
            )),
            (DecideBy::Paired, Some(why)) => {
                Some(format!("stage {number} at {} is decided by paired load: {why}", at.weight))
            }
            _ => None,
        })
    }

    /// Why a stage that users decide would not get enough of them, and what would be enough.
    pub(crate) fn undecidable(&self, plan: &RolloutPlan, traffic: Rate) -> Option<String> {
        let confidence = self.at_look(1).objectives.confidence_bp;
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::rollout::plan::{OnFail, OnInterrupt, Stage};

    fn plan(stages: &[(u32, u64, DecideBy)]) -> RolloutPlan {
        let stages = stages
            .iter()
            .map(|(weight, secs, decide_by)| Stage {
                weight: Weight::from_basis_points(*weight).unwrap(),
                bake: Micros::from_secs(*secs),
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
            on_interrupt: OnInterrupt::Abort,
            track: None,
            triggers: crate::rollout::triggers::Triggers::default(),
            every: None,
        }
    }

    pub(crate) fn judging() -> Judging {
        Judging {
            objectives: ObjectivesPolicy {
                objectives: vec!["errors < 1%".parse().unwrap()],
                confidence_bp: 9_500,
                min_samples: 100,
            },
            comparison: ComparisonPolicy { min_samples: 100, ..ComparisonPolicy::default() },
            looks: None,
            paired: None,
            ask: None,
        }
    }

    struct Sends(Option<&'static str>);

    #[async_trait::async_trait]
    impl PairedLoad for Sends {
        fn lacks(&self) -> Option<String> {
            self.0.map(str::to_owned)
        }

        async fn run(
            &self,
            _: &dyn crate::rollout::ports::Platform,
            _: (Rate, Micros),
            _: &crate::rollout::tally::Tally,
            _: tokio_util::sync::CancellationToken,
        ) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn a_stage_of_which_nothing_would_be_seen_is_named() {
        let by_users = plan(&[(500, 60, DecideBy::Paired), (10_000, 60, DecideBy::Users)]);
        let paired = plan(&[(500, 60, DecideBy::Paired), (10_000, 60, DecideBy::Paired)]);
        let sends = |lacks| Some(Arc::new(Sends(lacks)) as Arc<dyn PairedLoad>);
        for (plan, measures, load, expected) in [
            (&by_users, Measures::Users, sends(None), None),
            (
                &by_users,
                Measures::Nothing,
                sends(None),
                Some("stage 2 at 100 % is decided by users"),
            ),
            (&paired, Measures::Nothing, sends(None), None),
            (
                &paired,
                Measures::Nothing,
                None,
                Some("stage 1 at 5 % is decided by paired load: it cannot"),
            ),
            (
                &paired,
                Measures::Users,
                sends(Some("nothing is safe")),
                Some("paired load: nothing is safe"),
            ),
        ] {
            let platform = Capabilities {
                weights: crate::rollout::ports::Weights::Any,
                holds_grant: false,
                measures,
                stickiness: String::new(),
                state_holder: "it".to_owned(),
                abort_cost: String::new(),
            };
            let judging = Judging { paired: load, ..judging() };
            let said = judging.unmeasured(plan, &platform);
            match expected {
                None => assert_eq!(said, None),
                Some(part) => assert!(said.clone().unwrap().contains(part), "{said:?}"),
            }
        }
    }

    #[test]
    fn looks_share_the_confidence_where_they_are_asked_for() {
        let of = |looks, look| {
            let judging = Judging { looks, ..judging() }.at_look(look);
            (judging.objectives.confidence_bp, judging.comparison.confidence_bp)
        };
        assert_eq!(of(None, 7), (9_500, 9_500));
        assert_eq!(of(Some(4), 1), (9_822, 9_822));
        assert_eq!(of(Some(4), 5), (10_000, 10_000), "nothing is left: undecided");
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
