//! Which entries are about one release: its tags, its gates, its rollouts, how it ended. Pure.

use std::collections::BTreeSet;

use super::chain::Record;
use super::entry::{Body, Entry};
use super::fold::is_same_line;
use crate::base::ids::{CommitId, DeploymentId, OrcaId, ReleaseName};

/// What belongs to a release, found while reading on.
#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<ReleaseName>,
    commits: BTreeSet<CommitId>,
    rollouts: BTreeSet<OrcaId>,
    deployments: BTreeSet<DeploymentId>,
    steps: BTreeSet<OrcaId>,
}

/// The entries about `release`, oldest first. A candidate's story goes on under its final name,
/// and a final release's begins with its candidate.
pub(crate) fn about<'a>(records: &'a [Record], release: &ReleaseName) -> Vec<&'a Record> {
    let mut known = Known::default();
    known.names.insert(release.clone());
    for entry in records.iter().filter_map(Record::entry) {
        known.names_of(entry, release);
    }
    records.iter().filter(|r| r.entry().is_some_and(|entry| known.takes(entry))).collect()
}

impl Known {
    /// Tags and promotions say which names and commits are one release.
    fn names_of(&mut self, entry: &Entry, release: &ReleaseName) {
        match &entry.body {
            Body::RcTagged(rc) if self.names.contains(&rc.release) => {
                self.commits.insert(rc.commit.clone());
            }
            Body::FinalTagged { release: name, rc, commit }
                if self.names.contains(name) || self.names.contains(rc) =>
            {
                self.names.extend([name.clone(), rc.clone()]);
                self.commits.insert(commit.clone());
            }
            Body::Promoted(promoted) => {
                let same = self.commits.contains(&promoted.commit)
                    && is_same_line(&promoted.release, release);
                if same || self.names.contains(&promoted.release) {
                    self.names.insert(promoted.release.clone());
                    self.commits.insert(promoted.commit.clone());
                }
            }
            _ => {}
        }
    }

    fn takes(&mut self, entry: &Entry) -> bool {
        match &entry.body {
            Body::RcTagged(rc) => self.is_named(&rc.release, &rc.commit),
            Body::FinalTagged { release, commit, .. } | Body::Stable { release, commit } => {
                self.is_named(release, commit)
            }
            Body::Promoted(promoted) => self.is_named(&promoted.release, &promoted.commit),
            Body::Frozen { release, .. }
            | Body::Unfrozen { release, .. }
            | Body::PackWritten { release, .. } => self.names.contains(release),
            Body::Cleared { clearance, .. } => {
                self.commits.contains(&clearance.subject.subject.commit)
            }
            Body::Ruled { ruling, .. } => self.commits.contains(&ruling.subject.commit),
            Body::RolloutStarted(started) => {
                let ours = self.is_named(&started.release, &started.commit);
                if ours {
                    self.rollouts.insert(started.rollout.clone());
                    self.deployments.insert(started.canary.clone());
                }
                ours
            }
            Body::Paused(said) => self.rollouts.contains(&said.rollout),
            Body::Advanced(said) => self.rollouts.contains(&said.rollout),
            Body::StageBegan(began) => self.rollouts.contains(&began.rollout),
            Body::StageDecided(decided) => self.rollouts.contains(&decided.rollout),
            Body::Unpaused { rollout, .. } | Body::RolloutEnded { rollout, .. } => {
                self.rollouts.contains(rollout)
            }
            Body::RaiseIntended { step, rollout, .. } => {
                let ours = self.rollouts.contains(rollout);
                self.step(step, ours)
            }
            Body::LowerIntended { step, rollout, .. } => {
                let ours = rollout.as_ref().is_some_and(|r| self.rollouts.contains(r));
                self.step(step, ours)
            }
            Body::PromoteIntended { step, release, .. } => {
                let ours = self.names.contains(release);
                self.step(step, ours)
            }
            Body::StepIntended { step, detail, .. } => {
                let name = detail.get("release").and_then(|r| ReleaseName::new(r.clone()).ok());
                let ours = name.is_some_and(|name| self.names.contains(&name));
                self.step(step, ours)
            }
            Body::StepEnded { step, .. } => self.steps.contains(step),
            Body::RolledBack(back) => {
                let commit = back.commit.as_ref().is_some_and(|c| self.commits.contains(c));
                let name = back.release.as_ref().is_some_and(|r| self.names.contains(r));
                let from = back.from.as_ref().is_some_and(|d| self.deployments.contains(d));
                commit || name || from
            }
            // A waiver names a check and a finding; the ruling that used it names the waiver.
            Body::Waived { .. } | Body::Reconciled { .. } => false,
        }
    }

    fn is_named(&self, release: &ReleaseName, commit: &CommitId) -> bool {
        self.names.contains(release) || self.commits.contains(commit)
    }

    fn step(&mut self, step: &OrcaId, ours: bool) -> bool {
        if ours {
            self.steps.insert(step.clone());
        }
        ours
    }
}

#[cfg(test)]
mod tests {
    use super::super::chain::{Link, verify};
    use super::super::entry::{Outcome, TrafficProof};
    use super::super::fixture::*;
    use super::*;

    #[test]
    fn a_release_is_followed_from_candidate_to_rollback_and_no_other_is() {
        let mut told = Told::new();
        let mut ours = vec![told.live(rc("v1.4.0-rc.1", '4', "1.4.0"))];
        told.tell(None, rc("v1.5.0-rc.1", '5', "1.5.0"));
        ours.push(told.live(ruled("load", '4', crate::gate::verdict::Verdict::Pass)));
        told.tell(None, ruled("load", '5', crate::gate::verdict::Verdict::Pass));
        ours.push(told.live(rollout("v1.4.0-rc.1", '4', "d3")));
        ours.push(told.live(cleared("cl_1", '4', 100)));
        ours.push(told.live(raise("st_1", '4', "cl_1")));
        ours.push(told.live(step_ended("st_1", Outcome::Done)));
        told.live(step_ended("st_9", Outcome::Done));
        ours.push(told.live(promoted("v1.4.0", '4', "d3")));
        ours.push(told.live(rolled_back('4', "d3", TrafficProof::Verified)));
        let bytes = told.bytes();
        let mut link = Link::default();
        let records = verify(&mut link, bytes.iter().map(Vec::as_slice)).unwrap();
        for name in ["v1.4.0-rc.1", "v1.4.0"] {
            let found: Vec<_> =
                about(&records, &release(name)).iter().map(|r| r.id().clone()).collect();
            assert_eq!(found, ours, "{name}");
        }
        assert!(about(&records, &release("v9.9.9")).is_empty());
    }
}
