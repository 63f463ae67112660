//! A check has two halves. `observe` touches the world and returns plain data; `judge` is pure:
//! no self, no clock, no I/O, so the same data gives the same answer on any machine.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::verdict::{Cause, Judgement};
use crate::base::ids::CheckId;
use crate::base::limits;

/// What can be drawn of an exhibit, without knowing its domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Series {
    pub(crate) title: String,
    /// What this line is: `base`, `canary`, `p95`.
    pub(crate) name: String,
    pub(crate) x_unit: String,
    pub(crate) y_unit: String,
    pub(crate) points: Vec<(i64, i64)>,
}

/// Names a rule for ever: judging an old exhibit needs the rule that judged it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleId {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
}

/// What only one check at a time may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Resource {
    /// Measuring time: nothing else that measures may run beside it.
    Timing,
}

/// Why the world could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail}", cause.text())]
pub(crate) struct Unseen {
    pub(crate) cause: Cause,
    pub(crate) detail: String,
    /// What to do about it.
    pub(crate) next: String,
}

impl Unseen {
    pub(crate) fn new(cause: Cause, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self { cause, detail: detail.into(), next: next.into() }
    }
}

/// What an observing check is given.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Set when the run is being stopped; a check that owns children ends them.
    pub(crate) cancel: CancellationToken,
    /// Lines of progress for people.
    pub(crate) progress: super::engine::Progress,
}

/// One thing that can be looked at and judged.
pub(crate) trait Check: Send + Sync + 'static {
    /// The limits. They go into the exhibit, so that it can be judged again by itself.
    type Policy: Serialize + DeserializeOwned + Send + Sync;
    /// What was seen: plain data, numbers as integers.
    type Seen: Serialize + DeserializeOwned + Send;

    const RULE: RuleId;

    /// `domain.noun`; the page `docs/checks/<id>.md` describes it.
    fn id(&self) -> CheckId;

    fn policy(&self) -> Self::Policy;

    /// Looks at the world. The future may be dropped at any await.
    fn observe(&self, look: &Look) -> impl Future<Output = Result<Self::Seen, Unseen>> + Send;

    /// Judges. Pure.
    fn judge(policy: &Self::Policy, seen: &Self::Seen) -> Judgement;

    /// What can be drawn of it.
    fn chart(_policy: &Self::Policy, _seen: &Self::Seen) -> Vec<Series> {
        Vec::new()
    }

    fn timeout(&self) -> Duration {
        limits::CHECK
    }

    fn exclusive(&self) -> &'static [Resource] {
        &[]
    }
}

/// What an erased check brings back: its policy and what it saw, as JSON.
pub(crate) type Seen = Result<serde_json::Value, Unseen>;

/// [`Check`] without its types, so that a gate can hold many.
pub(crate) trait ErasedCheck: Send + Sync + 'static {
    fn id(&self) -> CheckId;
    fn rule(&self) -> RuleId;
    fn policy(&self) -> serde_json::Value;
    fn observe<'a>(&'a self, look: &'a Look) -> Pin<Box<dyn Future<Output = Seen> + Send + 'a>>;
    fn timeout(&self) -> Duration;
    fn exclusive(&self) -> &'static [Resource];
}

impl<C: Check> ErasedCheck for C {
    fn id(&self) -> CheckId {
        Check::id(self)
    }

    fn rule(&self) -> RuleId {
        C::RULE
    }

    fn policy(&self) -> serde_json::Value {
        serde_json::to_value(Check::policy(self)).expect("a policy is plain data")
    }

    fn observe<'a>(&'a self, look: &'a Look) -> Pin<Box<dyn Future<Output = Seen> + Send + 'a>> {
        Box::pin(async move {
            let seen = Check::observe(self, look).await?;
            Ok(serde_json::to_value(seen).expect("what a check saw is plain data"))
        })
    }

    fn timeout(&self) -> Duration {
        Check::timeout(self)
    }

    fn exclusive(&self) -> &'static [Resource] {
        Check::exclusive(self)
    }
}
