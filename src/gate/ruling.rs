//! A ruling is what a gate decided about one subject. A live [`Ruling`] is made only by judging:
//! here after observing, or by [`replay`] from stored bytes. Reading one from JSON is impossible.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::exhibit::Exhibit;
use super::rules::Rules;
use super::verdict::{Cause, Judgement, Verdict};
use super::waiver::{self, Waiver};
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CheckId, CommitId, Environment, OrcaId};

/// What was judged: a commit, the artifact built of it, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Subject {
    pub(crate) commit: CommitId,
    /// Digest of the artifact, once it is known.
    pub(crate) digest: Option<Digest>,
    pub(crate) environment: Environment,
}

impl Subject {
    /// Whether a ruling about `self` is a ruling about `wanted`: the same commit in the same
    /// environment. A ruling made before an artifact existed is about any artifact of its commit;
    /// one that names an artifact is about that one only.
    pub(crate) fn covers(&self, wanted: &Self) -> bool {
        self.commit == wanted.commit
            && self.environment == wanted.environment
            && (self.digest.is_none() || self.digest == wanted.digest)
    }
}

/// Whether a gate is enforced.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    #[default]
    Enforce,
    /// Judged and shown, counts as Waived: for a team's first releases.
    Observe,
}

/// One check inside a ruling, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CheckRecord {
    pub(crate) check: CheckId,
    pub(crate) rule: String,
    pub(crate) rule_version: u32,
    /// Advisory checks are recorded and do not count.
    pub(crate) required: bool,
    /// What the rule said of the exhibit, before waivers.
    pub(crate) judgement: Judgement,
    /// Digest of the limits it was judged by.
    pub(crate) policy: Digest,
    /// Digest of the exhibit's canonical bytes.
    pub(crate) exhibit: Digest,
    pub(crate) observed_at: Timestamp,
    /// How long this stays fresh, in microseconds.
    pub(crate) max_age_us: u64,
    /// Waivers that covered its findings.
    pub(crate) waivers: Vec<OrcaId>,
    /// The verdict that counts: after waivers and mode.
    pub(crate) counted: Verdict,
}

/// A ruling as the ledger keeps it. Proves nothing until it is replayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulingRecord {
    pub(crate) gate: String,
    pub(crate) subject: Subject,
    pub(crate) mode: Mode,
    pub(crate) checks: Vec<CheckRecord>,
    pub(crate) verdict: Verdict,
    pub(crate) cause: Option<Cause>,
    pub(crate) headline: String,
}

impl RulingRecord {
    /// This ruling as a person let it go on: only what the data could not decide is waived. A
    /// failure stays one, and so does a proof that does not count.
    #[must_use]
    pub(crate) fn advanced(self, by: &str, reason: &str) -> Self {
        if self.verdict != Verdict::Inconclusive || !self.cause.is_some_and(Cause::is_of_data) {
            return self;
        }
        let headline = format!("{} (let go on by {by}: {reason})", self.headline);
        Self { verdict: Verdict::Waived, headline, ..self }
    }

    /// Whether both leave the same open for the same reason, check by check: what a person answered
    /// for in one holds in the other.
    pub(crate) fn leaves_open_what(&self, other: &Self) -> bool {
        let open = |record: &Self| -> Vec<_> {
            let required = record.checks.iter().filter(|check| check.required);
            let said = |c: &CheckRecord| (c.check.clone(), c.counted, c.judgement.cause);
            required.map(said).collect()
        };
        self.gate == other.gate
            && (self.verdict, self.cause) == (other.verdict, other.cause)
            && open(self) == open(other)
    }
}

/// A ruling that was judged in this process.
#[derive(Debug, Clone)]
pub(crate) struct Ruling(RulingRecord);

impl Ruling {
    pub(crate) fn record(&self) -> &RulingRecord {
        &self.0
    }

    pub(crate) fn verdict(&self) -> Verdict {
        self.0.verdict
    }

    /// This ruling as a person let it go on.
    pub(crate) fn advanced(self, by: &str, reason: &str) -> Self {
        Self(self.0.advanced(by, reason))
    }

    /// This ruling as one that does not count, for a typed cause.
    pub(crate) fn distrusted(self, cause: Cause, why: &str) -> Self {
        let headline = format!("gate {}: {why}", self.0.gate);
        let (verdict, cause) = (Verdict::Inconclusive, Some(cause));
        Self(RulingRecord { verdict, cause, headline, ..self.0 })
    }
}

/// One judged exhibit on its way into a ruling.
#[derive(Debug, Clone)]
pub(crate) struct Judged {
    pub(crate) exhibit: Exhibit,
    pub(crate) required: bool,
    pub(crate) max_age_us: u64,
}

/// Judges exhibits and combines them: the worst of the required checks.
pub(crate) fn rule(
    gate: &str,
    (subject, mode): (Subject, Mode),
    judged: &[Judged],
    rules: &Rules,
    (waivers, now): (&[Waiver], Timestamp),
) -> Ruling {
    let waivers = &about(waivers, &subject);
    let checks: Vec<CheckRecord> = judged
        .iter()
        .map(|item| {
            let exhibit = &item.exhibit;
            let judgement = rules.judge(exhibit);
            let (counted, used) = waiver::apply(&exhibit.check, judgement.clone(), waivers, now);
            let counted = match mode {
                Mode::Enforce => counted,
                Mode::Observe => waiver::observed(counted),
            };
            CheckRecord {
                check: exhibit.check.clone(),
                rule: exhibit.rule.clone(),
                rule_version: exhibit.rule_version,
                required: item.required,
                judgement,
                policy: exhibit.policy_digest(),
                exhibit: exhibit.digest(),
                observed_at: exhibit.observed_at,
                max_age_us: item.max_age_us,
                waivers: used,
                counted: counted.verdict,
            }
        })
        .collect();
    let (verdict, cause, headline) = combine(gate, mode, &checks, waivers);
    Ruling(RulingRecord { gate: gate.to_owned(), subject, mode, checks, verdict, cause, headline })
}

/// Those that are not about another commit or environment.
fn about(waivers: &[Waiver], subject: &Subject) -> Vec<Waiver> {
    let is_about = |w: &&Waiver| w.is_about(&subject.commit, &subject.environment);
    waivers.iter().filter(is_about).cloned().collect()
}

fn combine(
    gate: &str,
    mode: Mode,
    checks: &[CheckRecord],
    waivers: &[Waiver],
) -> (Verdict, Option<Cause>, String) {
    let required = || checks.iter().filter(|c| c.required);
    let Some(worst) = required().max_by_key(|c| c.counted) else {
        let text = format!("gate {gate} has no required check, so it cannot say anything");
        return (Verdict::Inconclusive, Some(Cause::Empty), text);
    };
    let cause = match (mode, worst.counted) {
        (Mode::Observe, Verdict::Waived) => Some(Cause::Observe),
        (_, Verdict::Inconclusive) => worst.judgement.cause.or(Some(Cause::Undecided)),
        _ => worst.judgement.cause,
    };
    let used = worst.waivers.iter().filter_map(|id| waivers.iter().find(|w| w.id == *id));
    let told: Vec<String> = used.map(Waiver::told).collect();
    let headline = match (worst.counted, told.is_empty()) {
        (Verdict::Waived, false) => format!("{} ({})", worst.judgement.headline, told.join("; ")),
        _ => worst.judgement.headline.clone(),
    };
    (worst.counted, cause, headline)
}

/// Judges a stored ruling again from its exhibits' bytes.
///
/// An exhibit that is missing, changed, or now judged otherwise makes its check Inconclusive: what
/// the record claims never counts by itself. Waivers are applied as of `now`.
pub(crate) fn replay(
    record: &RulingRecord,
    exhibits: &BTreeMap<Digest, Vec<u8>>,
    rules: &Rules,
    (waivers, now): (&[Waiver], Timestamp),
) -> Ruling {
    let waivers = &about(waivers, &record.subject);
    let checks: Vec<CheckRecord> = record
        .checks
        .iter()
        .map(|c| replay_check(c, record.mode, exhibits, rules, (waivers, now)))
        .collect();
    let (verdict, cause, headline) = combine(&record.gate, record.mode, &checks, waivers);
    Ruling(RulingRecord { checks, verdict, cause, headline, ..record.clone() })
}

fn replay_check(
    stored: &CheckRecord,
    mode: Mode,
    exhibits: &BTreeMap<Digest, Vec<u8>>,
    rules: &Rules,
    (waivers, now): (&[Waiver], Timestamp),
) -> CheckRecord {
    let fresh = exhibits
        .get(&stored.exhibit)
        .filter(|bytes| Digest::of(bytes) == stored.exhibit)
        .and_then(|bytes| Exhibit::parse(bytes).ok())
        .filter(|e| e.check == stored.check && e.observed_at == stored.observed_at)
        .filter(|e| e.policy_digest() == stored.policy)
        .filter(|e| (&e.rule, e.rule_version) == (&stored.rule, stored.rule_version));
    let broken = |cause: Cause| {
        let headline = format!("{}: {}", stored.check, cause.text());
        let rule = format!("{} v{}", stored.rule, stored.rule_version);
        CheckRecord {
            judgement: Judgement::inconclusive(cause, headline, &rule),
            waivers: Vec::new(),
            counted: Verdict::Inconclusive,
            ..stored.clone()
        }
    };
    let Some(exhibit) = fresh else {
        return broken(Cause::ExhibitMissing);
    };
    let judgement = rules.judge(&exhibit);
    if judgement.cause == Some(Cause::UnknownRule) {
        return broken(Cause::UnknownRule);
    }
    if judgement != stored.judgement {
        return broken(Cause::NotReproduced);
    }
    let (counted, used) = waiver::apply(&stored.check, judgement.clone(), waivers, now);
    let counted = match mode {
        Mode::Enforce => counted,
        Mode::Observe => waiver::observed(counted),
    };
    CheckRecord { judgement, waivers: used, counted: counted.verdict, ..stored.clone() }
}
