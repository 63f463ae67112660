//! Where a release stands on its way from preflight to its pack, as the ledger tells it. Pure:
//! `ship` goes on from here, so a run that ended somewhere is continued by the same command.

use crate::base::ids::{CommitId, DeploymentId, Environment, ReleaseName};
use crate::ledger::environment::{Reached, Rollout};
use crate::ledger::fold::State;

/// The steps of a track, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Preflight,
    Load,
    Canary,
    Promote,
    Watch,
    Evidence,
}

impl Step {
    pub(crate) const ALL: [Self; 6] =
        [Self::Preflight, Self::Load, Self::Canary, Self::Promote, Self::Watch, Self::Evidence];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Load => "load",
            Self::Canary => "canary",
            Self::Promote => "promote",
            Self::Watch => "watch",
            Self::Evidence => "evidence",
        }
    }
}

/// A release that is shipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shipment {
    pub(crate) rc: ReleaseName,
    pub(crate) commit: CommitId,
    /// Its final name, such as `v1.4.0`.
    pub(crate) tag: ReleaseName,
    pub(crate) deployment: DeploymentId,
}

/// How far traffic is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reach {
    /// No canary of it is under way.
    None,
    /// A canary of it, or of another release, has not ended.
    UnderWay { release: ReleaseName },
    /// Every stage was judged.
    Complete,
    /// It is the base and has its final tag.
    Promoted,
    /// Its watch ended quietly.
    Stable,
}

pub(crate) fn reach(state: &State, environment: &Environment, shipment: &Shipment) -> Reach {
    let Some(known) = state.environment(environment) else { return Reach::None };
    let is_base = known.base.as_ref().is_some_and(|base| {
        let promoted = matches!(base.reached, Reached::Promoted { .. });
        promoted && base.commit.as_ref() == Some(&shipment.commit)
    });
    if is_base && state.finals.contains_key(&shipment.tag) {
        let is_stable = known.stable.contains_key(&shipment.tag);
        return if is_stable { Reach::Stable } else { Reach::Promoted };
    }
    // Promoted without its tag: `promote` goes on from there.
    if is_base {
        return Reach::Complete;
    }
    match &known.rollout {
        Some(running) if is_complete(running, shipment) => Reach::Complete,
        Some(running) => Reach::UnderWay { release: running.started.release.clone() },
        None => Reach::None,
    }
}

/// The deployment on which every stage of its canary was judged, where none has followed yet.
pub(crate) fn complete_on<'a>(
    state: &'a State,
    environment: &Environment,
    shipment: &Shipment,
) -> Option<&'a DeploymentId> {
    let running = state.environment(environment)?.rollout.as_ref()?;
    is_complete(running, shipment).then_some(&running.started.canary)
}

/// Every stage was judged, and nothing was breached since.
fn is_complete(running: &Rollout, shipment: &Shipment) -> bool {
    running.complete && running.breach().is_none() && running.started.commit == shipment.commit
}

impl Reach {
    /// Whether a step of moving traffic is behind.
    pub(crate) fn is_past(&self, step: Step) -> bool {
        match step {
            Step::Preflight | Step::Load => matches!(self, Self::Promoted | Self::Stable),
            Step::Canary => matches!(self, Self::Complete | Self::Promoted | Self::Stable),
            Step::Promote => matches!(self, Self::Promoted | Self::Stable),
            Step::Watch => *self == Self::Stable,
            // The same pack once more, with what came since.
            Step::Evidence => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Weight;
    use crate::gate::verdict::Verdict;
    use crate::ledger::entry::{Body, RolloutEnd, StageDecided};
    use crate::ledger::fixture::*;

    fn tagged(name: &str, rc_name: &str, digit: char) -> Body {
        let (release, rc) = (release(name), release(rc_name));
        Body::FinalTagged { release, rc, commit: commit(digit) }
    }

    #[test]
    fn the_ledger_says_where_to_go_on() {
        let shipment = Shipment {
            rc: release("v1.4.0-rc.1"),
            commit: commit('4'),
            tag: release("v1.4.0"),
            deployment: deployment("d4"),
        };
        let other = || rollout("v1.5.0-rc.1", '5', "d3");
        let ours = || rollout("v1.4.0-rc.1", '4', "d3");
        let complete = || ended('4', RolloutEnd::Complete);
        let breach = || {
            Body::StageDecided(StageDecided {
                rollout: id("ro_4"),
                stage: 1,
                weight: Weight::FULL,
                verdict: Verdict::Fail,
                next: "hold".into(),
                headline: String::new(),
                base_requests: 0,
                base_errors: 0,
                canary_requests: 0,
                canary_errors: 0,
            })
        };
        let final_tag = || tagged("v1.4.0", "v1.4.0-rc.1", '4');
        let under_way = |name: &str| Reach::UnderWay { release: release(name) };
        for (entries, expected) in [
            (vec![], Reach::None),
            (vec![ours()], under_way("v1.4.0-rc.1")),
            (vec![other()], under_way("v1.5.0-rc.1")),
            (vec![ours(), ended('4', RolloutEnd::Aborted)], Reach::None),
            (vec![ours(), complete()], Reach::Complete),
            (vec![ours(), complete(), breach()], under_way("v1.4.0-rc.1")),
            (vec![ours(), complete(), promoted("v1.4.0", '4', "d3")], Reach::Complete),
            (vec![ours(), complete(), promoted("v1.4.0", '4', "d3"), final_tag()], Reach::Promoted),
            (
                vec![
                    ours(),
                    complete(),
                    promoted("v1.4.0", '4', "d3"),
                    final_tag(),
                    stable("v1.4.0", '4'),
                ],
                Reach::Stable,
            ),
        ] {
            let mut told = Told::new();
            told.live(rc("v1.4.0-rc.1", '4', "1.4.0"));
            for entry in entries {
                told.live(entry);
            }
            let state = told.state();
            let found = reach(&state, &environment("production"), &shipment);
            assert_eq!(found, expected);
            let on = complete_on(&state, &environment("production"), &shipment);
            let is_open = state.environments.values().any(|e| e.rollout.is_some());
            let expected = (found == Reach::Complete && is_open).then(|| deployment("d4"));
            assert_eq!(on, expected.as_ref(), "{found:?}");
        }
        let past = |reach: &Reach| -> Vec<&str> {
            Step::ALL.into_iter().filter(|step| reach.is_past(*step)).map(Step::name).collect()
        };
        assert!(past(&Reach::None).is_empty());
        assert_eq!(past(&Reach::Complete), ["canary"]);
        assert_eq!(past(&Reach::Stable), ["preflight", "load", "canary", "promote", "watch"]);
    }
}
