//! What the ledger says about one release, judged again from its exhibits. Pure: the packer and
//! the verifier compute it from the same bytes and must agree.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, OrcaId};
use crate::evidence::bundle::{kind, said};
use crate::evidence::manifest::{EvidenceManifest, Held};
use crate::evidence::parallel;
use crate::gate::phase::Phase;
use crate::gate::rules::Rules;
use crate::gate::ruling::{self, CheckRecord, RulingRecord};
use crate::gate::verdict::{Cause, Verdict};
use crate::gate::waiver::Waiver;
use crate::ledger::entry::{Advanced, Body, Entry, RolloutEnd};

/// A ruling of the ledger and what judging it again gave.
#[derive(Debug, Clone)]
pub(crate) struct Rejudged {
    /// 1-based place in the ledger.
    pub(crate) entry: usize,
    pub(crate) at: Timestamp,
    pub(crate) phase: Phase,
    pub(crate) stored: RulingRecord,
    pub(crate) judged: RulingRecord,
    /// What it counted as when it was last cleared, where a waiver was written after it.
    pub(crate) waived: Option<RulingRecord>,
    /// Whether it is about the commit of the pack.
    pub(crate) ours: bool,
}

/// Something that a pack should hold and does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Missing {
    /// `artifact` or `exhibit`.
    pub(crate) what: String,
    /// The class of artifact, or the exhibit's digest.
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) required: bool,
}

/// What is known about the release.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) verdict: Verdict,
    /// One sentence.
    pub(crate) headline: String,
    pub(crate) rulings: Vec<Rejudged>,
    pub(crate) missing: Vec<Missing>,
    /// Ids of artifact classes that are present.
    pub(crate) present: BTreeSet<String>,
}

/// Where exhibits are found by their digest.
pub(crate) trait Exhibits: Sync {
    fn holds(&self, digest: &Digest) -> bool;

    /// Its bytes; nothing when it is not there or too large to judge.
    fn bytes(&self, digest: &Digest) -> Option<Cow<'_, [u8]>>;
}

impl Exhibits for BTreeMap<Digest, Vec<u8>> {
    fn holds(&self, digest: &Digest) -> bool {
        self.contains_key(digest)
    }

    fn bytes(&self, digest: &Digest) -> Option<Cow<'_, [u8]>> {
        self.get(digest).map(|bytes| Cow::Borrowed(bytes.as_slice()))
    }
}

/// What a summary is made of.
#[derive(Clone, Copy)]
pub(crate) struct Material<'a> {
    pub(crate) commit: &'a CommitId,
    pub(crate) entries: &'a [Entry],
    pub(crate) exhibits: &'a dyn Exhibits,
    /// Paths of the other files in the pack.
    pub(crate) paths: &'a [&'a str],
    pub(crate) manifest: &'a EvidenceManifest,
}

impl Summary {
    pub(crate) fn of(material: &Material<'_>, rules: &Rules) -> Self {
        let rulings = rejudge(material, rules);
        let mut missing = missing_artifacts(material, &rulings);
        let present = material
            .manifest
            .artifacts
            .iter()
            .filter(|a| !missing.iter().any(|m| m.id == a.id))
            .map(|a| a.id.clone())
            .collect();
        missing.extend(missing_exhibits(material, &rulings));
        let (verdict, headline) = conclude(material, &rulings, &missing);
        Self { verdict, headline, rulings, missing, present }
    }

    /// The newest ruling of each gate about this commit.
    pub(crate) fn gates(&self) -> Vec<&Rejudged> {
        newest(&self.rulings)
    }
}

impl Rejudged {
    /// The ruling as it counted.
    pub(crate) fn counted(&self) -> &RulingRecord {
        self.waived.as_ref().unwrap_or(&self.judged)
    }

    /// Whether the exhibits give the stored bytes again; Inconclusive when they cannot tell.
    pub(crate) fn reproduced(&self) -> Verdict {
        let causes = || self.judged.checks.iter().map(|c| c.judgement.cause);
        if self.stored == self.judged {
            Verdict::Pass
        } else if causes().any(|c| c == Some(Cause::NotReproduced)) {
            Verdict::Fail
        } else if causes().any(|c| matches!(c, Some(Cause::ExhibitMissing | Cause::UnknownRule))) {
            Verdict::Inconclusive
        } else {
            Verdict::Fail
        }
    }
}

fn newest(rulings: &[Rejudged]) -> Vec<&Rejudged> {
    let mut by_gate: BTreeMap<(&str, &str), &Rejudged> = BTreeMap::new();
    for ruling in rulings.iter().filter(|r| r.ours) {
        let environment = ruling.stored.subject.environment.as_str();
        by_gate.insert((environment, &ruling.stored.gate), ruling);
    }
    let mut gates: Vec<&Rejudged> = by_gate.into_values().collect();
    gates.sort_by_key(|r| r.entry);
    gates
}

/// Judges every ruling again, each with its own exhibits and the waivers that counted then.
fn rejudge(material: &Material<'_>, rules: &Rules) -> Vec<Rejudged> {
    let mut waivers: Vec<Waiver> = Vec::new();
    let (mut stored, mut clearances, mut advances) = (Vec::new(), Vec::new(), Vec::new());
    for (index, entry) in material.entries.iter().enumerate() {
        let (at, body) = said(entry);
        match body {
            Body::Waived { waiver } => waivers.push(waiver),
            Body::Ruled { phase, ruling } => {
                // A waiver that did not count then, for want of trust, must not count now.
                let named = |w: &&Waiver| ruling.checks.iter().any(|c| c.waivers.contains(&w.id));
                let used: Vec<Waiver> = waivers.iter().filter(named).cloned().collect();
                stored.push((index + 1, at, phase, ruling, used));
            }
            Body::Advanced(said) => {
                advances.push((stored.len(), entry_author(entry), said, false));
            }
            // It counted: whoever drove the canary went on from it.
            Body::StageDecided(decided) if decided.verdict == Verdict::Waived => {
                let is_it = |a: &&mut (usize, String, Advanced, bool)| {
                    a.2.rollout == decided.rollout && a.2.stage == decided.stage
                };
                advances.iter_mut().filter(is_it).for_each(|a| a.3 = true);
            }
            Body::Cleared { clearance, .. }
                if clearance.subject.subject.commit == *material.commit =>
            {
                clearances.push((at, stored.len(), waivers.len()));
            }
            _ => {}
        }
    }
    let mut rulings = parallel::map(&stored, |(entry, at, phase, ruling, used)| Rejudged {
        entry: *entry,
        at: *at,
        phase: *phase,
        judged: replay(ruling, material, rules, (used, *at)),
        waived: None,
        ours: ruling.subject.commit == *material.commit,
        stored: (**ruling).clone(),
    });
    for (before, by, said, _) in advances.iter().filter(|(_, _, _, counted)| *counted) {
        let gate = format!("stage-{}", said.stage);
        let is_it = |r: &Rejudged| r.ours && r.stored.gate == gate && r.phase == Phase::Canary;
        let Some(held) = rulings.iter().take(*before).rposition(is_it) else { continue };
        // What was let go on, and what left the same open until whoever drove the canary knew.
        let stood = rulings[held].stored.clone();
        let same = |r: &&mut Rejudged| is_it(r) && r.stored.leaves_open_what(&stood);
        for ruling in rulings.iter_mut().skip(held).filter(same) {
            let again = ruling.judged.clone().advanced(by, &said.reason);
            ruling.waived = (again.verdict == Verdict::Waived).then_some(again);
        }
    }
    // It was cleared: what stood against it then had been waived.
    for (at, before, known) in clearances {
        let known = waivers.get(..known).unwrap_or_default();
        let closed = |r: &&mut Rejudged| r.ours && !r.judged.verdict.opens();
        for ruling in rulings.iter_mut().take(before).filter(closed) {
            let again = replay(&ruling.stored, material, rules, (known, at));
            if again.verdict == Verdict::Waived {
                ruling.waived = Some(again);
            }
        }
    }
    rulings
}

/// Who wrote an entry.
fn entry_author(entry: &Entry) -> String {
    entry.actor.name.clone()
}

/// Judges one ruling again. Its exhibits are held only as long as that takes.
fn replay(
    ruling: &RulingRecord,
    material: &Material<'_>,
    rules: &Rules,
    (waivers, at): (&[Waiver], Timestamp),
) -> RulingRecord {
    let bytes = |c: &CheckRecord| material.exhibits.bytes(&c.exhibit).map(Cow::into_owned);
    let own = ruling.checks.iter().filter_map(|c| Some((c.exhibit, bytes(c)?))).collect();
    ruling::replay(ruling, &own, rules, (waivers, at)).record().clone()
}

fn missing_artifacts(material: &Material<'_>, rulings: &[Rejudged]) -> Vec<Missing> {
    let related: Vec<String> = related_entries(material.entries, material.commit)
        .iter()
        .map(|(_, _, body)| kind(body))
        .collect();
    let ours = || rulings.iter().filter(|r| r.ours);
    let is_held = |artifact: &super::manifest::Artifact| {
        material.paths.iter().any(|p| artifact.takes(Held::File(p)))
            || related.iter().any(|k| artifact.takes(Held::Entry(k)))
            || ours().any(|r| {
                let (phase, gate) = (r.phase.as_str(), r.stored.gate.as_str());
                artifact.takes(Held::Ruling { phase, gate })
                    || r.stored.checks.iter().any(|c| artifact.takes(Held::Check(c.check.as_str())))
            })
    };
    material
        .manifest
        .artifacts
        .iter()
        .filter(|artifact| !is_held(artifact))
        .map(|artifact| Missing {
            what: "artifact".to_owned(),
            id: artifact.id.clone(),
            title: artifact.title.clone(),
            required: artifact.required,
        })
        .collect()
}

fn missing_exhibits(material: &Material<'_>, rulings: &[Rejudged]) -> Vec<Missing> {
    let mut seen = BTreeSet::new();
    let ours = rulings.iter().filter(|r| r.ours);
    ours.flat_map(|r| r.stored.checks.iter().map(move |c| (&r.stored.gate, c)))
        .filter(|(_, c)| !material.exhibits.holds(&c.exhibit) && seen.insert(c.exhibit))
        .map(|(gate, check)| Missing {
            what: "exhibit".to_owned(),
            id: check.exhibit.to_string(),
            title: format!("what {} of gate {gate} saw", check.check),
            required: check.required,
        })
        .collect()
}

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

/// A rollback or a judged breach outranks everything; then the worst of the newest rulings; then
/// what is missing.
fn conclude(
    material: &Material<'_>,
    rulings: &[Rejudged],
    missing: &[Missing],
) -> (Verdict, String) {
    let related = related_entries(material.entries, material.commit);
    let back = related.iter().rev().find_map(|(_, _, body)| match body {
        Body::RolledBack(back) => Some(&back.reason),
        Body::RolloutEnded { end: RolloutEnd::RolledBack, reason, .. } => Some(reason),
        _ => None,
    });
    if let Some(reason) = back {
        return (Verdict::Fail, format!("rolled back, because {reason}"));
    }
    let gates = newest(rulings);
    let worst = gates.iter().rev().max_by_key(|r| r.counted().verdict);
    let Some(worst) = worst else {
        return (Verdict::Inconclusive, "no gate has judged this commit".to_owned());
    };
    let counted = worst.counted();
    if counted.verdict > Verdict::Waived {
        return (counted.verdict, format!("gate {}: {}", counted.gate, counted.headline));
    }
    if let Some(lost) = missing.iter().find(|m| m.required) {
        return (Verdict::Inconclusive, format!("missing: {} ({})", lost.id, lost.title));
    }
    let count = |v: Verdict| gates.iter().filter(|r| r.counted().verdict == v).count();
    match (count(Verdict::Pass), count(Verdict::Waived)) {
        (0, 0) => (Verdict::Inconclusive, "no gate passed".to_owned()),
        (passed, 0) => (Verdict::Pass, format!("{passed} of {} gates passed", gates.len())),
        (passed, waived) => {
            (Verdict::Waived, format!("{passed} of {} gates passed, {waived} waived", gates.len()))
        }
    }
}
