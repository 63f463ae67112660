//! A waiver lets one finding of one check pass, up to a stated worst value, until a stated time.
//! It is evidence, not a bypass: identity, signatures, condemnation and live limits ignore it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::{Cause, Finding, Judgement, Unit, Verdict};
use crate::base::clock::Timestamp;
use crate::base::ids::{CheckId, CommitId, Environment, OrcaId};

/// Who may write waivers and approvals; CI keys may only sign rulings.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    Ci,
    Engineering,
    Product,
    Ops,
}

impl Role {
    pub(crate) const ALL: [Self; 4] = [Self::Ci, Self::Engineering, Self::Product, Self::Ops];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Engineering => "engineering",
            Self::Product => "product",
            Self::Ops => "ops",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("'{text}' is no role; write ci, engineering, product or ops"))
    }
}

/// One tolerated finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiver {
    pub(crate) id: OrcaId,
    pub(crate) check: CheckId,
    /// The finding's fingerprint.
    pub(crate) finding: String,
    /// Worst value tolerated, in the finding's unit: the highest, or the lowest where less is worse.
    pub(crate) worst: i64,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) role: Role,
    /// What alone it is good for; everything where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) only: Option<Only>,
}

/// The one commit, in the one environment, that a waiver is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Only {
    pub(crate) commit: CommitId,
    pub(crate) environment: Environment,
}

/// Checks whose failures can never be waived, by the first part of their id or in full.
const NEVER: [&str; 6] = [
    "release.identity",
    "artifact.digest",
    "ledger.chain",
    "ledger.signature",
    "release.condemned",
    "canary.health",
];

/// Findings that nobody can waive, by the beginning of their fingerprint: live limits, and what the
/// automatic triggers see.
const NEVER_FINDINGS: [&str; 5] = [
    "canary.hard_limit",
    "canary.unreachable",
    "canary.error_spike",
    "canary.p95_spike",
    "canary.throughput",
];

/// Why a waiver was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WaiverError {
    #[error("check {0} can never be waived")]
    Never(CheckId),
    #[error("finding {0} is a live limit, and can never be waived")]
    NeverFinding(String),
    #[error("a waiver needs a reason")]
    NoReason,
    #[error("the waiver ended at {}", .0.rfc3339())]
    Ended(Timestamp),
    #[error("role ci may not waive; a person with another role must")]
    Role,
}

impl Waiver {
    /// Whether this waiver may be written at all.
    pub(crate) fn validate(&self, now: Timestamp) -> Result<(), WaiverError> {
        if NEVER.contains(&self.check.as_str()) {
            return Err(WaiverError::Never(self.check.clone()));
        }
        if NEVER_FINDINGS.iter().any(|never| self.finding.starts_with(never)) {
            return Err(WaiverError::NeverFinding(self.finding.clone()));
        }
        if self.reason.trim().is_empty() {
            return Err(WaiverError::NoReason);
        }
        if self.until <= now {
            return Err(WaiverError::Ended(self.until));
        }
        if self.role == Role::Ci {
            return Err(WaiverError::Role);
        }
        Ok(())
    }

    /// Whether it may count for this commit in this environment.
    pub(crate) fn is_about(&self, commit: &CommitId, environment: &Environment) -> bool {
        self.only
            .as_ref()
            .is_none_or(|only| only.commit == *commit && only.environment == *environment)
    }

    fn covers(&self, check: &CheckId, finding: &Finding, now: Timestamp) -> bool {
        let tolerated = if less_is_worse(finding) {
            finding.value >= self.worst
        } else {
            finding.value <= self.worst
        };
        self.validate(now).is_ok()
            && self.check == *check
            && self.finding == finding.fingerprint
            && tolerated
    }

    /// Who, until when and why, as people read it after a headline.
    pub(crate) fn told(&self) -> String {
        let (by, role, until) = (&self.by, self.role.as_str(), self.until.rfc3339());
        format!("waived by {by} ({role}) until {until}: {}", self.reason)
    }
}

/// Rates and uptimes are objectives from below.
fn less_is_worse(finding: &Finding) -> bool {
    finding.unit == Unit::MilliPerSecond || finding.fingerprint.starts_with("uptime")
}

/// `judgement` with its findings waived where waivers cover every one of them.
///
/// Only a Fail with findings can become Waived; an Inconclusive one has nothing to tolerate but
/// the unknown, and is left as it is unless a finding names it. What was undecided beside the
/// findings stays undecided.
pub(crate) fn apply(
    check: &CheckId,
    judgement: Judgement,
    waivers: &[Waiver],
    now: Timestamp,
) -> (Judgement, Vec<OrcaId>) {
    let closes = matches!(judgement.verdict, Verdict::Fail | Verdict::Inconclusive);
    if !closes || judgement.findings.is_empty() {
        return (judgement, Vec::new());
    }
    let used: Option<Vec<OrcaId>> = judgement
        .findings
        .iter()
        .map(|f| waivers.iter().find(|w| w.covers(check, f, now)).map(|w| w.id.clone()))
        .collect();
    match used {
        None => (judgement, Vec::new()),
        Some(mut used) => {
            used.sort();
            used.dedup();
            let undecided = judgement.measures.iter().any(|m| m.verdict == Verdict::Inconclusive);
            let (verdict, cause) = if undecided {
                (Verdict::Inconclusive, Some(Cause::Undecided))
            } else {
                (Verdict::Waived, judgement.cause)
            };
            (Judgement { verdict, cause, ..judgement }, used)
        }
    }
}

/// A gate in `mode: observe` is judged and shown, and counts as Waived.
pub(crate) fn observed(judgement: Judgement) -> Judgement {
    match judgement.verdict {
        Verdict::Fail | Verdict::Inconclusive | Verdict::Pass => Judgement {
            verdict: Verdict::Waived,
            cause: Some(Cause::Observe),
            headline: format!("{} (observed: {})", judgement.headline, judgement.verdict.label()),
            ..judgement
        },
        Verdict::NotApplicable | Verdict::Waived => judgement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Entropy;
    use crate::gate::verdict::Measure;

    fn waiver(check: &str, worst: i64) -> Waiver {
        Waiver {
            id: OrcaId::generate("wa", &Entropy::seeded(1)),
            check: CheckId::new(check).unwrap(),
            finding: "p95:/checkout".into(),
            worst,
            until: Timestamp::from_us(100),
            reason: "slow vendor, fix in 1.4.1".into(),
            by: "ana".into(),
            role: Role::Engineering,
            only: None,
        }
    }

    fn failing(value: i64) -> Judgement {
        let finding = Finding {
            fingerprint: "p95:/checkout".into(),
            title: "slow".into(),
            place: None,
            value,
            unit: Unit::Microseconds,
            next: "make it faster".into(),
        };
        Judgement::fail("p95 is too high", "r", finding)
    }

    #[test]
    fn covers_only_what_it_names() {
        let now = Timestamp::from_us(50);
        for (check, worst, at, value, expected) in [
            ("load.slo", 600, now, 600, Verdict::Waived),
            ("load.slo", 600, now, 601, Verdict::Fail),
            ("slo.errors", 600, now, 600, Verdict::Fail),
            ("load.slo", 600, Timestamp::from_us(100), 600, Verdict::Fail),
        ] {
            let id = CheckId::new("load.slo").unwrap();
            let (judged, used) = apply(&id, failing(value), &[waiver(check, worst)], at);
            assert_eq!(judged.verdict, expected, "{check} {worst} {value}");
            assert_eq!(used.len(), usize::from(expected == Verdict::Waived));
        }
    }

    /// A rate is worse when it is lower.
    #[test]
    fn less_is_worse_for_rates_and_uptimes() {
        let now = Timestamp::from_us(50);
        let id = CheckId::new("load.slo").unwrap();
        for (fingerprint, unit) in
            [("throughput:all", Unit::MilliPerSecond), ("uptime:all", Unit::Ppm)]
        {
            for (value, expected) in [(600, Verdict::Waived), (599, Verdict::Fail)] {
                let mut judgement = failing(value);
                judgement.findings[0].fingerprint = fingerprint.into();
                judgement.findings[0].unit = unit;
                let waiver = Waiver { finding: fingerprint.into(), ..waiver("load.slo", 600) };
                let judged = apply(&id, judgement, &[waiver], now).0;
                assert_eq!(judged.verdict, expected, "{fingerprint} {value}");
            }
        }
    }

    /// Waiving what failed does not decide what could not be decided.
    #[test]
    fn the_undecided_stays_undecided() {
        let id = CheckId::new("load.slo").unwrap();
        let open = Measure {
            asked: "errors < 1%".into(),
            seen: None,
            lower: None,
            upper: None,
            limit: None,
            unit: Unit::Ppm,
            samples: 3,
            verdict: Verdict::Inconclusive,
        };
        let judgement = failing(600).with_measures(vec![open]);
        let (judged, _) = apply(&id, judgement, &[waiver("load.slo", 600)], Timestamp::default());
        assert_eq!((judged.verdict, judged.cause), (Verdict::Inconclusive, Some(Cause::Undecided)));
    }

    #[test]
    fn some_things_cannot_be_waived() {
        let now = Timestamp::from_us(0);
        for live in ["hard_limit", "unreachable", "error_spike", "p95_spike", "throughput"] {
            let finding = format!("canary.{live}:users");
            let live = Waiver { finding, ..waiver("canary.users", 1) };
            assert!(matches!(live.validate(now), Err(WaiverError::NeverFinding(_))));
        }
        for check in ["release.identity", "canary.health"] {
            assert!(waiver(check, 1).validate(now).is_err(), "{check}");
        }
        assert!(Waiver { role: Role::Ci, ..waiver("load.slo", 1) }.validate(now).is_err());
        assert!(Waiver { reason: " ".into(), ..waiver("load.slo", 1) }.validate(now).is_err());
        let id = CheckId::new("load.slo").unwrap();
        let blind = Judgement::inconclusive(Cause::NoData, "no data", "r");
        assert_eq!(
            apply(&id, blind, &[waiver("load.slo", 1)], now).0.verdict,
            Verdict::Inconclusive
        );
    }

    /// A waiver that a deployment wrote is about its commit; one of before reads and writes as ever.
    #[test]
    fn a_waiver_may_be_about_one_commit_alone() {
        let commit = |digit: &str| CommitId::new(digit.repeat(40)).unwrap();
        let at = |name: &str| Environment::new(name).unwrap();
        let only = Only { commit: commit("4"), environment: at("production") };
        let bound = Waiver { only: Some(only), ..waiver("deploy.criteria", 1) };
        let everywhere = waiver("deploy.criteria", 1);
        for (digit, environment, expected) in
            [("4", "production", true), ("5", "production", false), ("4", "staging", false)]
        {
            let (commit, at) = (commit(digit), at(environment));
            assert_eq!(bound.is_about(&commit, &at), expected, "{digit} {environment}");
            assert!(everywhere.is_about(&commit, &at));
        }
        let stored = serde_json::to_string(&everywhere).unwrap();
        assert!(!stored.contains("only"), "old bytes stay as they are: {stored}");
        for waiver in [bound, everywhere] {
            let text = serde_json::to_string(&waiver).unwrap();
            assert_eq!(serde_json::from_str::<Waiver>(&text).unwrap(), waiver);
        }
    }
}
