//! `canary.health`: whether the new version answers by itself, and whether the paths that must work
//! do. What was seen while the stage was watched is judged; nothing is asked anew.

use serde::{Deserialize, Serialize};

use crate::base::ids::CheckId;
use crate::base::units::Micros;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

/// What the new version answered so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct HealthCheck {
    pub(crate) policy: HealthPolicy,
    pub(crate) seen: HealthSeen,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthPolicy {
    pub(crate) unhealthy_for: Option<Micros>,
    pub(crate) health: String,
    pub(crate) critical: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthSeen {
    /// How often it was asked.
    pub(crate) asked: u64,
    /// For how long it has not been well, and what it said.
    pub(crate) unhealthy: Option<(Micros, String)>,
    /// A critical path that failed three times in a row, and how.
    pub(crate) failed: Option<(String, String)>,
    /// The base fails in the same way.
    pub(crate) base_too: bool,
}

/// How often a critical path is asked before it counts as failed.
pub(crate) const CRITICAL_TRIES: u32 = 3;
const RULE_TEXT: &str = "canary.health v1: it answers, and every critical path works";

impl Check for HealthCheck {
    type Policy = HealthPolicy;
    type Seen = HealthSeen;
    const RULE: RuleId = RuleId { name: "canary.health", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("canary.health").expect("a constant id")
    }

    fn policy(&self) -> HealthPolicy {
        self.policy.clone()
    }

    async fn observe(&self, _: &Look) -> Result<HealthSeen, Unseen> {
        Ok(self.seen.clone())
    }

    fn judge(policy: &HealthPolicy, seen: &HealthSeen) -> Judgement {
        let Some((headline, fingerprint)) = breach(policy, seen) else {
            if seen.asked == 0 {
                let text = "the new version was not asked whether it is well";
                return Judgement::inconclusive(Cause::NoData, text, RULE_TEXT);
            }
            if let (Some(limit), Some((span, why))) = (policy.unhealthy_for, &seen.unhealthy) {
                let text =
                    format!("the new version is not healthy now, for {span} of {limit}: {why}");
                return Judgement::inconclusive(Cause::Undecided, text, RULE_TEXT);
            }
            let text = format!("the new version was well, asked {} times", seen.asked);
            return Judgement::pass(text, RULE_TEXT);
        };
        if seen.base_too {
            let text = format!(
                "both versions breach: {headline}, and so does the base; what they share is failing"
            );
            return Judgement::inconclusive(Cause::BothBreach, text, RULE_TEXT);
        }
        let finding = Finding {
            fingerprint,
            title: headline.clone(),
            place: Some("canary".to_owned()),
            value: 1,
            unit: Unit::Count,
            next: "mend it in a new commit, and tag a new candidate".to_owned(),
        };
        Judgement::fail(headline, RULE_TEXT, finding)
    }
}

/// What brings users back, in a sentence, and its name.
pub(crate) fn breach(policy: &HealthPolicy, seen: &HealthSeen) -> Option<(String, String)> {
    if let Some((path, why)) = &seen.failed {
        let text =
            format!("{path} failed {CRITICAL_TRIES} times in a row on the new version: {why}");
        return Some((text, format!("canary.critical:{path}")));
    }
    let (span, why) = seen.unhealthy.as_ref()?;
    let limit = policy.unhealthy_for?;
    (*span >= limit).then(|| {
        let text = format!("the new version has not been healthy for {limit}: {why}");
        (text, "canary.unhealthy".to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    #[test]
    fn what_it_answered_decides() {
        let limit = Micros::from_secs(300);
        let policy = HealthPolicy {
            unhealthy_for: Some(limit),
            health: "/".to_owned(),
            critical: vec!["/pay".to_owned()],
        };
        let sick = |us: u64| Some((Micros(us), "status 503".to_owned()));
        let failed = || Some(("/pay".to_owned(), "status 500".to_owned()));
        for (what, unhealthy, failed, base_too, asked, expected) in [
            ("nobody asked", None, None, false, 0, Verdict::Inconclusive),
            ("well", None, None, false, 9, Verdict::Pass),
            ("ill, and well again", None, None, false, 9, Verdict::Pass),
            ("ill just now", sick(0), None, false, 9, Verdict::Inconclusive),
            ("just before the limit", sick(limit.0 - 1), None, false, 9, Verdict::Inconclusive),
            ("at the limit", sick(limit.0), None, false, 9, Verdict::Fail),
            ("a critical path", None, failed(), false, 9, Verdict::Fail),
            ("what both share", None, failed(), true, 9, Verdict::Inconclusive),
        ] {
            let seen = HealthSeen { asked, unhealthy, failed, base_too };
            let judged = HealthCheck::judge(&policy, &seen);
            assert_eq!(judged.verdict, expected, "{what}: {}", judged.headline);
        }
        let off = HealthPolicy { unhealthy_for: None, ..policy };
        let seen = HealthSeen { asked: 1, unhealthy: sick(limit.0), ..HealthSeen::default() };
        assert_eq!(HealthCheck::judge(&off, &seen).verdict, Verdict::Pass, "nobody asked for it");
    }
}
