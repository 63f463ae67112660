//! `canary.users`: what real users got from both versions during a stage.

use std::sync::Arc;

use super::arms::{self, ArmsPolicy};
use super::ports::{Measures, Platform, Samples};
use super::samples::{Source, StageSeen};
use super::throughput;
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Series, Unseen};
use crate::gate::verdict::{Cause, Judgement};

/// Takes what came since the stage began.
pub(crate) struct UsersCheck {
    pub(crate) platform: Arc<dyn Platform>,
    /// The snapshot at the beginning of the stage; without one nothing can be said of it.
    pub(crate) began: Option<Samples>,
    /// The snapshot of a minute ago, where triggers look at that.
    pub(crate) recent: Option<Samples>,
    /// The stage as it was looked at last.
    pub(crate) looked: Option<StageSeen>,
    pub(crate) policy: ArmsPolicy,
}

impl Check for UsersCheck {
    type Policy = ArmsPolicy;
    type Seen = StageSeen;
    const RULE: RuleId = RuleId { name: "canary.users", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("canary.users").expect("a constant id")
    }

    fn policy(&self) -> ArmsPolicy {
        self.policy.clone()
    }

    async fn observe(&self, _: &Look) -> Result<StageSeen, Unseen> {
        if self.platform.capabilities().measures == Measures::Nothing {
            return Ok(StageSeen::uncounted());
        }
        let began = self.began.as_ref().ok_or_else(|| {
            let text = "the beginning of the stage was not measured";
            Unseen::new(Cause::NoData, text, "the stage holds until it can be measured")
        })?;
        let now = self.platform.samples().await.map_err(|error| {
            let next = "see whether the platform answers";
            Unseen::new(Cause::Unobserved, error.to_string(), next)
        })?;
        let seen = StageSeen::between(began, &now, Source::Users);
        let seen = seen.with_recent(self.recent.as_ref(), &now, Source::Users);
        Ok(seen.or_who_came(self.looked.as_ref(), self.policy.weight))
    }

    fn judge(policy: &ArmsPolicy, seen: &StageSeen) -> Judgement {
        if seen.uncounted {
            let text = "the platform does not count users per version; paired load decides";
            return Judgement::not_applicable(text, "canary.users v1");
        }
        let none = seen.canary.requests == 0;
        // Watched for breach alone: nobody came, so nobody was hurt, unless they should have come.
        if none && !policy.decides {
            let passed = || {
                let text = "no user reached the new version";
                Judgement::pass(text, "watched for breach alone")
            };
            let judged = arms::live_breach(policy, seen, "users").unwrap_or_else(passed);
            return throughput::told(policy, seen, "users", judged);
        }
        arms::judge(policy, seen, "users")
    }

    fn chart(_policy: &ArmsPolicy, seen: &StageSeen) -> Vec<Series> {
        arms::chart(seen, "latency of users, base and canary")
    }
}
