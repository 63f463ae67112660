//! Which entries of a ledger are about one commit. Pure.

use std::collections::BTreeSet;

use crate::base::clock::Timestamp;
use crate::base::ids::{CommitId, OrcaId};
use crate::evidence::bundle::said;
use crate::gate::ruling::CheckRecord;
use crate::ledger::entry::{Body, Entry};

/// The entries about `commit`: what names it, its rollouts, its steps, and the waivers used.
pub(crate) fn related_entries(
    entries: &[Entry],
    commit: &CommitId,
) -> Vec<(usize, Timestamp, Body)> {
    let all = || entries.iter().enumerate().map(|(i, e)| (i + 1, said(e)));
    let (mut rollouts, mut names, mut ids) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut findings: BTreeSet<(String, String)> = BTreeSet::new();
    for (_, (_, body)) in all() {
        match body {
            Body::RcTagged(tagged) if tagged.commit == *commit => {
                names.insert(tagged.release);
            }
            Body::FinalTagged { release, commit: of, .. } if of == *commit => {
                names.insert(release);
            }
            Body::RolloutStarted(started) if started.commit == *commit => {
                rollouts.insert(started.rollout);
            }
            Body::Ruled { ruling, .. } if ruling.subject.commit == *commit => {
                ids.extend(ruling.checks.iter().flat_map(|c| c.waivers.iter().cloned()));
                let of_check = |c: &CheckRecord| {
                    let name = c.check.to_string();
                    let all = c.judgement.findings.iter();
                    all.map(|f| (name.clone(), f.fingerprint.clone())).collect::<Vec<_>>()
                };
                findings.extend(ruling.checks.iter().flat_map(of_check));
            }
            _ => {}
        }
    }
    let of_rollout = |id: &OrcaId| rollouts.contains(id);
    let mut related = Vec::new();
    for (number, (at, body)) in all() {
        let is_related = match &body {
            Body::RcTagged(t) => t.commit == *commit,
            Body::Frozen { release, .. }
            | Body::Unfrozen { release, .. }
            | Body::PackWritten { release, .. } => names.contains(release),
            Body::PromoteIntended { release, step, .. } => {
                names.contains(release) && ids.insert(step.clone())
            }
            Body::Waived { waiver } => {
                let named = (waiver.check.to_string(), waiver.finding.clone());
                ids.contains(&waiver.id) || findings.contains(&named)
            }
            Body::Cleared { clearance, .. } => clearance.subject.subject.commit == *commit,
            Body::RolloutStarted(s) => s.commit == *commit,
            Body::RaiseIntended { rollout, step, .. } => {
                of_rollout(rollout) && ids.insert(step.clone())
            }
            Body::LowerIntended { rollout, step, condemns, .. } => {
                let mine = rollout.as_ref().is_some_and(of_rollout);
                (mine || condemns.as_ref() == Some(commit)) && ids.insert(step.clone())
            }
            Body::StepEnded { step, .. } => ids.contains(step),
            Body::Ruled { ruling, .. } => ruling.subject.commit == *commit,
            Body::Paused(said) => of_rollout(&said.rollout),
            Body::Advanced(said) => of_rollout(&said.rollout),
            Body::StageBegan(began) => of_rollout(&began.rollout),
            Body::StageDecided(decided) => of_rollout(&decided.rollout),
            Body::Unpaused { rollout, .. } | Body::RolloutEnded { rollout, .. } => {
                of_rollout(rollout)
            }
            Body::RolledBack(back) => back.commit.as_ref() == Some(commit),
            Body::Promoted(promoted) => promoted.commit == *commit,
            Body::FinalTagged { commit: of, .. } | Body::Stable { commit: of, .. } => of == commit,
            Body::StepIntended { .. } | Body::Reconciled { .. } => false,
        };
        if is_related {
            related.push((number, at, body));
        }
    }
    related
}
