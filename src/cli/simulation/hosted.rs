//! What orca sees of the false platform, and a hosted one such as Vercel: the router's state without
//! its fences. It keeps no grants and no epochs; a raise names the canary and the stage that it comes from.

use super::platform::SimPlatform;
use super::schedule::FOR_EVER_US;
use super::world::{Kind, World, commit_of, deployment};
use crate::base::clock::Timestamp;
use crate::base::units::Micros;
use crate::rollout::ports::{Known, Lowered, Lowering, PlatformState, RaiseTerms};
use crate::router::lowered::Lowering as RouterLowering;
use crate::router::state::{Expected, Refusal, RouterState, Upstream};

fn known(upstream: &Upstream) -> Known {
    let deployment = deployment(&upstream.deployment);
    Known { commit: commit_of(deployment.as_str()), deployment }
}

fn seen(router: &RouterState) -> PlatformState {
    let base = known(&router.base);
    PlatformState {
        base: base.deployment,
        base_commit: base.commit,
        canary: router.canary.as_ref().map(known),
        previous: router.previous.as_ref().map(known),
        went_back: router.suspended,
        lowered_by: router.lowered_by.clone(),
        lowered: None,
        weight: router.weight,
        generation: router.generation,
        epoch: router.epoch,
        grant_until: router.grant_until,
        stored: true,
        closed: router.closed,
    }
}

/// The platform's own view: a hosted one knows no epochs and no grants.
pub(super) fn seen_on(kind: Kind, router: &RouterState) -> PlatformState {
    let state = seen(router);
    match kind {
        Kind::Router => state,
        Kind::Hosted => PlatformState { epoch: 0, grant_until: None, lowered_by: None, ..state },
    }
}

impl World {
    pub(super) fn seen(&mut self) -> PlatformState {
        let seen = seen_on(self.kind, &self.router);
        let lowered = self.router.lowered.filter(|_| self.kind == Kind::Router);
        let lowered = lowered.map(|lowered| Lowered {
            how: match lowered.how {
                RouterLowering::RolledBack => Lowering::RolledBack,
                RouterLowering::Withdrawn => Lowering::Withdrawn,
                RouterLowering::GrantEnded => Lowering::GrantEnded,
            },
            ago: Micros(u64::try_from(self.now().since_us(lowered.at)).unwrap_or(0)),
        });
        PlatformState { lowered, ..seen }
    }
}

fn in_force(router: &RouterState) -> Expected {
    Expected { generation: router.generation, epoch: router.epoch }
}

/// Compared by the caller's side just before the call, and not fenced by an epoch.
pub(super) fn own(router: &RouterState, expected: Expected) -> Result<Expected, Refusal> {
    if expected.generation != router.generation {
        let (expected, current) = (expected.generation, router.generation);
        return Err(Refusal::StaleGeneration { expected, current });
    }
    Ok(in_force(router))
}

/// Only the stage that it comes from is named, and the canary: what is late is refused by that. Where
/// nobody went back, it is another state than the one expected, and nobody took over.
pub(super) fn raise_from(
    router: &RouterState,
    terms: &RaiseTerms,
    now: Timestamp,
) -> Result<RouterState, Refusal> {
    let canary = router.canary.as_ref().map(|up| up.deployment.as_str());
    let is_at = canary == Some(terms.canary.as_str()) && router.weight == terms.from;
    if router.suspended || canary.is_none() {
        return Err(Refusal::Reverted);
    }
    if !is_at {
        let (expected, current) = (terms.expect_generation, router.generation);
        return Err(Refusal::StaleGeneration { expected, current });
    }
    let mut next = router.raise(terms.to, Micros(1), in_force(router), now)?;
    next.grant_until = Some(now.plus_us(FOR_EVER_US));
    Ok(next)
}

impl SimPlatform {
    pub(super) fn is_hosted(&self) -> bool {
        self.orca.lock().kind == Kind::Hosted
    }
}
