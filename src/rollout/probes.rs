//! `canary.probes`: what synthetic requests got from both versions during a stage. Never pooled with users.

use std::sync::Arc;

use super::arms::{self, ArmsPolicy};
use super::ports::{Platform, Samples};
use super::samples::{Source, StageSeen};
use super::tally::Tally;
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Series, Unseen};
use crate::gate::verdict::{Cause, Judgement};

/// Takes what came since the stage began.
pub(crate) struct ProbesCheck {
    pub(crate) counted: Counted,
    pub(crate) policy: ArmsPolicy,
}

/// Who counted the probes.
pub(crate) enum Counted {
    /// The platform, since this snapshot at the beginning of the stage; without one nothing can be
    /// said of it.
    ByPlatform(Arc<dyn Platform>, Option<Box<Samples>>),
    /// The load itself, where the platform counts nothing; nothing where none runs.
    ByLoad(Option<Tally>),
}

impl Check for ProbesCheck {
    type Policy = ArmsPolicy;
    type Seen = StageSeen;
    const RULE: RuleId = RuleId { name: "canary.probes", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("canary.probes").expect("a constant id")
    }

    fn policy(&self) -> ArmsPolicy {
        self.policy.clone()
    }

    async fn observe(&self, _: &Look) -> Result<StageSeen, Unseen> {
        let unmeasured = || {
            let text = "the beginning of the stage was not measured";
            Unseen::new(Cause::NoData, text, "the stage holds until it can be measured")
        };
        let (platform, began) = match &self.counted {
            Counted::ByLoad(tally) => {
                return tally.as_ref().map(Tally::seen).ok_or_else(unmeasured);
            }
            Counted::ByPlatform(platform, began) => (platform, began),
        };
        let began = began.as_ref().ok_or_else(unmeasured)?;
        let now = platform.samples().await.map_err(|error| {
            let next = "see whether the platform answers";
            Unseen::new(Cause::Unobserved, error.to_string(), next)
        })?;
        Ok(StageSeen::between(began, &now, Source::Probes))
    }

    fn judge(policy: &ArmsPolicy, seen: &StageSeen) -> Judgement {
        if seen.canary.requests == 0 && !policy.decides {
            return Judgement::not_applicable("no probe was sent", "canary.probes v1");
        }
        arms::judge(policy, seen, "probes")
    }

    fn chart(_policy: &ArmsPolicy, seen: &StageSeen) -> Vec<Series> {
        arms::chart(seen, "latency of probes, base and canary")
    }
}
