//! What the ledger says about one release, judged again from its exhibits. Pure: the packer and
//! the verifier compute it from the same bytes and must agree.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, OrcaId};
use crate::evidence::bundle::{kind, original};
use crate::evidence::manifest::{EvidenceManifest, Held};
use crate::evidence::parallel;
use crate::evidence::related::related_entries;
use crate::evidence::signers::Standing;
use crate::gate::phase::Phase;
use crate::gate::rules::Rules;
use crate::gate::ruling::{self, CheckRecord, RulingRecord};
use crate::gate::verdict::{Cause, Verdict};
use crate::gate::waiver::{Role, Waiver};
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
    /// What it counted as for want of a trusted signature, where trust is required.
    pub(crate) distrusted: Option<RulingRecord>,
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
    /// Whose word counts, by the trust list of the pack.
    pub(crate) standing: &'a Standing,
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
        self.distrusted.as_ref().or(self.waived.as_ref()).unwrap_or(&self.judged)
    }

    /// When its newest check looked.
    fn observed_at(&self) -> Option<Timestamp> {
        self.stored.checks.iter().map(|check| check.observed_at).max()
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

/// What saw the world last counts, as in the ledger's own fold: a ruling that lost a race stands
/// later in the ledger, and is older.
fn newest(rulings: &[Rejudged]) -> Vec<&Rejudged> {
    let mut by_gate: BTreeMap<(&str, &str), &Rejudged> = BTreeMap::new();
    for ruling in rulings.iter().filter(|r| r.ours) {
        let environment = ruling.stored.subject.environment.as_str();
        let kept = by_gate.entry((environment, &ruling.stored.gate)).or_insert(ruling);
        if kept.observed_at() <= ruling.observed_at() {
            *kept = ruling;
        }
    }
    let mut gates: Vec<&Rejudged> = by_gate.into_values().collect();
    gates.sort_by_key(|r| r.entry);
    gates
}

/// Judges every ruling again, each with its own exhibits and the waivers that counted then.
fn rejudge(material: &Material<'_>, rules: &Rules) -> Vec<Rejudged> {
    let (mut waivers, mut known): (Vec<Waiver>, Vec<Waiver>) = (Vec::new(), Vec::new());
    let mut told: BTreeSet<OrcaId> = BTreeSet::new();
    let counts = |place: usize, roles: &[Role]| material.standing.distrust(place, roles).is_none();
    let (mut stored, mut clearances, mut advances) = (Vec::new(), Vec::new(), Vec::new());
    for (index, entry) in material.entries.iter().enumerate() {
        let (place, entry) = (index + 1, original(entry));
        // As in the ledger's own fold: the same entry told again says nothing more.
        if !told.insert(entry.id.clone()) {
            continue;
        }
        let (at, by) = (entry.at, entry.actor.name.clone());
        match entry.into_owned().body {
            Body::Waived { waiver } => {
                known.extend(counts(place, &[waiver.role]).then(|| waiver.clone()));
                waivers.push(waiver);
            }
            Body::Ruled { phase, ruling } => {
                // A waiver that did not count then, for want of trust, must not count now.
                let named = |w: &&Waiver| ruling.checks.iter().any(|c| c.waivers.contains(&w.id));
                let used: Vec<Waiver> = waivers.iter().filter(named).cloned().collect();
                stored.push((place, at, phase, ruling, used));
            }
            Body::Advanced(said) if counts(place, &PEOPLE) => {
                advances.push((stored.len(), by, said, false));
            }
            // It counted: whoever drove the canary went on from it.
            Body::StageDecided(decided)
                if decided.verdict == Verdict::Waived && counts(place, &Role::ALL) =>
            {
                let is_it = |a: &&mut (usize, String, Advanced, bool)| {
                    a.2.rollout == decided.rollout && a.2.stage == decided.stage
                };
                advances.iter_mut().filter(is_it).for_each(|a| a.3 = true);
            }
            Body::Cleared { clearance, .. }
                if clearance.subject.subject.commit == *material.commit
                    && counts(place, &Role::ALL) =>
            {
                clearances.push((at, stored.len(), known.len()));
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
        distrusted: distrusted(material, *entry, ruling),
        ours: ruling.subject.commit == *material.commit,
        stored: (**ruling).clone(),
    });
    let counted = advances.into_iter().filter(|(_, _, _, counted)| *counted);
    counted.for_each(|(before, by, said, _)| let_go_on(&mut rulings, before, (&by, &said)));
    // It was cleared: what stood against it then had been waived.
    for (at, before, count) in clearances {
        let known = known.get(..count).unwrap_or_default();
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

/// What somebody let go on counts as waived, and what left the same open until whoever drove the
/// canary knew.
fn let_go_on(rulings: &mut [Rejudged], before: usize, (by, said): (&str, &Advanced)) {
    let gate = format!("stage-{}", said.stage);
    let is_it = |r: &Rejudged| r.ours && r.stored.gate == gate && r.phase == Phase::Canary;
    let Some(held) = rulings.iter().take(before).rposition(is_it) else { return };
    let stood = rulings[held].stored.clone();
    let same = |r: &&mut Rejudged| is_it(r) && r.stored.leaves_open_what(&stood);
    for ruling in rulings.iter_mut().skip(held).filter(same) {
        let again = ruling.judged.clone().advanced(by, &said.reason);
        ruling.waived = (again.verdict == Verdict::Waived).then_some(again);
    }
}

/// Roles of people.
const PEOPLE: [Role; 3] = [Role::Engineering, Role::Product, Role::Ops];

/// The gate that is judged where it is used, so that a person's key may sign it.
const READY: &str = "ready";

/// A ruling whose signature does not count, as whoever recalls it for a raise sees it.
fn distrusted(
    material: &Material<'_>,
    place: usize,
    ruling: &RulingRecord,
) -> Option<RulingRecord> {
    let roles: &[Role] = if ruling.gate == READY { &Role::ALL } else { &[Role::Ci] };
    let why = material.standing.distrust(place, roles)?;
    let text = format!("its ruling does not count: {why}");
    let (verdict, cause) = (Verdict::Inconclusive, Some(why.cause()));
    Some(RulingRecord { verdict, cause, headline: text, ..ruling.clone() })
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

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::base::dsse::SigningKey;
    use crate::evidence::bundle::Bundle;
    use crate::evidence::fixture::{Story, good, key, rules, trusted};
    use crate::evidence::pack::build;
    use crate::evidence::signers::{PATH, TrustList};
    use crate::evidence::verify::{Submission, verify};
    use crate::ledger::sign::{Trust, sign};

    /// What the pack says; it must verify, whatever that is.
    fn packed(bundle: &Bundle) -> (Verdict, String) {
        let pack = build(bundle, &key(), &rules()).unwrap();
        let public = key().public();
        let submission =
            Submission { zip: &pack.zip, signature: Some(&pack.signature), key: Some(&public) };
        let answer = verify(&submission, &rules());
        assert_eq!(answer.verdict, Verdict::Pass, "{}", answer.headline);
        (pack.verdict, pack.headline)
    }

    /// One job passed, and lost the race to a later one that failed: its ruling comes after in the
    /// ledger, and saw the world before. The gate says fail, and so does the pack.
    #[test]
    fn what_saw_the_world_last_counts_and_not_what_was_written_last() {
        let mut story = Story::begin("a fix");
        story.rule(Phase::Load, "load", 100);
        let early = story.bundle.ledger.pop().unwrap();
        story.rule(Phase::Load, "load", 600_000);
        let entry_base64 = STANDARD.encode(&early.entry);
        story.add(Body::Reconciled { entry_base64, dsse_base64: None });
        let (verdict, headline) = packed(&story.bundle);
        assert_eq!(verdict, Verdict::Fail, "{headline}");
        // The later one told once more changes nothing, and is judged once.
        let late = STANDARD.encode(&story.bundle.ledger[1].entry);
        let before = story.bundle.ledger.len();
        story.add(Body::Reconciled { entry_base64: late, dsse_base64: None });
        assert_eq!(story.bundle.ledger.len(), before + 1);
        let pack = build(&story.bundle, &key(), &rules()).unwrap();
        assert_eq!((pack.verdict, pack.headline), (verdict, headline));
    }

    /// With `trust.required` a pack counts what a raise counts.
    #[test]
    fn a_ruling_that_opens_no_gate_passes_no_pack() {
        let foreign = SigningKey::from_seed(&[9; 32]);
        for (required, by, wanted, said) in [
            (true, Some(&key()), Verdict::Pass, "6 of 6 gates passed"),
            (true, Some(&foreign), Verdict::Inconclusive, "no trusted key signed it"),
            (true, None, Verdict::Inconclusive, "it is unsigned"),
            (false, Some(&foreign), Verdict::Pass, "6 of 6 gates passed"),
        ] {
            let mut bundle = good();
            let trust = Trust { required, keys: vec![trusted()] };
            bundle.files.insert(PATH.into(), TrustList::new(None, &trust).bytes());
            for (index, entry) in bundle.ledger.iter_mut().enumerate() {
                let by = if index == 2 { by } else { Some(&key()) };
                entry.dsse = by.map(|by| sign(&entry.entry, by).bytes());
            }
            let (verdict, headline) = packed(&bundle);
            assert_eq!(verdict, wanted, "{headline}");
            assert!(headline.contains(said), "{headline}");
        }
    }
}
