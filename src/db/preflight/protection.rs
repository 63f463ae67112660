//! `db.protection`: whether the new migrations take protection away or open a door: row level security, policies,
//! grants, functions that run as their owner, views that read as theirs.

use std::sync::Arc;
use std::time::Duration;

use super::area::{self, Policy, Seen};
use super::room::Room;
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::Judgement;

const RULE: &str = "no new migration takes protection away or opens a door";

/// What the shadow shows of it.
pub(crate) struct ProtectionCheck {
    pub(crate) room: Arc<Room>,
    pub(crate) policy: Policy,
}

impl Check for ProtectionCheck {
    type Policy = Policy;
    type Seen = Seen;

    const RULE: RuleId = RuleId { name: "db.protection", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("db.protection").expect("a constant id is valid")
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    async fn observe(&self, _look: &Look) -> Result<Seen, Unseen> {
        let shown = self.room.shown().await?;
        Ok(shown.map_or_else(Seen::nothing, |shown| Seen::of(&shown, &shown.protection, 0)))
    }

    fn timeout(&self) -> Duration {
        self.room.timeout()
    }

    fn judge(policy: &Policy, seen: &Seen) -> Judgement {
        area::judge(policy, seen, RULE, "nothing was lost and no door opened")
    }
}
