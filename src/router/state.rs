//! What the router serves, and every way it may change. Pure: the time is given.
//!
//! Invariants: a weight above zero has a grant; a change from outside that raises exposure names
//! the generation it saw and an epoch not older than the router's; a change that lowers exposure
//! is never refused for either and takes the next epoch itself, so that a sleeper is refused
//! afterwards. Every change of where traffic goes gives the next generation; renewing a grant
//! changes nothing of that and keeps it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::limits;
use crate::base::units::{Micros, Weight};

use super::lowered::{Lowered, Lowering};

/// The schema id of a stored state.
pub(crate) const SCHEMA: &str = "orca.router-state/v1";

/// One deployed version behind the router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    /// What the platform calls it; with a bare address the address itself.
    pub(crate) deployment: String,
    /// `http://host:port`.
    pub(crate) url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
}

/// Who is sent to one arm by name, apart from the weight.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Audience {
    /// User or tenant ids that get the canary whenever its weight is above zero.
    #[serde(default)]
    pub(crate) allow: BTreeSet<String>,
    /// User or tenant ids that never get the canary by weight, list or header.
    #[serde(default)]
    pub(crate) deny: BTreeSet<String>,
    /// Whether testers may choose the arm by header.
    #[serde(default)]
    pub(crate) header_override: bool,
}

/// Longest name kept of whoever lowered, in characters.
const NAME_MAX: usize = 100;

/// Everything the router must know after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouterState {
    pub(crate) schema: String,
    /// Salt of the sticky hash: each release has other early users.
    pub(crate) release: String,
    pub(crate) base: Upstream,
    pub(crate) canary: Option<Upstream>,
    /// The base before the last promotion, kept ready.
    pub(crate) previous: Option<Upstream>,
    /// Basis points of the buckets that get the canary.
    pub(crate) weight: Weight,
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
    /// Microseconds since 1970 by the router's clock; until then the weight holds.
    pub(crate) grant_until: Option<Timestamp>,
    /// Set by a revert: lists and header override are off until the next staging.
    pub(crate) suspended: bool,
    /// Who lowered last, as they said; forgotten with the next staging.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lowered_by: Option<String>,
    /// What took users back last, and when. Absent where nothing did since the last staging or
    /// raise, and where it is not known: then `suspended` alone says that somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lowered: Option<Lowered>,
    pub(crate) audience: Audience,
    /// Users get the router's own page, and no version. Probes get through.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) closed: bool,
}

/// Why a change was refused. Nothing has changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("expected generation {expected}, the router is at {current}")]
    StaleGeneration { expected: u64, current: u64 },
    #[error("epoch {given} is older than the router's epoch {current}")]
    StaleEpoch { given: u64, current: u64 },
    #[error("no canary is staged")]
    NoCanary,
    #[error("a canary has weight {current}; revert or promote it first")]
    CanaryActive { current: Weight },
    #[error("traffic was reverted; stage the canary again first")]
    Reverted,
    #[error("weight {given} is not above the current {current}")]
    NotARaise { given: Weight, current: Weight },
    #[error("weight {given} is not below the current {current}")]
    NotALowering { given: Weight, current: Weight },
    #[error("a grant of {given} is none, or longer than 24 h")]
    GrantOutOfRange { given: Micros },
    #[error("no weight is granted, so there is nothing to renew")]
    NothingGranted,
    #[error("the canary has weight {current}, promotion needs 100 %")]
    NotAtFullWeight { current: Weight },
    #[error("no previous base is known; name the upstream to go back to")]
    NoPrevious,
}

impl Refusal {
    /// The stable code in the admin API's answers.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::StaleGeneration { .. } => "stale_generation",
            Self::StaleEpoch { .. } => "stale_epoch",
            Self::NoCanary => "no_canary",
            Self::CanaryActive { .. } => "canary_active",
            Self::Reverted => "reverted",
            Self::NotARaise { .. } => "not_a_raise",
            Self::NotALowering { .. } => "not_a_lowering",
            Self::GrantOutOfRange { .. } => "grant_out_of_range",
            Self::NothingGranted => "nothing_granted",
            Self::NotAtFullWeight { .. } => "not_at_full_weight",
            Self::NoPrevious => "no_previous",
        }
    }
}

/// What a change that may raise exposure must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) generation: u64,
    pub(crate) epoch: u64,
}

/// The candidate to stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Staging {
    pub(crate) canary: Upstream,
    pub(crate) release: String,
    pub(crate) audience: Audience,
}

impl RouterState {
    /// All traffic on `base`, nothing staged.
    pub(crate) fn all_base(base: Upstream) -> Self {
        Self {
            schema: SCHEMA.into(),
            release: String::new(),
            base,
            canary: None,
            previous: None,
            weight: Weight::ZERO,
            generation: 1,
            epoch: 0,
            grant_until: None,
            suspended: false,
            lowered_by: None,
            lowered: None,
            audience: Audience::default(),
            closed: false,
        }
    }

    /// Closed for users, or open. Where traffic goes is another matter, so neither generation nor
    /// epoch moves.
    pub(crate) fn with_closed(&self, closed: bool) -> Self {
        Self { closed, ..self.clone() }
    }

    /// The same, lowered by `who`.
    pub(crate) fn lowered_by(self, who: Option<&str>) -> Self {
        let plain = |who: &str| who.chars().filter(|c| !c.is_control()).take(NAME_MAX).collect();
        Self { lowered_by: who.map(plain), ..self }
    }

    fn fresh(&self, expected: Expected) -> Result<(), Refusal> {
        self.fresh_epoch(expected.epoch)?;
        if expected.generation == self.generation {
            Ok(())
        } else {
            let (expected, current) = (expected.generation, self.generation);
            Err(Refusal::StaleGeneration { expected, current })
        }
    }

    fn fresh_epoch(&self, given: u64) -> Result<(), Refusal> {
        if given < self.epoch {
            Err(Refusal::StaleEpoch { given, current: self.epoch })
        } else {
            Ok(())
        }
    }

    fn changed(&self) -> Self {
        let mut next = self.clone();
        next.generation = next.generation.saturating_add(1);
        next
    }

    fn lowered_by_force(&self) -> Self {
        let mut next = self.changed();
        next.epoch = next.epoch.saturating_add(1);
        next
    }

    /// Names the candidate at weight zero. Only testers with the header reach it.
    pub(crate) fn stage(&self, staging: Staging, expected: Expected) -> Result<Self, Refusal> {
        self.fresh(expected)?;
        if self.weight != Weight::ZERO {
            return Err(Refusal::CanaryActive { current: self.weight });
        }
        let mut next = self.changed();
        next.canary = Some(staging.canary);
        next.release = staging.release;
        next.audience = staging.audience;
        next.suspended = false;
        next.lowered_by = None;
        next.lowered = None;
        next.grant_until = None;
        next.epoch = expected.epoch;
        Ok(next)
    }

    /// Gives the canary a larger weight for the time of `grant`.
    pub(crate) fn raise(
        &self,
        weight: Weight,
        grant: Micros,
        expected: Expected,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        self.fresh(expected)?;
        if self.canary.is_none() {
            return Err(Refusal::NoCanary);
        }
        if self.suspended {
            return Err(Refusal::Reverted);
        }
        let current = self.tick(now).map_or(self.weight, |next| next.weight);
        if weight <= current {
            return Err(Refusal::NotARaise { given: weight, current });
        }
        let until = end_of(grant, now)?;
        let mut next = self.changed();
        next.weight = weight;
        next.lowered = None;
        next.grant_until = Some(until);
        next.epoch = expected.epoch;
        Ok(next)
    }

    /// The grant lasts for `grant` from now. One that has ended stays ended.
    pub(crate) fn renew_grant(
        &self,
        epoch: u64,
        grant: Micros,
        now: Timestamp,
    ) -> Result<Self, Refusal> {
        self.fresh_epoch(epoch)?;
        if self.weight == Weight::ZERO || self.tick(now).is_some() {
            return Err(Refusal::NothingGranted);
        }
        let until = end_of(grant, now)?;
        let mut next = self.clone();
        next.grant_until = Some(until);
        next.epoch = epoch;
        Ok(next)
    }

    /// Gives the canary a smaller weight. To zero it is a revert.
    pub(crate) fn lower(&self, weight: Weight) -> Result<Self, Refusal> {
        if weight == Weight::ZERO {
            return Ok(self.revert());
        }
        if weight >= self.weight {
            return Err(Refusal::NotALowering { given: weight, current: self.weight });
        }
        let mut next = self.lowered_by_force();
        next.weight = weight;
        Ok(next)
    }

    /// All traffic to base, lists and header override off. Never refused. What is taken back so is
    /// not known afterwards; `revert_as` says it.
    pub(crate) fn revert(&self) -> Self {
        let mut next = self.lowered_by_force();
        if self.weight != Weight::ZERO {
            next.lowered = None;
        }
        next.weight = Weight::ZERO;
        next.grant_until = None;
        next.suspended = true;
        next
    }

    /// The canary becomes the base; the old base is kept as `previous`.
    pub(crate) fn promote(&self, expected: Expected, now: Timestamp) -> Result<Self, Refusal> {
        self.fresh(expected)?;
        let current = self.tick(now).map_or(self.weight, |next| next.weight);
        let canary = self.canary.clone().ok_or(Refusal::NoCanary)?;
        if current != Weight::FULL {
            return Err(Refusal::NotAtFullWeight { current });
        }
        let mut next = self.changed();
        next.previous = Some(std::mem::replace(&mut next.base, canary));
        next.canary = None;
        next.weight = Weight::ZERO;
        next.grant_until = None;
        next.audience = Audience::default();
        next.epoch = expected.epoch;
        Ok(next)
    }

    /// Everything to `to`, or to the base before the last promotion. Repeating it changes nothing
    /// but generation and epoch, and it never walks one release further back.
    pub(crate) fn restore(&self, to: Option<Upstream>, now: Timestamp) -> Result<Self, Refusal> {
        let target = match to {
            Some(named) => self.known(named),
            None => self.previous.clone().ok_or(Refusal::NoPrevious)?,
        };
        let mut next = self.revert();
        if target.deployment != self.base.deployment {
            next.base = target;
            next.previous = None;
        }
        next.canary = None;
        next.audience = Audience::default();
        next.lowered = Some(Lowered { how: Lowering::RolledBack, at: now });
        Ok(next)
    }

    /// `named` as this router knows it, with its commit and digest, when it does.
    fn known(&self, named: Upstream) -> Upstream {
        [Some(&self.base), self.previous.as_ref(), self.canary.as_ref()]
            .into_iter()
            .flatten()
            .find(|upstream| upstream.deployment == named.deployment)
            .cloned()
            .unwrap_or(named)
    }

    /// The state after an ended grant, or nothing when no grant has ended.
    pub(crate) fn tick(&self, now: Timestamp) -> Option<Self> {
        let held = self.grant_until.is_some_and(|until| now < until);
        if self.weight == Weight::ZERO || held {
            return None;
        }
        let mut next = self.changed();
        next.weight = Weight::ZERO;
        let at = next.grant_until.take().unwrap_or(now);
        next.lowered = Some(Lowered { how: Lowering::GrantEnded, at });
        Some(next)
    }
}

/// When it ends, by the clock of whoever keeps it. Nobody else's clock has a say, and none keeps users
/// on a version for longer than the longest grant that a verb asks for.
fn end_of(grant: Micros, now: Timestamp) -> Result<Timestamp, Refusal> {
    if grant.0 == 0 || grant.duration() > limits::GRANT_DETACHED_MAX {
        return Err(Refusal::GrantOutOfRange { given: grant });
    }
    Ok(now.plus(grant.duration()))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::router) fn upstream(name: &str) -> Upstream {
        Upstream {
            deployment: name.into(),
            url: format!("http://{name}:80"),
            commit: None,
            digest: None,
        }
    }

    fn staging(name: &str) -> Staging {
        Staging { canary: upstream(name), release: "v1".into(), audience: Audience::default() }
    }

    fn weight(bp: u32) -> Weight {
        Weight::from_basis_points(bp).unwrap()
    }

    fn at(us: i64) -> Timestamp {
        Timestamp::from_us(us)
    }

    fn seen(state: &RouterState) -> Expected {
        Expected { generation: state.generation, epoch: state.epoch }
    }

    fn staged() -> RouterState {
        let start = RouterState::all_base(upstream("one"));
        start.stage(staging("two"), seen(&start)).unwrap()
    }

    fn raised(bp: u32) -> RouterState {
        let state = staged();
        state.raise(weight(bp), Micros(100), seen(&state), at(0)).unwrap()
    }

    #[test]
    fn a_raise_needs_everything_at_once() {
        let state = staged();
        let fresh = seen(&state);
        let older = Expected { generation: fresh.generation - 1, ..fresh };
        let code = |r: Result<RouterState, Refusal>| r.map_or_else(|e| e.code(), |_| "ok");
        let most = 24 * 3_600 * 1_000_000;
        for (grant, expected) in [
            (0, "grant_out_of_range"),
            (1, "ok"),
            (most, "ok"),
            (most + 1, "grant_out_of_range"),
            (u64::MAX, "grant_out_of_range"),
        ] {
            let raised = state.raise(weight(100), Micros(grant), fresh, at(8));
            assert_eq!(code(raised), expected, "{grant}");
            let high = self::raised(500);
            assert_eq!(code(high.renew_grant(high.epoch, Micros(grant), at(8))), expected);
        }
        let grant = Micros(9);
        assert_eq!(code(state.raise(weight(0), grant, fresh, at(0))), "not_a_raise");
        assert_eq!(code(state.raise(weight(100), grant, older, at(0))), "stale_generation");
        let reverted = state.revert();
        assert_eq!(code(reverted.raise(weight(100), grant, fresh, at(0))), "stale_epoch");
        assert_eq!(code(reverted.raise(weight(100), grant, seen(&reverted), at(0))), "reverted");
        let bare = RouterState::all_base(upstream("one"));
        assert_eq!(code(bare.raise(weight(100), grant, seen(&bare), at(0))), "no_canary");
        let high = raised(500);
        assert_eq!(code(high.raise(weight(500), grant, seen(&high), at(0))), "not_a_raise");
        assert_eq!(code(high.stage(staging("three"), seen(&high))), "canary_active");
        assert_eq!(code(high.promote(seen(&high), at(0))), "not_at_full_weight");
    }

    #[test]
    fn a_grant_ends_exactly_at_its_time_and_cannot_be_renewed_after() {
        let state = raised(500);
        assert_eq!(state.tick(at(99)), None);
        let fallen = state.tick(at(100)).unwrap();
        assert_eq!((fallen.weight, fallen.grant_until), (Weight::ZERO, None));
        assert_eq!(fallen.generation, state.generation + 1);
        let late = state.renew_grant(state.epoch, Micros(100), at(100));
        assert_eq!(late, Err(Refusal::NothingGranted));
        let renewed = state.renew_grant(state.epoch, Micros(101), at(99)).unwrap();
        assert_eq!((renewed.grant_until, renewed.generation), (Some(at(200)), state.generation));
        let refused = renewed.revert().renew_grant(state.epoch, Micros(300), at(0));
        assert!(matches!(refused, Err(Refusal::StaleEpoch { .. })));
        let expired = state.promote(seen(&state), at(100));
        assert_eq!(expired, Err(Refusal::NotAtFullWeight { current: Weight::ZERO }));
    }

    #[test]
    fn promotion_keeps_the_old_base_and_restore_converges() {
        let state = raised(10_000);
        let promoted = state.promote(seen(&state), at(0)).unwrap();
        assert_eq!(promoted.base, upstream("two"));
        assert_eq!(promoted.previous, Some(upstream("one")));
        let back = promoted.restore(None, at(0)).unwrap();
        assert_eq!((&back.base, &back.previous), (&upstream("one"), &None));
        assert_eq!(back.restore(None, at(0)), Err(Refusal::NoPrevious));
        let again = back.restore(Some(upstream("one")), at(0)).unwrap();
        assert_eq!(again.base, upstream("one"));
        assert!(again.epoch > promoted.epoch);
    }

    #[test]
    fn lowering_takes_the_next_epoch_and_zero_suspends() {
        let state = raised(2_500);
        let lower = state.lower(weight(500)).unwrap();
        assert_eq!((lower.epoch, lower.suspended), (state.epoch + 1, false));
        assert!(lower.lower(weight(500)).is_err());
        let zero = lower.lower(Weight::ZERO).unwrap();
        assert!(zero.suspended);
        assert_eq!(zero.grant_until, None);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Stage,
        Raise { bp: u32, grant: u64, generation_off: u64, epoch_off: u64 },
        Renew { grant: u64, epoch_off: u64 },
        Lower(u32),
        Revert,
        Promote,
        Restore,
        Pass(i64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Stage),
            (0_u32..=10_000, 0_u64..50, 0_u64..2, 0_u64..2).prop_map(|(bp, grant, g, e)| {
                Step::Raise { bp, grant, generation_off: g, epoch_off: e }
            }),
            (0_u64..50, 0_u64..2).prop_map(|(grant, epoch_off)| Step::Renew { grant, epoch_off }),
            (0_u32..=10_000).prop_map(Step::Lower),
            Just(Step::Revert),
            Just(Step::Promote),
            Just(Step::Restore),
            (0_i64..40).prop_map(Step::Pass),
        ];
        proptest::collection::vec(step, 0..40)
    }

    proptest! {
        /// After any sequence a weight above zero has a grant that has not ended, and a change
        /// that named an older generation or epoch was refused.
        #[test]
        fn a_weight_always_has_a_grant(steps in steps()) {
            let mut state = RouterState::all_base(upstream("one"));
            let mut now = 0_i64;
            for step in steps {
                let here = seen(&state);
                let outcome = match step {
                    Step::Stage => state.stage(staging("two"), here),
                    Step::Raise { bp, grant, generation_off, epoch_off } => {
                        let expected = Expected {
                            generation: here.generation.saturating_sub(generation_off),
                            epoch: here.epoch.saturating_sub(epoch_off),
                        };
                        let result = state.raise(weight(bp), Micros(grant), expected, at(now));
                        prop_assert!(expected == here || result.is_err());
                        result
                    }
                    Step::Renew { grant, epoch_off } => {
                        let epoch = here.epoch.saturating_sub(epoch_off);
                        let result = state.renew_grant(epoch, Micros(grant), at(now));
                        prop_assert!(epoch == here.epoch || result.is_err());
                        result
                    }
                    Step::Lower(bp) => state.lower(weight(bp)),
                    Step::Revert => Ok(state.revert()),
                    Step::Promote => state.promote(here, at(now)),
                    Step::Restore => state.restore(None, at(0)),
                    Step::Pass(us) => {
                        now += us;
                        Ok(state.clone())
                    }
                };
                let next = outcome.unwrap_or_else(|_| state.clone());
                prop_assert!(next.generation >= state.generation && next.epoch >= state.epoch);
                state = next.tick(at(now)).unwrap_or(next);
                if state.weight > Weight::ZERO {
                    prop_assert!(state.grant_until.is_some_and(|until| until > at(now)));
                    prop_assert!(state.canary.is_some() && !state.suspended);
                }
            }
        }
    }
}
