//! `rollback.ready`: before any raise, the way back must be open: the platform answers with our
//! credentials, and the version that users would go back to runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::ports::{Arm, Platform};
use crate::base::ids::{CheckId, DeploymentId};
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

/// Looks at the platform and asks the base whether it lives.
pub(crate) struct ReadyCheck {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) base: DeploymentId,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WayBack {
    /// The deployment that the platform calls its base.
    pub(crate) base: DeploymentId,
    /// Whether it answered a request of ours.
    pub(crate) answers: bool,
}

const RULE_TEXT: &str = "rollback.ready v1: the recorded base is the platform's base and answers";

impl Check for ReadyCheck {
    type Policy = DeploymentId;
    type Seen = WayBack;
    const RULE: RuleId = RuleId { name: "rollback.ready", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("rollback.ready").expect("a constant id")
    }

    fn policy(&self) -> DeploymentId {
        self.base.clone()
    }

    async fn observe(&self, _: &Look) -> Result<WayBack, Unseen> {
        let unseen = |error: &dyn std::fmt::Display| {
            Unseen::new(Cause::Unobserved, error.to_string(), "see whether the platform answers")
        };
        let state = self.platform.look().await.map_err(|error| unseen(&error))?;
        let answers = self.platform.identity(Arm::Base).await.is_ok();
        Ok(WayBack { base: state.base, answers })
    }

    fn judge(expected: &DeploymentId, seen: &WayBack) -> Judgement {
        let broken = |headline: String, next: &str| {
            let finding = Finding {
                fingerprint: "way back".to_owned(),
                title: headline.clone(),
                place: Some(expected.to_string()),
                value: 1,
                unit: Unit::Count,
                next: next.to_owned(),
            };
            Judgement::fail(headline, RULE_TEXT, finding)
        };
        if seen.base != *expected {
            let text = format!("the platform's base is {}, not {expected}", seen.base);
            return broken(text, "orca release status shows who changed it");
        }
        if !seen.answers {
            let text =
                format!("the base {expected} does not answer, so nobody could go back to it");
            return broken(text, "start the base again before shipping anything");
        }
        Judgement::pass(format!("the base {expected} answers"), RULE_TEXT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    #[test]
    fn the_way_back_must_be_the_recorded_one_and_alive() {
        let base = DeploymentId::new("http://base").unwrap();
        let other = DeploymentId::new("http://other").unwrap();
        for (seen, verdict) in [
            (WayBack { base: base.clone(), answers: true }, Verdict::Pass),
            (WayBack { base: base.clone(), answers: false }, Verdict::Fail),
            (WayBack { base: other, answers: true }, Verdict::Fail),
        ] {
            assert_eq!(ReadyCheck::judge(&base, &seen).verdict, verdict);
        }
    }
}
