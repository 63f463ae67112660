//! Gates that every raise needs whatever the configuration says: the way back, and what runs.

use std::sync::Arc;

use super::canary::start::Candidate;
use super::ship::PhaseGate;
use crate::base::ids::DeploymentId;
use crate::base::units::Micros;
use crate::gate::check::ErasedCheck;
use crate::gate::engine::{Gate, GateCheck};
use crate::gate::phase::Phase;
use crate::gate::ruling::Mode;
use crate::rollout::identity::{Expected, IdentityCheck};
use crate::rollout::ports::Platform;
use crate::rollout::ready::ReadyCheck;

/// How long the way back counts as seen. It is looked at again before every raise anyway.
const READY_MAX_AGE: Micros = Micros::from_secs(300);

/// A gate of required checks that stay fresh for `max_age`.
pub(crate) fn gate(
    phase: Phase,
    (name, mode): (&str, Mode),
    max_age: Micros,
    checks: Vec<Arc<dyn ErasedCheck>>,
) -> PhaseGate {
    let checks = checks
        .into_iter()
        .map(|check| GateCheck { check, required: true, max_age_us: max_age.0 })
        .collect();
    PhaseGate { phase, required: true, gate: Gate { name: name.to_owned(), mode, checks } }
}

/// `rollback.ready` and `release.identity`.
pub(crate) fn ready(
    platform: &Arc<dyn Platform>,
    candidate: &Candidate,
    base: &DeploymentId,
) -> PhaseGate {
    let identity = IdentityCheck {
        platform: Arc::clone(platform),
        expected: Expected { commit: candidate.commit.clone(), digest: candidate.digest },
    };
    let way_back = ReadyCheck { platform: Arc::clone(platform), base: base.clone() };
    let checks: Vec<Arc<dyn ErasedCheck>> = vec![Arc::new(identity), Arc::new(way_back)];
    gate(Phase::Canary, ("ready", Mode::Enforce), READY_MAX_AGE, checks)
}
