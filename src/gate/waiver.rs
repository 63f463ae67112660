//! A waiver lets one finding of one check pass, up to a stated worst value, until a stated time.
//! It is evidence, not a bypass: identity, signatures, condemnation and live limits ignore it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::verdict::{Cause, Judgement, Verdict};
use crate::base::clock::Timestamp;
use crate::base::ids::{CheckId, OrcaId};

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

/// One tolerated finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Waiver {
    pub(crate) id: OrcaId,
    pub(crate) check: CheckId,
    /// The finding's fingerprint.
    pub(crate) finding: String,
    /// Worst value tolerated, in the finding's unit.
    pub(crate) worst: i64,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) role: Role,
}

/// Checks whose failures can never be waived, by the first part of their id or in full.
const NEVER: [&str; 5] = [
    "release.identity",
    "artifact.digest",
    "ledger.chain",
    "ledger.signature",
    "release.condemned",
];

/// Findings that nobody can waive, by the beginning of their fingerprint: live limits.
const NEVER_FINDINGS: [&str; 2] = ["canary.hard_limit", "canary.unreachable"];

/// Why a waiver was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WaiverError {
    #[error("check {0} can never be waived")]
    Never(CheckId),
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

    fn covers(&self, check: &CheckId, finding: &super::verdict::Finding, now: Timestamp) -> bool {
        let live = NEVER_FINDINGS.iter().any(|never| finding.fingerprint.starts_with(never));
        self.validate(now).is_ok()
            && !live
            && self.check == *check
            && self.finding == finding.fingerprint
            && finding.value <= self.worst
    }
}

/// `judgement` with its findings waived where waivers cover every one of them.
///
/// Only a Fail with findings can become Waived; an Inconclusive one has nothing to tolerate but
/// the unknown, and is left as it is unless a finding names it.
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
            let headline = format!("{} (waived)", judgement.headline);
            (Judgement { verdict: Verdict::Waived, headline, ..judgement }, used)
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
    use crate::gate::verdict::{Finding, Unit};

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

    #[test]
    fn some_things_cannot_be_waived() {
        let now = Timestamp::from_us(0);
        assert!(waiver("release.identity", 1).validate(now).is_err());
        assert!(Waiver { role: Role::Ci, ..waiver("load.slo", 1) }.validate(now).is_err());
        assert!(Waiver { reason: " ".into(), ..waiver("load.slo", 1) }.validate(now).is_err());
        let id = CheckId::new("load.slo").unwrap();
        let blind = Judgement::inconclusive(Cause::NoData, "no data", "r");
        assert_eq!(
            apply(&id, blind, &[waiver("load.slo", 1)], now).0.verdict,
            Verdict::Inconclusive
        );
    }
}
