//! STUB replaced by the real one.
use crate::base::ids::{DeploymentId, OrcaId};
use crate::base::units::Rate;
use crate::gate::ruling::RulingRecord;
use crate::ledger::entry::StageDecided;
use crate::rollout::decision::StageJudgement;
use crate::rollout::machine::{Event, StageNext, State};
use crate::rollout::plan::RolloutPlan;
use crate::rollout::ports::PlatformError;
use crate::verbs::ship::{Fleet, PhaseGate};
pub(crate) struct Judging;
impl Judging {
    pub(crate) fn undecidable(&self, _: &RolloutPlan, _: Rate) -> Option<String> {
        None
    }
}
pub(crate) struct Watch;
impl Watch {
    pub(crate) fn new(_: Judging) -> Self {
        Self
    }
    pub(crate) async fn begin_stage(&mut self, _: &Fleet, _: usize, _: &RolloutPlan) {}
    pub(crate) fn stage_gate(&self, _: &Fleet, _: usize, _: &RolloutPlan) -> PhaseGate {
        panic!()
    }
    pub(crate) fn stage_judgement(&self, _: &RulingRecord) -> StageJudgement {
        panic!()
    }
    pub(crate) fn unrecorded(_: &str) -> StageJudgement {
        panic!()
    }
    pub(crate) fn stage_decided(
        &self,
        _: &OrcaId,
        _: (usize, &RolloutPlan),
        _: StageNext,
        _: &StageJudgement,
    ) -> StageDecided {
        panic!()
    }
    pub(crate) async fn look(
        &mut self,
        _: &Fleet,
        _: &State,
        _: &RolloutPlan,
        _: &DeploymentId,
    ) -> Vec<Event> {
        Vec::new()
    }
}
pub(crate) async fn traffic_rate(_: &Fleet) -> Result<Rate, PlatformError> {
    panic!()
}
