//! One environment as the ledger knows it: what is base, what was, what is on its way, what is
//! condemned. Pure; part of the fold.

use std::collections::{BTreeMap, BTreeSet};

use super::advance::LetGo;
use super::entry::{
    Body, Entry, Outcome, Promoted, RolledBack, RolloutEnd, RolloutStarted, StageBegan,
    StageDecided, TrafficProof,
};
use super::fold::{Arrival, Author};
use super::pause::Pause;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, DeploymentId, OrcaId, ReleaseName};
use crate::base::units::Weight;
use crate::gate::verdict::Verdict;

/// How a base became the base.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reached {
    /// It served when the ledger first looked.
    Found,
    /// Promoted over this one.
    Promoted { over: DeploymentId, over_commit: Option<CommitId> },
    /// Traffic went back to it: going back again stays here.
    RolledBack,
}

/// A version that serves, or served, everybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) release: Option<ReleaseName>,
    pub(crate) commit: Option<CommitId>,
    pub(crate) digest: Option<Digest>,
    pub(crate) deployment: DeploymentId,
    /// The entry since which it is the base.
    pub(crate) by: Author,
    pub(crate) reached: Reached,
}

/// A stage that has its weight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Began {
    /// 1-based.
    pub(crate) stage: u32,
    pub(crate) at: Timestamp,
    /// What each arm had answered until then.
    pub(crate) samples: Option<Digest>,
}

/// A rollout from its start to a promotion, a rollback or another end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rollout {
    pub(crate) started: RolloutStarted,
    pub(crate) by: Author,
    pub(crate) began: Vec<Began>,
    /// What was decided, and when.
    pub(crate) stages: Vec<(StageDecided, Timestamp)>,
    /// The weight of the last raise that is not known to have failed.
    pub(crate) weight: Weight,
    /// A raise whose outcome nobody wrote: its step and the weight it wanted.
    pub(crate) open_raise: Option<(OrcaId, Weight)>,
    /// All stages are done; a promotion or a rollback is next.
    pub(crate) complete: bool,
    /// The last pause.
    pub(crate) paused: Option<Pause>,
    /// Stages that a person let go on although they could not be decided.
    pub(crate) advanced: Vec<LetGo>,
}

impl Rollout {
    /// The stage at hand, from 0, with its beginning where it has its weight.
    pub(crate) fn place(&self) -> (usize, Option<&Began>) {
        let index = |stage: u32| usize::try_from(stage).unwrap_or(usize::MAX);
        let passed = self.stages.iter().filter(|(said, _)| said.next == "raise");
        let done = passed.map(|(said, _)| index(said.stage)).max().unwrap_or(0);
        match self.began.last() {
            Some(began) if index(began.stage) > done => (index(began.stage) - 1, Some(began)),
            _ => (done, None),
        }
    }

    /// A breach that holds for a person at the stage at hand, also after every stage was judged.
    pub(crate) fn breach(&self) -> Option<&StageDecided> {
        let stage = self.place().0;
        let here = |said: &StageDecided| usize::try_from(said.stage) == Ok(stage + 1);
        let mut held = self.stages.iter().map(|(said, _)| said).filter(|s| s.next == "hold");
        held.rfind(|said| here(said)).filter(|said| said.verdict == Verdict::Fail)
    }

    /// Whether it may have traffic.
    pub(crate) fn is_raised(&self) -> bool {
        self.weight > Weight::ZERO || self.open_raise.is_some()
    }

    /// How often a stage (1-based) was decided.
    pub(crate) fn looks(&self, stage: usize) -> u32 {
        let is_it = |number: u32| usize::try_from(number) == Ok(stage);
        let Some(began) = self.began.iter().find(|began| is_it(began.stage)) else { return 0 };
        let about = self.stages.iter().filter(|(said, at)| is_it(said.stage) && *at >= began.at);
        u32::try_from(about.count()).unwrap_or(u32::MAX)
    }

    /// Said again of the same stage, it only brings the samples that were missing.
    fn begin(&mut self, began: &StageBegan, at: Timestamp) {
        let known = self.began.last_mut().filter(|known| known.stage == began.stage);
        if let Some(known) = known {
            known.samples = began.samples.or(known.samples);
            return;
        }
        let (stage, samples) = (began.stage, began.samples);
        self.began.push(Began { stage, at, samples });
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EndedRollout {
    pub(crate) rollout: Rollout,
    pub(crate) end: RolloutEnd,
    pub(crate) reason: String,
    pub(crate) by: Author,
}

/// A commit that was rolled back here: only another commit ships.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condemned {
    pub(crate) reason: String,
    pub(crate) by: Author,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct EnvironmentState {
    pub(crate) base: Option<Base>,
    /// Bases before this one, oldest first.
    pub(crate) previous: Vec<Base>,
    pub(crate) rollout: Option<Rollout>,
    pub(crate) ended: Vec<EndedRollout>,
    pub(crate) condemned: BTreeMap<CommitId, Condemned>,
    /// Releases whose watch window ended quietly.
    pub(crate) stable: BTreeMap<ReleaseName, (CommitId, Author)>,
    /// Gates that applied to the release promoted last.
    pub(crate) applied_gates: BTreeSet<String>,
    /// The newest lease epoch that an entry was written under.
    pub(crate) epoch: Option<(u64, Author)>,
}

impl EnvironmentState {
    pub(super) fn apply(&mut self, entry: &Entry, by: &Author, arrival: Arrival) {
        if let Some(epoch) = entry.epoch
            && self.epoch.as_ref().is_none_or(|(newest, _)| *newest < epoch)
        {
            self.epoch = Some((epoch, by.clone()));
        }
        match &entry.body {
            Body::RolloutStarted(started) => self.start(started, by),
            Body::RaiseIntended { step, rollout, to, .. } => {
                if let Some(running) = self.running(rollout) {
                    running.open_raise = Some((step.clone(), *to));
                }
            }
            Body::StageBegan(began) => {
                if let Some(running) = self.running(&began.rollout) {
                    running.begin(began, by.at);
                }
            }
            Body::Paused(said) => {
                if let Some(running) = self.running(&said.rollout) {
                    running.paused = Some(Pause::new(said, by));
                }
            }
            Body::Unpaused { rollout, .. } => {
                let pause = self.running(rollout).and_then(|running| running.paused.as_mut());
                if let Some(pause) = pause {
                    pause.lift(by.at);
                }
            }
            Body::StageDecided(decided) => {
                if let Some(running) = self.running(&decided.rollout) {
                    running.stages.push((decided.clone(), by.at));
                }
            }
            Body::RolloutEnded { rollout, end, reason } => self.end(rollout, *end, reason, by),
            Body::RolledBack(back) => self.roll_back(back, by, arrival),
            Body::Promoted(promoted) => self.promote(promoted, by, arrival),
            Body::Stable { release, commit } => {
                self.stable.insert(release.clone(), (commit.clone(), by.clone()));
            }
            _ => {}
        }
    }

    pub(super) fn end_step(&mut self, step: &OrcaId, intent: &Body, outcome: Outcome) {
        let Some(running) = &mut self.rollout else { return };
        match (intent, outcome) {
            // An unknown outcome counts as a raise that worked: users may be on it.
            (Body::RaiseIntended { to, .. }, outcome) => {
                if outcome != Outcome::Failed {
                    running.weight = *to;
                }
                running.open_raise.take_if(|(open, _)| open == step);
            }
            (Body::LowerIntended { to, .. }, Outcome::Done) if *to == running.started.base => {
                running.weight = Weight::ZERO;
            }
            _ => {}
        }
    }

    /// Every base there was, newest first, the present one included.
    pub(crate) fn served(&self) -> impl Iterator<Item = &Base> {
        self.base.iter().chain(self.previous.iter().rev())
    }

    /// Whether a fact speaks of a base before the present one. Two clocks are compared only where
    /// its writer did not know the chain it came to.
    fn is_late(&self, by: &Author, arrival: Arrival) -> bool {
        arrival == Arrival::Afterwards && self.base.as_ref().is_some_and(|b| by.at < b.by.at)
    }

    fn running(&mut self, rollout: &OrcaId) -> Option<&mut Rollout> {
        self.rollout.as_mut().filter(|r| r.started.rollout == *rollout)
    }

    fn start(&mut self, started: &RolloutStarted, by: &Author) {
        let commit = started.base_commit.as_ref();
        self.find_base(&started.base, commit, by, Reached::Found);
        self.rollout = Some(Rollout {
            started: started.clone(),
            by: by.clone(),
            began: Vec::new(),
            stages: Vec::new(),
            weight: Weight::ZERO,
            open_raise: None,
            complete: false,
            paused: None,
            advanced: Vec::new(),
        });
    }

    fn end(&mut self, rollout: &OrcaId, end: RolloutEnd, reason: &str, by: &Author) {
        let Some(running) = self.rollout.take_if(|r| r.started.rollout == *rollout) else {
            return;
        };
        match end {
            RolloutEnd::Complete => {
                self.rollout = Some(Rollout { complete: true, ..running });
                return;
            }
            RolloutEnd::RolledBack => {
                self.condemn(&running.started.commit, reason, by);
                if let Some(base) = &mut self.base {
                    base.reached = Reached::RolledBack;
                }
            }
            RolloutEnd::Withdrawn | RolloutEnd::Aborted | RolloutEnd::GrantEnded => {}
        }
        let (reason, by) = (reason.to_owned(), by.clone());
        self.ended.push(EndedRollout { rollout: running, end, reason, by });
    }

    fn roll_back(&mut self, back: &RolledBack, by: &Author, arrival: Arrival) {
        let from = back.from.as_ref();
        let canary = self.rollout.as_ref().map(|r| &r.started);
        let of_canary = canary.filter(|s| Some(&s.canary) == from).map(|s| s.commit.clone());
        let of_base = || self.served().find(|b| Some(&b.deployment) == from);
        let commit =
            back.commit.clone().or(of_canary).or_else(|| of_base().and_then(|b| b.commit.clone()));
        if let Some(commit) = commit {
            self.condemn(&commit, &back.reason, by);
        }
        if back.verified == TrafficProof::Failed || self.is_late(by, arrival) {
            return;
        }
        if let Some(rollout) = self.rollout.take() {
            let (reason, by) = (back.reason.clone(), by.clone());
            self.ended.push(EndedRollout { rollout, end: RolloutEnd::RolledBack, reason, by });
        }
        self.find_base(&back.to, None, by, Reached::RolledBack);
        if let Some(base) = &mut self.base {
            base.reached = Reached::RolledBack;
        }
    }

    fn promote(&mut self, promoted: &Promoted, by: &Author, arrival: Arrival) {
        if self.is_late(by, arrival) {
            return;
        }
        let (over, over_commit) = (promoted.previous.clone(), promoted.previous_commit.clone());
        let is_known = self.base.as_ref().is_some_and(|b| b.deployment == promoted.deployment);
        if !is_known {
            self.find_base(&over, over_commit.as_ref(), by, Reached::Found);
        }
        self.previous.extend(self.base.take_if(|b| b.deployment != promoted.deployment));
        self.base = Some(Base {
            release: Some(promoted.release.clone()),
            commit: Some(promoted.commit.clone()),
            digest: promoted.digest,
            deployment: promoted.deployment.clone(),
            by: by.clone(),
            reached: Reached::Promoted { over, over_commit },
        });
        if let Some(rollout) = self.rollout.take_if(|r| r.started.canary == promoted.deployment) {
            let (end, reason) = (RolloutEnd::Complete, "promoted".to_owned());
            self.ended.push(EndedRollout { rollout, end, reason, by: by.clone() });
        }
    }

    /// Makes `deployment` the base, with whatever is known of it from earlier.
    fn find_base(
        &mut self,
        deployment: &DeploymentId,
        commit: Option<&CommitId>,
        by: &Author,
        reached: Reached,
    ) {
        if self.base.as_ref().is_some_and(|b| b.deployment == *deployment) {
            return;
        }
        let known = self.previous.iter().rev().find(|b| b.deployment == *deployment);
        let base = Base {
            release: known.and_then(|b| b.release.clone()),
            commit: known.and_then(|b| b.commit.clone()).or_else(|| commit.cloned()),
            digest: known.and_then(|b| b.digest),
            deployment: deployment.clone(),
            by: by.clone(),
            reached,
        };
        self.previous.extend(self.base.replace(base));
    }

    fn condemn(&mut self, commit: &CommitId, reason: &str, by: &Author) {
        let condemned = Condemned { reason: reason.to_owned(), by: by.clone() };
        self.condemned.entry(commit.clone()).or_insert(condemned);
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;

    fn production(told: &Told) -> EnvironmentState {
        told.state().environments[&environment("production")].clone()
    }

    #[test]
    fn a_rollout_shows_its_weight_and_its_open_raise() {
        let mut told = Told::new();
        told.live(rollout("v1.4.0-rc.1", '4', "d3"));
        told.live(raise("st_1", '4', "cl_1"));
        let running = production(&told).rollout.unwrap();
        assert_eq!((running.weight, running.open_raise.is_some()), (Weight::ZERO, true));
        for (outcome, weight) in
            [(Outcome::Done, 100), (Outcome::Failed, 0), (Outcome::Unknown, 100)]
        {
            let mut told = told.clone();
            told.live(step_ended("st_1", outcome));
            let running = production(&told).rollout.unwrap();
            assert_eq!(running.weight.basis_points(), weight, "{outcome:?}");
            assert_eq!(running.open_raise, None);
        }
    }

    #[test]
    fn only_a_judged_breach_or_a_rollback_condemns() {
        for (end, condemns) in [
            (RolloutEnd::RolledBack, true),
            (RolloutEnd::Withdrawn, false),
            (RolloutEnd::Aborted, false),
            (RolloutEnd::GrantEnded, false),
            (RolloutEnd::Complete, false),
        ] {
            let mut told = Told::new();
            told.live(rollout("v1.4.0-rc.1", '4', "d3"));
            told.live(ended('4', end));
            let state = production(&told);
            assert_eq!(state.condemned.contains_key(&commit('4')), condemns, "{end:?}");
            assert_eq!(state.rollout.is_some(), end == RolloutEnd::Complete, "{end:?}");
        }
    }

    #[test]
    fn a_rollback_moves_the_base_only_when_traffic_moved() {
        for (verified, base) in [
            (TrafficProof::Verified, "d3"),
            (TrafficProof::Requested, "d3"),
            (TrafficProof::Failed, "d4"),
        ] {
            let mut told = Told::new();
            told.live(promoted("v1.3.0", '3', "d2"));
            told.live(promoted("v1.4.0", '4', "d3"));
            let by = told.live(rolled_back('4', "d3", verified));
            let state = production(&told);
            assert_eq!(state.base.unwrap().deployment, deployment(base), "{verified:?}");
            assert_eq!(state.condemned[&commit('4')].by.entry, by);
        }
    }
}
