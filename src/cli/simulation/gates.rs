//! The gates before a canary: preflight and load, as the world says they would go now.

use std::sync::Arc;

use super::orca::Orca;
use crate::base::ids::CheckId;
use crate::base::units::Micros;
use crate::gate::check::{Check, ErasedCheck, Look, RuleId, Unseen};
use crate::gate::phase::Phase;
use crate::gate::ruling::Mode;
use crate::gate::verdict::{Finding, Judgement, Unit};
use crate::verbs::gates::gate;
use crate::verbs::ship::PhaseGate;

pub(super) const GATES: [(&str, Phase); 2] =
    [("preflight", Phase::Preflight), ("load", Phase::Load)];

/// Sees whether all is well.
pub(super) struct SimGate {
    name: &'static str,
    orca: Orca,
}

impl Check for SimGate {
    type Policy = String;
    type Seen = bool;
    const RULE: RuleId = RuleId { name: "simulated", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new(format!("simulated.{}", self.name)).expect("a constant id")
    }

    fn policy(&self) -> String {
        self.name.to_owned()
    }

    async fn observe(&self, _: &Look) -> Result<bool, Unseen> {
        self.orca.alive().await;
        let at = self.orca.clock().now();
        let mut world = self.orca.lock();
        let well = world.gates_pass;
        world.audit.gate_seen(self.name, at, well);
        Ok(well)
    }

    fn judge(_: &String, well: &bool) -> Judgement {
        if *well {
            return Judgement::pass("all is well", "simulated v1");
        }
        let finding = Finding {
            fingerprint: "broken".to_owned(),
            title: "something is broken".to_owned(),
            place: None,
            value: 1,
            unit: Unit::Count,
            next: "repair it".to_owned(),
        };
        Judgement::fail("something is broken", "simulated v1", finding)
    }
}

pub(super) fn configured(orca: &Orca) -> Vec<PhaseGate> {
    let max_age = Micros::from_secs(orca.lock().gate_max_age_secs);
    GATES
        .iter()
        .map(|(name, phase)| {
            let check: Arc<dyn ErasedCheck> = Arc::new(SimGate { name, orca: orca.clone() });
            gate(*phase, (name, Mode::Enforce), max_age, vec![check])
        })
        .collect()
}
