//! A rollout as it will run: every default filled in, every stage checked.
//! Weights ascend to 100 %, every stage bakes, and a hold always has an end.

use serde::{Deserialize, Serialize};

use super::ports::{Capabilities, Weights};
use super::triggers::Triggers;
use crate::base::units::{Micros, Rate, Weight};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RolloutPlan {
    pub(crate) stages: Vec<Stage>,
    /// How long a weight lasts unless it is renewed; a minute in plans that do not say.
    #[serde(default = "a_minute")]
    pub(crate) grant: Micros,
    /// How often a grant is renewed, and an undecided stage judged again.
    pub(crate) renewal: Micros,
    pub(crate) on_interrupt: OnInterrupt,
    /// How often `canary tick` was announced to carry it on; absent where a process drives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) every: Option<Micros>,
    /// The track that the stages are of, where they are of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) track: Option<String>,
    /// What brings users back by itself in the middle of a stage.
    #[serde(default, skip_serializing_if = "Triggers::is_none")]
    pub(crate) triggers: Triggers,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Stage {
    pub(crate) weight: Weight,
    pub(crate) bake: Micros,
    pub(crate) on_fail: OnFail,
    pub(crate) decide_by: DecideBy,
    /// Rate of paired load on each version, where paired load decides.
    #[serde(default)]
    pub(crate) paired_rate: Option<Rate>,
    /// How long an undecided stage may wait before users go back to base.
    pub(crate) max_hold: Micros,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnFail {
    #[default]
    Rollback,
    /// Wait for a person until `max_hold`, then roll back. Never raises.
    Hold,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DecideBy {
    #[default]
    Users,
    /// Paired load decides; users are judged for breach alone.
    Paired,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnInterrupt {
    #[default]
    Abort,
    Hold,
}

/// Why a plan cannot run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the canary has no stages")]
    NoStages,
    #[error("stage {stage} at {weight} does not come after {before}")]
    NotAscending { stage: usize, weight: Weight, before: Weight },
    #[error("the last stage is at {0}, not 100 %")]
    NotFull(Weight),
    #[error("stage {stage} has no bake time")]
    NoBake { stage: usize },
    #[error("grants are renewed every {renewal}, and last {grant}")]
    RenewsTooLate { renewal: Micros, grant: Micros },
    #[error("stage {stage} at {weight} needs a finer split than the platform has: {offered}")]
    WeightNotOffered { stage: usize, weight: Weight, offered: &'static str },
}

const fn a_minute() -> Micros {
    Micros::from_secs(60)
}

impl RolloutPlan {
    /// Checks what holds on every platform.
    pub(crate) fn validate(&self) -> Result<(), PlanError> {
        let mut before = Weight::ZERO;
        for (stage, at) in (1..).zip(&self.stages) {
            if at.weight <= before {
                return Err(PlanError::NotAscending { stage, weight: at.weight, before });
            }
            if at.bake.0 == 0 {
                return Err(PlanError::NoBake { stage });
            }
            before = at.weight;
        }
        match self.stages.last() {
            None => return Err(PlanError::NoStages),
            Some(last) if last.weight != Weight::FULL => {
                return Err(PlanError::NotFull(last.weight));
            }
            Some(_) => {}
        }
        if self.renewal.0 == 0 || self.renewal >= self.grant {
            let (renewal, grant) = (self.renewal, self.grant);
            return Err(PlanError::RenewsTooLate { renewal, grant });
        }
        Ok(())
    }

    /// Checks what this platform can hold.
    pub(crate) fn fits(&self, platform: &Capabilities) -> Result<(), PlanError> {
        let (is_offered, offered): (fn(Weight) -> bool, _) = match platform.weights {
            Weights::Any => return Ok(()),
            Weights::WholePercent => {
                (|weight| weight.basis_points().is_multiple_of(100), "whole percents")
            }
            Weights::AllOrNothing => (|weight| weight == Weight::FULL, "all users or none"),
        };
        match (1..).zip(&self.stages).find(|(_, at)| !is_offered(at.weight)) {
            Some((stage, at)) => {
                Err(PlanError::WeightNotOffered { stage, weight: at.weight, offered })
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 1 -> 5 -> 25 -> 100, a minute each.
    pub(crate) fn plan() -> RolloutPlan {
        let stage = |bp| Stage {
            weight: Weight::from_basis_points(bp).unwrap(),
            bake: Micros::from_secs(60),
            on_fail: OnFail::Rollback,
            decide_by: DecideBy::Users,
            paired_rate: None,
            max_hold: Micros::from_secs(120),
        };
        RolloutPlan {
            stages: [100, 500, 2_500, 10_000].map(stage).to_vec(),
            grant: a_minute(),
            renewal: Micros::from_secs(15),
            on_interrupt: OnInterrupt::Abort,
            track: None,
            triggers: Triggers::default(),
            every: None,
        }
    }

    type Change = fn(&mut RolloutPlan);

    #[test]
    fn plans_that_cannot_run_are_refused() {
        let cases: [(Change, Option<&str>); 8] = [
            (|_| {}, None),
            (|p| p.stages.clear(), Some("the canary has no stages")),
            (
                |p| p.stages[1].weight = p.stages[0].weight,
                Some("stage 2 at 1 % does not come after 1 %"),
            ),
            (|p| p.stages[0].weight = Weight::ZERO, Some("stage 1 at 0 % does not come after 0 %")),
            (|p| p.stages.truncate(3), Some("the last stage is at 25 %, not 100 %")),
            (|p| p.stages[2].bake = Micros(0), Some("stage 3 has no bake time")),
            (
                |p| p.renewal = Micros::from_secs(60),
                Some("grants are renewed every 1 m, and last 1 m"),
            ),
            (|p| p.renewal = Micros::from_secs(59), None),
        ];
        for (change, message) in cases {
            let mut plan = plan();
            change(&mut plan);
            let said = plan.validate().err().map(|e| e.to_string());
            assert_eq!(said.as_deref(), message);
        }
    }

    #[test]
    fn a_platform_must_hold_every_weight() {
        let fits = |weights| {
            let capabilities = Capabilities {
                weights,
                holds_grant: true,
                measures: super::super::ports::Measures::UsersAndProbes,
                stickiness: String::new(),
                state_holder: String::new(),
                abort_cost: String::new(),
            };
            let mut plan = plan();
            plan.stages[0].weight = Weight::from_basis_points(50).unwrap();
            plan.fits(&capabilities).is_ok()
        };
        assert!(fits(Weights::Any));
        assert!(!fits(Weights::WholePercent) && !fits(Weights::AllOrNothing));
    }
}
