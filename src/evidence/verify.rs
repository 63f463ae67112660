//! Verifying a pack that may be hostile, offline. Every step says pass, fail or inconclusive, and
//! the worst of them is the answer. A key that comes inside the pack proves nothing.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::digest::Digest;
use crate::base::dsse::{self, Envelope, PublicKey};
use crate::base::ids::CommitId;
use crate::evidence::bundle::read_ledger;
use crate::evidence::manifest::EvidenceManifest;
use crate::evidence::pack::{self, PackManifest};
use crate::evidence::statement::{self, Subjects};
use crate::evidence::summary::{Material, Rejudged, Summary};
use crate::evidence::zip::{self, Files};
use crate::gate::rules::Rules;
use crate::gate::verdict::{Cause, Verdict};
use crate::ledger::entry::Entry;

pub(crate) const SCHEMA: &str = "orca.evidence-verify/v1";

/// What the auditor brings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Submission<'a> {
    pub(crate) zip: &'a [u8],
    /// `PACK.sig`.
    pub(crate) signature: Option<&'a [u8]>,
    pub(crate) key: Option<&'a PublicKey>,
}

/// The answer, step by step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Verification {
    /// Whether the pack is what was signed and says what its raw data says.
    pub(crate) verdict: Verdict,
    /// One sentence.
    pub(crate) headline: String,
    pub(crate) tag: Option<String>,
    pub(crate) commit: Option<String>,
    /// What the pack says of the release; it counts only when `verdict` is pass.
    pub(crate) release_verdict: Option<Verdict>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

type Finding = Result<String, (Verdict, String)>;

fn wrong(detail: impl Into<String>) -> (Verdict, String) {
    (Verdict::Fail, detail.into())
}

fn unknown(detail: impl Into<String>) -> (Verdict, String) {
    (Verdict::Inconclusive, detail.into())
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn note(&mut self, step: &str, finding: Finding) {
        let (verdict, detail) = match finding {
            Ok(detail) => (Verdict::Pass, detail),
            Err(other) => other,
        };
        self.0.push(Step { name: step.to_owned(), verdict, detail });
    }
}

/// Verifies a pack against the auditor's key, and judges every verdict in it again.
pub(crate) fn verify(submission: &Submission<'_>, rules: &Rules) -> Verification {
    let mut steps = Steps::default();
    steps.note("pack signature", pack_signature(submission));
    let manifest = match zip::read(submission.zip) {
        Ok(files) => {
            steps.note("zip layout", Ok(format!("{} files", files.len())));
            inspect(&files, submission.key, rules, &mut steps)
        }
        Err(error) => {
            steps.note("zip layout", Err(wrong(error.to_string())));
            None
        }
    };
    conclude(steps, manifest.as_ref())
}

fn conclude(Steps(steps): Steps, manifest: Option<&PackManifest>) -> Verification {
    let verdict = Verdict::worst(steps.iter().map(|s| s.verdict)).unwrap_or(Verdict::Inconclusive);
    let worst = steps.iter().find(|s| s.verdict == verdict);
    let headline = match (verdict, worst, manifest) {
        (Verdict::Pass, _, Some(m)) => format!(
            "the pack of {} is genuine and complete; it says {}: {}",
            m.tag,
            m.verdict.label(),
            m.headline
        ),
        (_, Some(step), _) => format!("{}: {}", step.name, step.detail),
        (_, None, _) => "nothing was verified".to_owned(),
    };
    Verification {
        verdict,
        headline,
        tag: manifest.map(|m| m.tag.clone()),
        commit: manifest.map(|m| m.commit.clone()),
        release_verdict: manifest.map(|m| m.verdict),
        steps,
    }
}

fn pack_signature(submission: &Submission<'_>) -> Finding {
    let signature = submission
        .signature
        .ok_or_else(|| unknown("no signature file stands beside the pack (PACK.sig)"))?;
    let key = submission
        .key
        .ok_or_else(|| unknown("no key was given; the key inside the pack proves nothing"))?;
    key.verify(submission.zip, signature).map_err(|e| wrong(e.to_string()))?;
    Ok(format!("by key {}", key.key_id().get(..12).unwrap_or_default()))
}

fn inspect(
    files: &Files,
    key: Option<&PublicKey>,
    rules: &Rules,
    steps: &mut Steps,
) -> Option<PackManifest> {
    steps.note("sha256sums", sha256sums(files));
    let manifest = read_manifest(files);
    let complete = manifest.as_ref().map_err(Clone::clone).and_then(|m| digests(files, m));
    steps.note("manifest digests", complete);
    let manifest = manifest.ok();
    let commit = manifest.as_ref().and_then(pack::commit_of);
    let payload = statement_signature(files, key);
    steps.note("statement signature", payload.clone().map(|(_, detail)| detail));
    let Some(commit) = commit else {
        steps.note("statement subjects", Err(wrong("the manifest names no commit")));
        return manifest;
    };
    let payload = payload.map(|(bytes, _)| bytes).or_else(|_| claimed(files));
    let subjects = Subjects {
        manifest: file(files, pack::MANIFEST).unwrap_or_default(),
        sums: file(files, pack::SUMS).unwrap_or_default(),
        commit: &commit,
    };
    let fits = payload.clone().and_then(|bytes| {
        statement::check_subjects(&bytes, &subjects).map_err(wrong)?;
        Ok("the manifest, the sums and the commit".to_owned())
    });
    steps.note("statement subjects", fits);
    let raw: Vec<&[u8]> =
        (1..).map_while(|n| files.get(&pack::entry_path(n))).map(Vec::as_slice).collect();
    match read_ledger(raw.iter().copied()) {
        Err(error) => steps.note("ledger chain", Err(wrong(error.to_string()))),
        Ok(entries) => {
            let past =
                entries[0].prev_sha256.map_or("the first entry of the ledger", |_| "a later entry");
            steps.note("ledger chain", Ok(format!("{} entries from {past}", entries.len())));
            steps.note("entry signatures", entry_signatures(files, &raw, key));
            if let Some(manifest) = &manifest {
                rejudge(files, (&commit, manifest), &entries, rules, (payload.ok(), steps));
            }
        }
    }
    manifest
}

fn file<'a>(files: &'a Files, path: &str) -> Result<&'a [u8], (Verdict, String)> {
    files.get(path).map(Vec::as_slice).ok_or_else(|| wrong(format!("{path} is missing")))
}

fn read_manifest(files: &Files) -> Result<PackManifest, (Verdict, String)> {
    let manifest: PackManifest = serde_json::from_slice(file(files, pack::MANIFEST)?)
        .map_err(|e| wrong(format!("{}: {e}", pack::MANIFEST)))?;
    if manifest.schema == pack::SCHEMA {
        Ok(manifest)
    } else {
        Err(wrong(format!("unknown schema '{}'", manifest.schema)))
    }
}

/// The sums list every file but those that nobody lists, and fit byte for byte.
fn sha256sums(files: &Files) -> Finding {
    let mut listed = files.clone();
    listed.retain(|path, _| !pack::UNLISTED.contains(&path.as_str()));
    if file(files, pack::SUMS)? == pack::sums(&listed) {
        Ok(format!("{} files", listed.len()))
    } else {
        Err(wrong("the sums are not those of the files"))
    }
}

fn digests(files: &Files, manifest: &PackManifest) -> Finding {
    let mut expected: BTreeSet<&str> = pack::UNLISTED.into();
    expected.insert(pack::MANIFEST);
    for listed in &manifest.files {
        let bytes = file(files, &listed.path)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if Digest::of(bytes).hex() != listed.sha256 || size != listed.size {
            return Err(wrong(format!("{} is not the listed one", listed.path)));
        }
        if !expected.insert(&listed.path) {
            return Err(wrong(format!("{} is listed twice", listed.path)));
        }
    }
    match files.keys().find(|path| !expected.contains(path.as_str())) {
        Some(extra) => Err(wrong(format!("{extra} is in no list"))),
        None => Ok(format!("{} files, none missing, none extra", manifest.files.len())),
    }
}

fn envelope(files: &Files) -> Result<Envelope, (Verdict, String)> {
    Envelope::parse(file(files, pack::STATEMENT)?).map_err(|e| wrong(e.to_string()))
}

fn claimed(files: &Files) -> Result<Vec<u8>, (Verdict, String)> {
    envelope(files)?.claimed_payload().map_err(|e| wrong(e.to_string()))
}

/// The statement's payload and who signed it. Without the auditor's key the one inside the pack
/// is used to find damage; it cannot prove origin.
fn statement_signature(
    files: &Files,
    key: Option<&PublicKey>,
) -> Result<(Vec<u8>, String), (Verdict, String)> {
    let pem = String::from_utf8_lossy(file(files, pack::PUBLIC_KEY)?);
    let inside = PublicKey::from_spki_pem(&pem).map_err(|e| wrong(e.to_string()))?;
    let used = key.unwrap_or(&inside);
    let envelope = envelope(files)?;
    let payload =
        envelope.verify(statement::PAYLOAD_TYPE, used).map_err(|e| wrong(e.to_string()))?;
    let encoded = dsse::pae(statement::PAYLOAD_TYPE, &payload);
    if file(files, pack::PAE)? != encoded {
        return Err(wrong("statement.pae is not the encoding of the statement"));
    }
    used.verify(&encoded, file(files, pack::SIGNATURE)?)
        .map_err(|e| wrong(format!("statement.sig: {e}")))?;
    if inside != *used {
        return Err(wrong("public_key.pem is not the key that signed"));
    }
    if key.is_none() {
        return Err(unknown("it fits the key inside the pack, which proves nothing"));
    }
    Ok((payload, "in the envelope and as raw bytes".to_owned()))
}

/// Each signed entry is the one that was signed; by the auditor's key where it is that key's.
fn entry_signatures(files: &Files, raw: &[&[u8]], key: Option<&PublicKey>) -> Finding {
    let (mut signed, mut ours) = (0_usize, 0_usize);
    for (index, entry) in raw.iter().enumerate() {
        let Some(bytes) = files.get(&pack::entry_dsse_path(index + 1)) else { continue };
        let place = |e: dsse::DsseError| wrong(format!("entry {}: {e}", index + 1));
        let envelope = Envelope::parse(bytes).map_err(place)?;
        if envelope.claimed_payload().map_err(place)? != *entry {
            return Err(wrong(format!("entry {}: another entry was signed", index + 1)));
        }
        signed += 1;
        let id = key.map(PublicKey::key_id);
        if let (Some(key), true) =
            (key, envelope.signatures.iter().any(|s| Some(&s.keyid) == id.as_ref()))
        {
            envelope.verify(&envelope.payload_type, key).map_err(place)?;
            ours += 1;
        }
    }
    Ok(format!("{signed} of {} entries signed, {ours} by this key", raw.len()))
}

fn exhibits(files: &Files) -> BTreeMap<Digest, Vec<u8>> {
    files
        .iter()
        .filter_map(|(path, bytes)| {
            let hex = path.strip_prefix("exhibits/")?.strip_suffix(".json")?;
            Some((Digest::parse(hex)?, bytes.clone()))
        })
        .collect()
}

/// Judges again, and holds the manifest and the statement to what came of it.
fn rejudge(
    files: &Files,
    (commit, manifest): (&CommitId, &PackManifest),
    entries: &[Entry],
    rules: &Rules,
    (payload, steps): (Option<Vec<u8>>, &mut Steps),
) {
    let classes = file(files, pack::CLASSES).and_then(|bytes| {
        let text = String::from_utf8_lossy(bytes);
        EvidenceManifest::parse(&text, std::path::Path::new(pack::CLASSES))
            .map_err(|e| wrong(e.to_string()))
    });
    let classes = match classes {
        Ok(classes) => classes,
        Err(finding) => return steps.note("re-judged", Err(finding)),
    };
    let exhibits = exhibits(files);
    let paths: Vec<&str> = files.keys().map(String::as_str).filter(|path| extra(path)).collect();
    let material =
        Material { commit, entries, exhibits: &exhibits, paths: &paths, manifest: &classes };
    let summary = Summary::of(&material, rules);
    for ruling in &summary.rulings {
        note_ruling(ruling, steps);
    }
    let agrees = (manifest.verdict, &manifest.headline, &manifest.missing)
        == (summary.verdict, &summary.headline, &summary.missing);
    let subjects = Subjects {
        manifest: file(files, pack::MANIFEST).unwrap_or_default(),
        sums: file(files, pack::SUMS).unwrap_or_default(),
        commit,
    };
    let stated = payload.is_some_and(|bytes| bytes == statement::write(&subjects, &summary));
    let unknown_rule = summary.rulings.iter().flat_map(|r| &r.judged.checks);
    let unknown_rule =
        unknown_rule.into_iter().any(|c| c.judgement.cause == Some(Cause::UnknownRule));
    steps.note(
        "verdict of the release",
        match (agrees && stated, unknown_rule) {
            (true, _) => Ok(format!("{}: {}", summary.verdict.label(), summary.headline)),
            (false, true) => Err(unknown("this orca does not know a rule that was used")),
            (false, false) => Err(wrong(format!(
                "the pack says {}, its raw data says {}: {}",
                manifest.verdict.label(),
                summary.verdict.label(),
                summary.headline
            ))),
        },
    );
}

/// Files that the bundle brought, beside those that every pack has.
fn extra(path: &str) -> bool {
    !pack::UNLISTED.contains(&path)
        && ![pack::MANIFEST, pack::REPORT, pack::CLASSES].contains(&path)
        && !path.starts_with("ledger/")
        && !path.starts_with("exhibits/")
}

/// Rulings about other commits count only when their raw data is here.
fn note_ruling(ruling: &Rejudged, steps: &mut Steps) {
    let verdict = ruling.reproduced();
    if !ruling.ours && verdict != Verdict::Fail {
        return;
    }
    let name = format!("re-judge gate {} (entry {})", ruling.stored.gate, ruling.entry);
    let stored = ruling.stored.verdict.label();
    let finding = match verdict {
        Verdict::Pass => Ok(format!("{stored}, judged again to the same bytes")),
        Verdict::Inconclusive => {
            Err(unknown(format!("recorded {stored}; {}", ruling.judged.headline)))
        }
        _ => {
            Err(wrong(format!("recorded {stored}, judged again {}", ruling.judged.verdict.label())))
        }
    };
    steps.note(&name, finding);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::fixture::{Story, bad, good, key, rules, small};
    use crate::evidence::pack::{Pack, build};
    use crate::gate::phase::Phase;

    fn verified(pack: &Pack) -> Verification {
        let public = key().public();
        let submission =
            Submission { zip: &pack.zip, signature: Some(&pack.signature), key: Some(&public) };
        verify(&submission, &rules())
    }

    fn resealed(pack: &Pack, change: impl FnOnce(&mut Files)) -> Verification {
        let mut files = zip::read(&pack.zip).unwrap();
        change(&mut files);
        let bytes = zip::write(&files).unwrap();
        verified(&Pack { signature: key().sign(&bytes), zip: bytes, ..pack.clone() })
    }

    #[test]
    fn a_pack_is_reproducible_and_verifies() {
        for (bundle, verdict) in [(good(), Verdict::Pass), (bad(), Verdict::Fail)] {
            let pack = build(&bundle, &key(), &rules()).unwrap();
            assert_eq!(pack.zip, build(&bundle, &key(), &rules()).unwrap().zip);
            assert_eq!(pack.verdict, verdict, "{}", pack.headline);
            let answer = verified(&pack);
            assert_eq!(answer.verdict, Verdict::Pass, "{}", answer.headline);
            assert_eq!(answer.release_verdict, Some(verdict));
        }
    }

    #[test]
    fn without_the_auditors_key_or_the_signature_nothing_is_proven() {
        let pack = build(&small(), &key(), &rules()).unwrap();
        let public = key().public();
        let other = crate::base::dsse::SigningKey::from_seed(&[8; 32]).public();
        for (signature, key, expected) in [
            (None, Some(&public), Verdict::Inconclusive),
            (Some(&pack.signature[..]), None, Verdict::Inconclusive),
            (Some(&pack.signature[..63]), Some(&public), Verdict::Fail),
            (Some(&pack.signature[..]), Some(&other), Verdict::Fail),
            (None, Some(&other), Verdict::Fail),
        ] {
            let answer = verify(&Submission { zip: &pack.zip, signature, key }, &rules());
            assert_eq!(answer.verdict, expected, "{}", answer.headline);
        }
    }

    /// With the key, one flipped bit in any byte of the zip or of the signature is a Fail.
    #[test]
    fn every_flipped_byte_is_caught() {
        let pack = build(&small(), &key(), &rules()).unwrap();
        let public = key().public();
        let mut bytes = pack.zip.clone();
        for index in 0..bytes.len() {
            bytes[index] ^= 0x01;
            let signature = Some(&pack.signature[..]);
            let submission = Submission { zip: &bytes, signature, key: Some(&public) };
            assert_eq!(pack_signature(&submission).unwrap_err().0, Verdict::Fail, "byte {index}");
            bytes[index] ^= 0x01;
        }
        for index in 0..64 {
            let mut signature = pack.signature;
            signature[index] ^= 0x01;
            assert_eq!(verified(&Pack { signature, ..pack.clone() }).verdict, Verdict::Fail);
        }
    }

    /// One flipped byte in each file, the zip made and signed anew by the key's owner: the digests
    /// inside still find it.
    #[test]
    fn a_changed_file_is_caught_by_the_digests_alone() {
        let pack = build(&small(), &key(), &rules()).unwrap();
        for path in zip::read(&pack.zip).unwrap().into_keys() {
            let flip = |files: &mut Files| {
                let bytes = files.get_mut(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 0x01;
            };
            assert_eq!(resealed(&pack, flip).verdict, Verdict::Fail, "{path}");
            let lost = resealed(&pack, |files| drop(files.remove(&path)));
            assert_eq!(lost.verdict, Verdict::Fail, "{path}");
        }
        let extra = resealed(&pack, |files| drop(files.insert("extra".into(), Vec::new())));
        assert_eq!(extra.verdict, Verdict::Fail);
    }

    /// A ledger whose recorded verdict is better than its raw data, packed and signed properly.
    #[test]
    fn a_whitewashed_ruling_is_caught_by_judging_again() {
        let mut story = Story::begin("a fix");
        story.rule(Phase::Load, "load", 600_000);
        let last = story.bundle.ledger.last_mut().unwrap();
        let text = String::from_utf8(last.entry.clone()).unwrap();
        last.entry = text.replace(r#""verdict":"fail""#, r#""verdict":"pass""#).into_bytes();
        let pack = build(&story.bundle, &key(), &rules()).unwrap();
        assert_ne!(pack.verdict, Verdict::Pass);
        let answer = verified(&pack);
        assert_eq!(answer.verdict, Verdict::Fail);
        assert!(answer.headline.contains("re-judge gate load"), "{}", answer.headline);
    }

    /// A ruling that failed, and was waived before it was cleared: the pack says so, and verifies.
    /// A waiver that no clearance rested on changes nothing.
    #[test]
    fn a_waiver_written_after_the_ruling_counts_from_its_clearance() {
        for (worst, cleared, verdict) in [
            (600_000, true, Verdict::Waived),
            (599_999, true, Verdict::Fail),
            (600_000, false, Verdict::Fail),
        ] {
            let mut story = Story::begin("a fix");
            story.rule(Phase::Load, "load", 600_000);
            story.waive(worst);
            if cleared {
                story.clear();
            }
            story.rollout(&[(1, 10_000, 100)]);
            let pack = build(&story.promoted(), &key(), &rules()).unwrap();
            assert_eq!(pack.verdict, verdict, "{worst} {cleared}: {}", pack.headline);
            let html = String::from_utf8(pack.report.clone()).unwrap();
            assert!(html.contains("Finding waived") && html.contains("known, SHOP-9"));
            let answer = verified(&pack);
            assert_eq!(answer.verdict, Verdict::Pass, "{}", answer.headline);
            assert_eq!(answer.release_verdict, Some(verdict));
        }
    }

    #[test]
    fn a_missing_exhibit_or_an_unknown_rule_is_inconclusive() {
        let mut bundle = small();
        bundle.exhibits.pop_first();
        let pack = build(&bundle, &key(), &rules()).unwrap();
        assert_eq!(pack.verdict, Verdict::Inconclusive);
        assert!(pack.missing.iter().any(|m| m.what == "exhibit" && m.required));
        assert_eq!(verified(&pack).verdict, Verdict::Inconclusive);
        let pack = build(&small(), &key(), &rules()).unwrap();
        let public = key().public();
        let submission =
            Submission { zip: &pack.zip, signature: Some(&pack.signature), key: Some(&public) };
        assert_eq!(verify(&submission, &Rules::default()).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_broken_chain_and_wrong_bundles_are_refused() {
        let mut bundle = small();
        bundle.ledger.remove(2);
        assert!(build(&bundle, &key(), &rules()).unwrap_err().to_string().contains("entry 3"));
        let mut bundle = small();
        bundle.files.insert("manifest.json".into(), Vec::new());
        assert!(build(&bundle, &key(), &rules()).is_err());
        let mut bundle = small();
        bundle.ledger.clear();
        assert!(build(&bundle, &key(), &rules()).is_err());
    }

    #[test]
    fn hostile_texts_stay_text_in_the_report() {
        let mut story = Story::begin("<script>alert(1)</script>\"'><img src=x onerror=y>");
        story.rule(Phase::Load, "<b>load</b>", 100);
        let pack = build(&story.bundle, &key(), &rules()).unwrap();
        let html = String::from_utf8(pack.report).unwrap();
        assert!(html.contains("&lt;script&gt;"));
        for tag in ["<script", "<img", "<b>load", "http-equiv=\"refresh", "src="] {
            assert!(!html.replace("src=x", "").contains(tag), "{tag}");
        }
        assert!(
            !html.contains("https://") && html.contains("default-src &#39;none")
                || html.contains("default-src 'none'")
        );
    }
}
