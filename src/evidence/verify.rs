//! Verifying a pack that may be hostile, offline. Every step says pass, fail or inconclusive, and
//! the worst of them is the answer. A key that comes inside the pack proves nothing.

use std::thread;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::dsse::PublicKey;
use crate::base::ids::CommitId;
use crate::evidence::bundle::read_ledger;
use crate::evidence::contents::Contents;
use crate::evidence::inspect;
use crate::evidence::manifest::EvidenceManifest;
use crate::evidence::pack::{self, PackManifest};
use crate::evidence::signers::{self, Signer, Standing};
use crate::evidence::statement::{self, Subjects};
use crate::evidence::summary::{Material, Rejudged, Summary};
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
    /// Who signed which entry, by the trust list in the pack; empty where it holds none.
    pub(crate) signers: Vec<Signer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) verdict: Verdict,
    pub(crate) detail: String,
}

pub(super) type Finding = Result<String, (Verdict, String)>;

pub(super) fn wrong(detail: impl Into<String>) -> (Verdict, String) {
    (Verdict::Fail, detail.into())
}

pub(super) fn unknown(detail: impl Into<String>) -> (Verdict, String) {
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
    let mut signers = Vec::new();
    let (signature, contents) = thread::scope(|scope| {
        let signature = scope.spawn(|| pack_signature(submission));
        let contents = Contents::open(submission.zip);
        (signature.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), contents)
    });
    steps.note("pack signature", signature);
    let manifest = match contents {
        Ok(contents) => {
            steps.note("zip layout", Ok(format!("{} files", contents.digests().len())));
            signers = signers::of_pack(&contents);
            look_inside(&contents, submission.key, rules, &mut steps)
        }
        Err(error) => {
            steps.note("zip layout", Err(wrong(error.to_string())));
            None
        }
    };
    Verification { signers, ..conclude(steps, manifest.as_ref()) }
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
        signers: Vec::new(),
    }
}

pub(super) fn pack_signature(submission: &Submission<'_>) -> Finding {
    let signature = submission
        .signature
        .ok_or_else(|| unknown("no signature file stands beside the pack (PACK.sig)"))?;
    let key = submission
        .key
        .ok_or_else(|| unknown("no key was given; the key inside the pack proves nothing"))?;
    key.verify(submission.zip, signature).map_err(|e| wrong(e.to_string()))?;
    Ok(format!("by key {}", key.key_id().get(..12).unwrap_or_default()))
}

fn look_inside(
    contents: &Contents<'_>,
    key: Option<&PublicKey>,
    rules: &Rules,
    steps: &mut Steps,
) -> Option<PackManifest> {
    steps.note("sha256sums", inspect::sha256sums(contents));
    let manifest = inspect::read_manifest(contents);
    let complete =
        manifest.as_ref().map_err(Clone::clone).and_then(|m| inspect::digests(contents, m));
    steps.note("manifest digests", complete);
    steps.note("file names", inspect::names(contents));
    let manifest = manifest.ok();
    let commit = manifest.as_ref().and_then(pack::commit_of);
    let payload = inspect::statement_signature(contents, key);
    steps.note("statement signature", payload.clone().map(|(_, detail)| detail));
    let Some(commit) = commit else {
        steps.note("statement subjects", Err(wrong("the manifest names no commit")));
        return manifest;
    };
    let payload = payload.map(|(bytes, _)| bytes).or_else(|_| inspect::claimed(contents));
    let bound = Bound::of(contents);
    let fits = payload.clone().and_then(|bytes| {
        statement::check_subjects(&bytes, &bound.subjects(&commit)).map_err(wrong)?;
        Ok("the manifest, the sums and the commit".to_owned())
    });
    steps.note("statement subjects", fits);
    let raw = contents.ledger();
    let read = raw.as_ref().map_err(|e| wrong(e.as_str())).and_then(|raw| {
        read_ledger(raw.iter().map(Vec::as_slice)).map_err(|e| wrong(e.to_string()))
    });
    match (read, raw) {
        (Ok(entries), Ok(raw)) => {
            let past =
                entries[0].prev_sha256.map_or("the first entry of the ledger", |_| "a later entry");
            steps.note("ledger chain", Ok(format!("{} entries from {past}", entries.len())));
            steps.note("entry signatures", inspect::entry_signatures(contents, &raw, key));
            if let Some(manifest) = &manifest {
                let (said, payload) = ((&commit, manifest), payload.ok());
                rejudge((contents, &bound), said, &entries, rules, (payload, steps));
            }
        }
        (Err(finding), _) => steps.note("ledger chain", Err(finding)),
        (Ok(_), Err(reason)) => steps.note("ledger chain", Err(wrong(reason))),
    }
    manifest
}

/// The bytes that the statement is about.
struct Bound {
    manifest: Vec<u8>,
    sums: Vec<u8>,
}

impl Bound {
    fn of(contents: &Contents<'_>) -> Self {
        let file = |path| contents.file(path).unwrap_or_default();
        Self { manifest: file(pack::MANIFEST), sums: file(pack::SUMS) }
    }

    fn subjects<'a>(&'a self, commit: &'a CommitId) -> Subjects<'a> {
        Subjects { manifest: &self.manifest, sums: &self.sums, commit }
    }
}

/// The classes of artifacts that the pack was made by.
pub(super) fn classes(contents: &Contents<'_>) -> Result<EvidenceManifest, (Verdict, String)> {
    let bytes = inspect::file(contents, pack::CLASSES)?;
    let text = String::from_utf8_lossy(&bytes);
    EvidenceManifest::parse(&text, std::path::Path::new(pack::CLASSES))
        .map_err(|e| wrong(e.to_string()))
}

/// Judges again, and holds the manifest and the statement to what came of it.
fn rejudge(
    (contents, bound): (&Contents<'_>, &Bound),
    (commit, manifest): (&CommitId, &PackManifest),
    entries: &[Entry],
    rules: &Rules,
    (payload, steps): (Option<Vec<u8>>, &mut Steps),
) {
    let classes = match classes(contents) {
        Ok(classes) => classes,
        Err(finding) => return steps.note("re-judged", Err(finding)),
    };
    let paths = contents.brought();
    let standing = Standing::of_pack(contents);
    let material = Material {
        commit,
        entries,
        exhibits: contents,
        paths: &paths,
        manifest: &classes,
        standing: &standing,
    };
    let summary = Summary::of(&material, rules);
    for ruling in &summary.rulings {
        note_ruling(ruling, steps);
    }
    let agrees = (manifest.verdict, &manifest.headline, &manifest.missing)
        == (summary.verdict, &summary.headline, &summary.missing);
    let subjects = bound.subjects(commit);
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
