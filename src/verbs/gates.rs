//! Gates that every raise needs whatever the configuration says: the way back, and what runs.

use std::sync::Arc;

use super::canary::start::Candidate;
use super::ship::{Fleet, PhaseGate, Ship};
use crate::base::ids::{CommitId, DeploymentId};
use crate::base::units::Micros;
use crate::gate::check::ErasedCheck;
use crate::gate::engine::{Gate, GateCheck};
use crate::gate::phase::Phase;
use crate::gate::ruling::Mode;
use crate::release::calendar::CalendarCheck;
use crate::release::ports::TrustSource;
use crate::release::trust_change::TrustCheck;
use crate::rollout::bypass::BypassCheck;
use crate::rollout::identity::{Expected, IdentityCheck};
use crate::rollout::ports::Arm;
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

/// `release.trust`: seen early, and again in [`ready`] before every raise.
pub(crate) fn trust(ship: &Ship, candidate: &CommitId) -> PhaseGate {
    let checks = vec![trust_check(ship, candidate)];
    gate(Phase::Preflight, ("trust", Mode::Enforce), READY_MAX_AGE, checks)
}

fn trust_check(ship: &Ship, candidate: &CommitId) -> Arc<dyn ErasedCheck> {
    let source: Arc<dyn TrustSource> = ship.trust.clone();
    Arc::new(TrustCheck { source, candidate: candidate.clone() })
}

/// `release.calendar`, where blackout windows are configured: seen early, and again before every
/// raise.
pub(crate) fn calendar(ship: &Ship) -> Option<PhaseGate> {
    let check = calendar_check(ship)?;
    Some(gate(Phase::Preflight, ("calendar", Mode::Enforce), READY_MAX_AGE, vec![check]))
}

fn calendar_check(ship: &Ship) -> Option<Arc<dyn ErasedCheck>> {
    let (blackouts, clock) = (ship.blackouts.clone(), ship.bench.clock.clone());
    (!blackouts.is_empty()).then(|| Arc::new(CalendarCheck { blackouts, clock }) as _)
}

/// `rollback.ready`, `release.identity`, `release.trust`, the calendar, and `platform.bypass` where
/// the platform can tell.
pub(crate) fn ready(fleet: &Fleet, candidate: &Candidate, base: &DeploymentId) -> PhaseGate {
    ready_on(fleet, candidate, (base, Arm::Canary))
}

/// The same for a candidate on `arm`: one that serves everybody already is the platform's base.
pub(crate) fn ready_on(
    fleet: &Fleet,
    candidate: &Candidate,
    (base, arm): (&DeploymentId, Arm),
) -> PhaseGate {
    let platform = &fleet.platform;
    let identity = IdentityCheck {
        platform: Arc::clone(platform),
        arm,
        expected: Expected { commit: candidate.commit.clone(), digest: candidate.digest },
    };
    let way_back = ReadyCheck { platform: Arc::clone(platform), base: base.clone() };
    let trust = trust_check(&fleet.ship, &candidate.commit);
    let mut checks: Vec<Arc<dyn ErasedCheck>> = vec![Arc::new(identity), Arc::new(way_back), trust];
    checks.extend(calendar_check(&fleet.ship));
    if platform.pushes().is_some() {
        checks.push(Arc::new(BypassCheck { platform: Arc::clone(platform) }));
    }
    gate(Phase::Canary, ("ready", Mode::Enforce), READY_MAX_AGE, checks)
}
