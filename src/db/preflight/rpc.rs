//! `db.rpc`: whether every call to a function of the API that worked before the new migrations works after
//! them, by the API's own rule.

use std::sync::Arc;
use std::time::Duration;

use super::area::{self, Policy, Seen};
use super::room::Room;
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::Judgement;

const RULE: &str =
    "every call to a function that resolved before resolves to one function with an equal answer";

/// What the shadow shows of it.
pub(crate) struct RpcCheck {
    pub(crate) room: Arc<Room>,
    pub(crate) policy: Policy,
}

impl Check for RpcCheck {
    type Policy = Policy;
    type Seen = Seen;

    const RULE: RuleId = RuleId { name: "db.rpc", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("db.rpc").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    async fn observe(&self, _look: &Look) -> Result<Seen, Unseen> {
        let shown = self.room.shown().await?;
        Ok(shown.map_or_else(Seen::nothing, |shown| Seen::of(&shown, &shown.rpc, shown.functions)))
    }

    fn timeout(&self) -> Duration {
        self.room.timeout()
    }

    fn judge(policy: &Policy, seen: &Seen) -> Judgement {
        area::judge(policy, seen, RULE, &format!("{} functions answer as before", seen.compared))
    }
}
