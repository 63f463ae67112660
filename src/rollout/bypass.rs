//! `platform.bypass`: what a push to the production branch does by itself. Where it reaches users,
//! whatever gates stand in orca's way are walked around. Judged where a platform can tell.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::ports::{Platform, PlatformError};
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};

/// A platform that builds what is pushed, and can say what becomes of it.
#[async_trait]
pub(crate) trait Pushes: Send + Sync {
    /// What a push does now. Changes nothing.
    async fn pushed(&self) -> Result<Pushed, PlatformError>;
}

/// What a push does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pushed {
    /// The branch that production is built from; nothing where no repository is connected.
    pub(crate) branch: Option<String>,
    /// Whether what is built from it gets users by itself.
    pub(crate) reaches_users: bool,
    /// How a person changes that, as a command.
    pub(crate) remedy: String,
}

/// Asks the platform.
pub(crate) struct BypassCheck {
    pub(crate) platform: Arc<dyn Platform>,
}

const RULE_TEXT: &str = "platform.bypass v1: no push reaches users by itself";

impl Check for BypassCheck {
    type Policy = ();
    type Seen = Pushed;
    const RULE: RuleId = RuleId { name: "platform.bypass", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("platform.bypass").expect("a constant id")
    }

    fn policy(&self) {}

    async fn observe(&self, _: &Look) -> Result<Pushed, Unseen> {
        let unseen =
            |what: String| Unseen::new(Cause::Unobserved, what, "see whether the platform answers");
        let Some(pushes) = self.platform.pushes() else {
            return Err(unseen("this platform does not say what a push does".to_owned()));
        };
        pushes.pushed().await.map_err(|error| unseen(error.to_string()))
    }

    fn judge((): &(), seen: &Pushed) -> Judgement {
        let Some(branch) = &seen.branch else {
            return Judgement::pass("no repository is connected", RULE_TEXT);
        };
        if !seen.reaches_users {
            let text = format!("a push to {branch} is built and gets no users");
            return Judgement::pass(text, RULE_TEXT);
        }
        let headline = format!("a push to {branch} reaches users without orca");
        let finding = Finding {
            fingerprint: "push".to_owned(),
            title: headline.clone(),
            place: Some(branch.clone()),
            value: 1,
            unit: Unit::Count,
            next: seen.remedy.clone(),
        };
        Judgement::fail(headline, RULE_TEXT, finding)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    #[test]
    fn only_a_push_that_reaches_users_is_a_bypass() {
        for (branch, reaches_users, verdict) in [
            (Some("main"), true, Verdict::Fail),
            (Some("main"), false, Verdict::Pass),
            (None, true, Verdict::Pass),
        ] {
            let branch = branch.map(str::to_owned);
            let seen = Pushed { branch, reaches_users, remedy: "switch it off".to_owned() };
            let judged = BypassCheck::judge(&(), &seen);
            assert_eq!(judged.verdict, verdict, "{seen:?}");
            assert!(verdict == Verdict::Pass || judged.findings[0].next == "switch it off");
        }
    }
}
