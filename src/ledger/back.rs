//! Where "back" is. Pure.
//!
//! During a rollout it is the base. After it, the release that was base when this one started
//! unless condemned, else the newest stable, never-rolled-back release that served. Once traffic
//! went back, going back again stays: nothing here walks one release further.

use super::entry::RolloutStarted;
use super::environment::{Base, EnvironmentState, Reached};
use super::fold::State;
use crate::base::ids::{CommitId, DeploymentId, Environment, OrcaId, ReleaseName};

/// A version to go back to, and the entry that saw it live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WayBack {
    pub(crate) deployment: DeploymentId,
    pub(crate) commit: Option<CommitId>,
    pub(crate) release: Option<ReleaseName>,
    pub(crate) seen: OrcaId,
    pub(crate) because: Because,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Because {
    /// A rollout runs: its base.
    RolloutBase,
    /// Traffic went back already: stay.
    AlreadyBack,
    /// It was base when this one started.
    BaseBefore,
    /// The newest stable release that served and was never rolled back.
    NewestStable,
}

/// Why the ledger knows no way back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoWayBack {
    #[error("the ledger knows nothing of environment {0}")]
    NoHistory(Environment),
    #[error("no earlier release served {0} that was not rolled back")]
    NothingEarlier(Environment),
}

impl State {
    /// Where traffic of `environment` goes back to.
    pub(crate) fn way_back(&self, environment: &Environment) -> Result<WayBack, NoWayBack> {
        let state = self.environment(environment);
        match state.and_then(|state| Some((state, state.rollout.as_ref()?))) {
            Some((state, rollout)) if state.base.is_some() => {
                Ok(to_rollout_base(state, &rollout.started, &rollout.by.entry))
            }
            _ => self.way_past_base(environment),
        }
    }

    /// The same where the base itself is what fails, whatever canary stands beside it.
    pub(crate) fn way_past_base(&self, environment: &Environment) -> Result<WayBack, NoWayBack> {
        let state = self.environment(environment);
        let Some((state, base)) = state.and_then(|s| Some((s, s.base.as_ref()?))) else {
            return Err(NoWayBack::NoHistory(environment.clone()));
        };
        match &base.reached {
            Reached::RolledBack => return Ok(to_base(base, Because::AlreadyBack)),
            Reached::Promoted { over, over_commit } => {
                if let Some(before) = before(state, base, over, over_commit.as_ref()) {
                    return Ok(before);
                }
            }
            Reached::Found => {}
        }
        newest_stable(state, &base.deployment)
            .map(|base| to_base(base, Because::NewestStable))
            .ok_or_else(|| NoWayBack::NothingEarlier(environment.clone()))
    }

    /// The newest stable release of `environment` that was never rolled back, other than the one
    /// that serves.
    pub(crate) fn newest_stable(
        &self,
        environment: &Environment,
        serving: &DeploymentId,
    ) -> Option<WayBack> {
        let base = newest_stable(self.environment(environment)?, serving)?;
        Some(to_base(base, Because::NewestStable))
    }

    /// Where a person may send users who are to leave `serving`: the newest stable release, else the
    /// newest that served, and none that was rolled back. Never chosen without a person.
    pub(crate) fn other_way(
        &self,
        environment: &Environment,
        serving: &DeploymentId,
    ) -> Option<DeploymentId> {
        let state = self.environment(environment)?;
        let served = || state.served().find(|b| b.deployment != *serving && is_sound(state, b));
        newest_stable(state, serving).or_else(served).map(|base| base.deployment.clone())
    }
}

fn to_base(base: &Base, because: Because) -> WayBack {
    WayBack {
        deployment: base.deployment.clone(),
        commit: base.commit.clone(),
        release: base.release.clone(),
        seen: base.by.entry.clone(),
        because,
    }
}

fn to_rollout_base(state: &EnvironmentState, started: &RolloutStarted, entry: &OrcaId) -> WayBack {
    let known = state.served().find(|b| b.deployment == started.base);
    WayBack {
        deployment: started.base.clone(),
        commit: started.base_commit.clone().or_else(|| known.and_then(|b| b.commit.clone())),
        release: known.and_then(|b| b.release.clone()),
        seen: known.map_or_else(|| entry.clone(), |b| b.by.entry.clone()),
        because: Because::RolloutBase,
    }
}

/// The base that `base` was promoted over, unless it is condemned or the same version.
fn before(
    state: &EnvironmentState,
    base: &Base,
    over: &DeploymentId,
    over_commit: Option<&CommitId>,
) -> Option<WayBack> {
    let known = state.previous.iter().rev().find(|b| b.deployment == *over);
    let commit = known.and_then(|b| b.commit.as_ref()).or(over_commit);
    let is_condemned = commit.is_some_and(|c| state.condemned.contains_key(c));
    if is_condemned || *over == base.deployment {
        return None;
    }
    Some(WayBack {
        deployment: over.clone(),
        commit: commit.cloned(),
        release: known.and_then(|b| b.release.clone()),
        seen: known.map_or_else(|| base.by.entry.clone(), |b| b.by.entry.clone()),
        because: Because::BaseBefore,
    })
}

fn newest_stable<'a>(state: &'a EnvironmentState, serving: &DeploymentId) -> Option<&'a Base> {
    let is_stable = |b: &Base| {
        let release = b.release.as_ref().is_some_and(|r| state.stable.contains_key(r));
        let commit = state.stable.values().any(|(c, _)| Some(c) == b.commit.as_ref());
        release || commit
    };
    state.served().find(|b| b.deployment != *serving && is_stable(b) && is_sound(state, b))
}

fn is_sound(state: &EnvironmentState, base: &Base) -> bool {
    !base.commit.as_ref().is_some_and(|commit| state.condemned.contains_key(commit))
}

#[cfg(test)]
mod tests {
    use super::super::entry::{Body, RolloutEnd, TrafficProof};
    use super::super::fixture::*;
    use super::*;

    fn back(bodies: Vec<Body>) -> Result<(String, Because), NoWayBack> {
        let mut told = Told::new();
        for body in bodies {
            told.live(body);
        }
        let way = told.state().way_back(&environment("production"))?;
        Ok((way.deployment.to_string(), way.because))
    }

    #[expect(clippy::unnecessary_wraps, reason = "it is compared with what may fail")]
    fn to(name: &str, because: Because) -> Result<(String, Because), NoWayBack> {
        Ok((name.to_owned(), because))
    }

    fn history() -> Vec<Body> {
        vec![
            promoted("v1.1.0", '1', "d0"),
            stable("v1.1.0", '1'),
            promoted("v1.2.0", '2', "d1"),
            promoted("v1.3.0", '3', "d2"),
        ]
    }

    fn after(more: Vec<Body>) -> Result<(String, Because), NoWayBack> {
        back(history().into_iter().chain(more).collect())
    }

    #[test]
    fn back_is_the_base_then_the_one_before_then_the_newest_stable() {
        assert_eq!(after(vec![]), to("d2", Because::BaseBefore));
        let running = vec![rollout("v1.4.0-rc.1", '4', "d3")];
        assert_eq!(after(running.clone()), to("d3", Because::RolloutBase));
        let complete = [running.clone(), vec![ended('4', RolloutEnd::Complete)]].concat();
        assert_eq!(after(complete), to("d3", Because::RolloutBase));
        let aborted = [running.clone(), vec![ended('4', RolloutEnd::Aborted)]].concat();
        assert_eq!(after(aborted), to("d2", Because::BaseBefore));
        let judged = [running, vec![ended('4', RolloutEnd::RolledBack)]].concat();
        assert_eq!(after(judged), to("d3", Because::AlreadyBack));
        // v1.2 was rolled back earlier: the newest stable one serves instead.
        let condemned = vec![
            promoted("v1.1.0", '1', "d0"),
            stable("v1.1.0", '1'),
            promoted("v1.2.0", '2', "d1"),
            rolled_back('2', "d1", TrafficProof::Failed),
            promoted("v1.3.0", '3', "d2"),
        ];
        assert_eq!(back(condemned), to("d1", Because::NewestStable));
    }

    #[test]
    fn a_second_rollback_stays_where_the_first_went() {
        let once = vec![rolled_back('3', "d2", TrafficProof::Verified)];
        assert_eq!(after(once.clone()), to("d2", Because::AlreadyBack));
        let twice = [once.clone(), once].concat();
        assert_eq!(after(twice), to("d2", Because::AlreadyBack));
    }

    #[test]
    fn a_person_is_told_the_newest_stable_release_else_the_newest_that_served() {
        let other = |bodies: Vec<Body>| {
            let mut told = Told::new();
            for body in bodies {
                told.live(body);
            }
            let at = environment("production");
            told.state().other_way(&at, &deployment("d3")).map(|way| way.to_string())
        };
        assert_eq!(other(history()).as_deref(), Some("d1"), "stable, though d2 is newer");
        let unwatched = || vec![promoted("v1.2.0", '2', "d1"), promoted("v1.3.0", '3', "d2")];
        assert_eq!(other(unwatched()).as_deref(), Some("d2"));
        let condemned = vec![rolled_back('2', "d1", TrafficProof::Failed)];
        assert_eq!(other([unwatched(), condemned].concat()).as_deref(), Some("d1"));
        assert_eq!(other(vec![]), None);
    }

    #[test]
    fn without_an_earlier_release_there_is_no_way_back() {
        assert!(matches!(back(vec![]), Err(NoWayBack::NoHistory(_))));
        let first = vec![rollout("v1.0.0-rc.1", '1', "d0"), ended('1', RolloutEnd::Withdrawn)];
        assert!(matches!(back(first), Err(NoWayBack::NothingEarlier(_))));
    }
}
