//! Judges every exhibit of a pack again, and says of each whether it gives the bytes that were
//! recorded, or what differs. Pure, and told by nothing but the pack and the rules: the same pack
//! gives the same answer on any machine. Who signed it is the business of `verify`.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::base::digest::{Digest, canonical_json};
use crate::evidence::bundle::read_ledger;
use crate::evidence::contents::Contents;
use crate::evidence::pack;
use crate::evidence::signers::Standing;
use crate::evidence::summary::{Exhibits as _, Material, Rejudged, Summary};
use crate::evidence::{inspect, verify};
use crate::gate::exhibit::Exhibit;
use crate::gate::rules::Rules;
use crate::gate::ruling::CheckRecord;
use crate::gate::verdict::{Cause, Judgement, Verdict};

pub(crate) const SCHEMA: &str = "orca.evidence-rejudge/v1";

/// Most differences named of one judgement.
const DIFFERENCES_MAX: usize = 20;

/// What judging again gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Rejudgement {
    /// Pass: every judgement came out to the recorded bytes.
    pub(crate) verdict: Verdict,
    /// One sentence.
    pub(crate) headline: String,
    pub(crate) tag: String,
    pub(crate) commit: String,
    pub(crate) rulings: Vec<Ruling>,
    /// Exhibits in the pack that no ruling names.
    pub(crate) unnamed: Vec<String>,
}

/// One ruling of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Ruling {
    /// 1-based place in the ledger.
    pub(crate) entry: usize,
    pub(crate) phase: String,
    pub(crate) gate: String,
    pub(crate) commit: String,
    pub(crate) recorded: Verdict,
    pub(crate) judged: Verdict,
    /// Pass: the whole ruling is the recorded one.
    pub(crate) same: Verdict,
    pub(crate) checks: Vec<OneCheck>,
}

/// One exhibit and its judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct OneCheck {
    pub(crate) check: String,
    pub(crate) rule: String,
    pub(crate) rule_version: u32,
    pub(crate) exhibit: String,
    /// Pass: the same bytes. Inconclusive: it could not be judged.
    pub(crate) same: Verdict,
    /// Digests of the canonical bytes of both judgements.
    pub(crate) recorded_sha256: String,
    pub(crate) judged_sha256: Option<String>,
    /// What differs, or why it could not be judged.
    pub(crate) differences: Vec<String>,
}

/// Judges again. The error says why the pack cannot be read.
pub(crate) fn rejudge(zip: &[u8], rules: &Rules) -> Result<Rejudgement, String> {
    let contents = Contents::open(zip).map_err(|error| error.to_string())?;
    let reason = |(_, text): (Verdict, String)| text;
    let manifest = inspect::read_manifest(&contents).map_err(reason)?;
    let commit = pack::commit_of(&manifest).ok_or("the manifest names no commit")?;
    let classes = verify::classes(&contents).map_err(reason)?;
    let raw = contents.ledger()?;
    let entries = read_ledger(raw.iter().map(Vec::as_slice)).map_err(|error| error.to_string())?;
    let paths = contents.brought();
    let standing = Standing::of_pack(&contents);
    let material = Material {
        standing: &standing,
        commit: &commit,
        entries: &entries,
        exhibits: &contents,
        paths: &paths,
        manifest: &classes,
    };
    let summary = Summary::of(&material, rules);
    let counts = |r: &&Rejudged| r.ours || r.reproduced() != Verdict::Inconclusive;
    let counted = summary.rulings.iter().filter(counts);
    let rulings: Vec<Ruling> = counted.map(|r| ruling(r, &contents, rules)).collect();
    let (verdict, headline) = conclude(&rulings);
    Ok(Rejudgement {
        verdict,
        headline,
        tag: manifest.tag,
        commit: manifest.commit,
        rulings,
        unnamed: unnamed(&contents, &summary),
    })
}

fn ruling(ruling: &Rejudged, contents: &Contents<'_>, rules: &Rules) -> Ruling {
    let pairs = ruling.stored.checks.iter().zip(&ruling.judged.checks);
    Ruling {
        entry: ruling.entry,
        phase: ruling.phase.as_str().to_owned(),
        gate: ruling.stored.gate.clone(),
        commit: ruling.stored.subject.commit.to_string(),
        recorded: ruling.stored.verdict,
        judged: ruling.judged.verdict,
        same: ruling.reproduced(),
        checks: pairs.map(|(stored, judged)| check(stored, judged, contents, rules)).collect(),
    }
}

fn check(
    stored: &CheckRecord,
    judged: &CheckRecord,
    contents: &Contents<'_>,
    rules: &Rules,
) -> OneCheck {
    let (same, judgement, differences) = match judged.judgement.cause {
        _ if stored == judged => (Verdict::Pass, Some(stored.judgement.clone()), Vec::new()),
        Some(Cause::ExhibitMissing | Cause::UnknownRule) => {
            (Verdict::Inconclusive, None, vec![judged.judgement.headline.clone()])
        }
        Some(Cause::NotReproduced) => {
            // What came out instead: the ruling keeps only that it was another one.
            let bytes = contents.bytes(&stored.exhibit);
            let exhibit = bytes.and_then(|bytes| Exhibit::parse(&bytes).ok());
            let fresh = exhibit.map(|exhibit| rules.judge(&exhibit));
            let differences = fresh.as_ref().map(|fresh| differences(&stored.judgement, fresh));
            (Verdict::Fail, fresh, differences.unwrap_or_default())
        }
        _ => {
            let counted = format!("counted: {} is {} now", stored.counted, judged.counted);
            (Verdict::Fail, Some(judged.judgement.clone()), vec![counted])
        }
    };
    OneCheck {
        check: stored.check.to_string(),
        rule: stored.rule.clone(),
        rule_version: stored.rule_version,
        exhibit: stored.exhibit.to_string(),
        same,
        recorded_sha256: digest(&stored.judgement),
        judged_sha256: judgement.as_ref().map(digest),
        differences,
    }
}

fn digest(judgement: &Judgement) -> String {
    Digest::of(&canonical_json(judgement).expect("a judgement is plain data")).to_string()
}

fn differences(recorded: &Judgement, judged: &Judgement) -> Vec<String> {
    let value = |judgement| serde_json::to_value(judgement).expect("a judgement is plain data");
    let mut found = Vec::new();
    compare("", (&value(recorded), &value(judged)), &mut found);
    let more = found.len().saturating_sub(DIFFERENCES_MAX);
    found.truncate(DIFFERENCES_MAX);
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    found
}

fn compare(place: &str, values: (&Value, &Value), found: &mut Vec<String>) {
    let below =
        |key: &str| if place.is_empty() { key.to_owned() } else { format!("{place}.{key}") };
    match values {
        (Value::Object(old), Value::Object(new)) => {
            let keys = old.keys().chain(new.keys().filter(|key| !old.contains_key(*key)));
            for key in keys {
                let at = |map: &serde_json::Map<String, Value>| map.get(key).cloned();
                let pair = (at(old).unwrap_or_default(), at(new).unwrap_or_default());
                compare(&below(key), (&pair.0, &pair.1), found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, pair) in old.iter().zip(new).enumerate() {
                compare(&below(&index.to_string()), pair, found);
            }
        }
        (old, new) if old == new => {}
        (old, new) => found.push(format!("{place}: {old} is {new} now")),
    }
}

fn unnamed(contents: &Contents<'_>, summary: &Summary) -> Vec<String> {
    let checks = || summary.rulings.iter().flat_map(|r| &r.stored.checks);
    let is_unnamed = |path: &&String| {
        path.starts_with(pack::EXHIBITS)
            && !checks().any(|check| pack::exhibit_path(&check.exhibit) == **path)
    };
    contents.digests().keys().filter(is_unnamed).cloned().collect()
}

fn conclude(rulings: &[Ruling]) -> (Verdict, String) {
    let exhibits: usize = rulings.iter().map(|r| r.checks.len()).sum();
    let worst = rulings.iter().max_by_key(|r| r.same);
    match worst.map(|r| (r.same, r)) {
        None => (Verdict::Inconclusive, "the pack holds no ruling".to_owned()),
        Some((Verdict::Pass, _)) => {
            let count = rulings.len();
            (Verdict::Pass, format!("{exhibits} exhibits of {count} rulings gave the same bytes"))
        }
        Some((same, ruling)) => {
            let first = ruling.checks.iter().find(|check| check.same == same);
            let what = first.and_then(|c| Some(format!("{}: {}", c.check, c.differences.first()?)));
            let what = what.unwrap_or_else(|| {
                format!("recorded {}, judged {}", ruling.recorded, ruling.judged)
            });
            (same, format!("gate {} (entry {}): {what}", ruling.gate, ruling.entry))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::fixture::{Story, bad, good, key, rules, small};
    use crate::evidence::pack::build;
    use crate::gate::phase::Phase;

    fn again(bundle: &crate::evidence::bundle::Bundle, rules_now: &Rules) -> Rejudgement {
        rejudge(&build(bundle, &key(), &rules()).unwrap().zip, rules_now).unwrap()
    }

    #[test]
    fn what_was_judged_gives_the_same_bytes() {
        for bundle in [good(), bad(), small()] {
            let answer = again(&bundle, &rules());
            assert_eq!(answer.verdict, Verdict::Pass, "{}", answer.headline);
            let checks = || answer.rulings.iter().flat_map(|r| &r.checks);
            assert!(checks().all(|c| c.judged_sha256.as_ref() == Some(&c.recorded_sha256)));
            assert!(checks().count() >= 2 && answer.unnamed.is_empty());
        }
    }

    #[test]
    fn what_differs_is_named() {
        let mut story = Story::begin("a fix");
        story.rule(Phase::Load, "load", 600_000);
        let last = story.bundle.ledger.last_mut().unwrap();
        let text = String::from_utf8(last.entry.clone()).unwrap();
        last.entry = text.replace(r#""verdict":"fail""#, r#""verdict":"pass""#).into_bytes();
        let answer = again(&story.bundle, &rules());
        assert_eq!(answer.verdict, Verdict::Fail);
        let check = &answer.rulings[0].checks[0];
        assert!(check.differences.contains(&r#"verdict: "pass" is "fail" now"#.to_owned()));
        assert_ne!(check.judged_sha256.as_ref(), Some(&check.recorded_sha256));
        assert!(answer.headline.starts_with("gate load (entry 2): load.slo:"));
    }

    #[test]
    fn what_cannot_be_judged_is_said() {
        let mut bundle = small();
        bundle.exhibits.pop_first();
        assert_eq!(again(&bundle, &rules()).verdict, Verdict::Inconclusive);
        let unknown = again(&small(), &Rules::default());
        assert_eq!(unknown.verdict, Verdict::Inconclusive);
        assert!(unknown.headline.contains("unknown rule"), "{}", unknown.headline);
        assert!(rejudge(b"PK", &rules()).unwrap_err().contains("too short"));
    }
}
