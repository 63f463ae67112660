//! Whether the traffic is still as this canary left it. Pure: somebody else's change is told apart
//! from a grant that ended, and nothing is overwritten.

use crate::base::ids::DeploymentId;
use crate::base::units::Weight;
use crate::rollout::machine::{At, Event, Found, State};
use crate::rollout::plan::RolloutPlan;
use crate::rollout::ports::PlatformState;

/// What this canary believes to be its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ours<'a> {
    pub(crate) canary: &'a DeploymentId,
    pub(crate) base: &'a DeploymentId,
    pub(crate) epoch: u64,
    /// Whether the platform goes back by itself.
    pub(crate) granted: bool,
}

/// What somebody or something else did to the traffic.
pub(super) fn changed(
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
        (true, Weight::ZERO) if ours.granted => return Some(Event::GrantLost),
        (false, _) if seen.base == *ours.canary => Found::Canary,
        (_, Weight::ZERO) => Found::Base,
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
