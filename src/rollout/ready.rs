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

const RULE_TEXT: &str = "rollback.ready v2: the recorded base is the platform's base and answers";

impl Check for ReadyCheck {
    type Policy = DeploymentId;
    type Seen = WayBack;
    const RULE: RuleId = RuleId { name: "rollback.ready", version: 2 };

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
        judged((expected, seen), RULE_TEXT, |found| match found {
            Broken::Elsewhere => format!("base is {}", seen.base),
            Broken::Silent => format!("base {expected} is silent"),
        })
    }
}

#[derive(Clone, Copy)]
enum Broken {
    /// The platform's base is another one.
    Elsewhere,
    Silent,
}

fn judged(
    (expected, seen): (&DeploymentId, &WayBack),
    rule: &'static str,
    fingerprint: impl Fn(Broken) -> String,
) -> Judgement {
    let broken = |found: Broken, headline: String, next: &str| {
        let finding = Finding {
            fingerprint: fingerprint(found),
            title: headline.clone(),
            place: Some(expected.to_string()),
            value: 1,
            unit: Unit::Count,
            next: next.to_owned(),
        };
        Judgement::fail(headline, rule, finding)
    };
    if seen.base != *expected {
        let text = format!("the platform's base is {}, not {expected}", seen.base);
        return broken(Broken::Elsewhere, text, "orca release status shows who changed it");
    }
    if !seen.answers {
        let text = format!("the base {expected} does not answer, so nobody could go back to it");
        let next = "start the base again before shipping anything";
        return broken(Broken::Silent, text, next);
    }
    Judgement::pass(format!("the base {expected} answers"), rule)
}

/// Version 1 called both findings the same. It is in no gate, and judges again what was seen then.
pub(crate) struct FirstReadyCheck(ReadyCheck);

impl Check for FirstReadyCheck {
    type Policy = DeploymentId;
    type Seen = WayBack;
    const RULE: RuleId = RuleId { version: 1, ..ReadyCheck::RULE };

    fn id(&self) -> CheckId {
        self.0.id()
    }

    fn policy(&self) -> DeploymentId {
        self.0.policy()
    }

    async fn observe(&self, look: &Look) -> Result<WayBack, Unseen> {
        self.0.observe(look).await
    }

    fn judge(expected: &DeploymentId, seen: &WayBack) -> Judgement {
        const TEXT: &str =
            "rollback.ready v1: the recorded base is the platform's base and answers";
        judged((expected, seen), TEXT, |_| "way back".to_owned())
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

    /// Whoever answers for a base that is silent answers for no other base; version 1 could not tell.
    #[test]
    fn two_faults_are_two_findings() {
        let base = DeploymentId::new("http://base").unwrap();
        let other = DeploymentId::new("http://other").unwrap();
        let silent = WayBack { base: base.clone(), answers: false };
        let elsewhere = WayBack { base: other, answers: true };
        let of = |judgement: Judgement| judgement.findings[0].fingerprint.clone();
        assert_eq!(of(ReadyCheck::judge(&base, &silent)), "base http://base is silent");
        assert_eq!(of(ReadyCheck::judge(&base, &elsewhere)), "base is http://other");
        for seen in [silent, elsewhere] {
            assert_eq!(of(FirstReadyCheck::judge(&base, &seen)), "way back");
        }
    }
}
