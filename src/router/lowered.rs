//! What took users back last. A rollback that does not know whether a canary or a release was left
//! asks for it: after one rollback the next stays, after an abort the base is still in question.
//!
//! A state without it was written by an older router, or lowered by somebody who did not say why:
//! nobody knows then which of the two it was.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::state::RouterState;
use crate::base::clock::Timestamp;
use crate::base::units::Weight;

/// Why users went back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Lowering {
    /// A rollback, by a person or by a judged breach: users are where it sent them.
    RolledBack,
    /// Only the canary was taken back: an abort, or an end without a verdict.
    Withdrawn,
    /// Nobody renewed the grant of the canary.
    GrantEnded,
}

/// The last time that users went back; forgotten with the next staging or raise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lowered {
    pub(crate) how: Lowering,
    pub(crate) at: Timestamp,
}

/// Whoever lowers, and why, as far as they say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) how: Option<Lowering>,
    pub(crate) by: Option<&'a str>,
}

impl RouterState {
    /// All traffic to base, as [`RouterState::revert`], and why. What takes nobody back changes
    /// nothing of what is remembered, unless it is a rollback: after one the next stays.
    pub(crate) fn revert_as(&self, asked: Asked<'_>, now: Timestamp) -> Self {
        let before = self.tick(now).unwrap_or_else(|| self.clone());
        let next = before.revert();
        let is_back = before.suspended || before.lowered.is_some();
        let takes_back = before.weight != Weight::ZERO || !is_back;
        match asked.how {
            Some(how) if takes_back || how == Lowering::RolledBack => {
                Self { lowered: Some(Lowered { how, at: now }), ..next.lowered_by(asked.by) }
            }
            None if takes_back => next.lowered_by(asked.by),
            _ => next,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::upstream;
    use super::super::state::{Audience, Expected, Staging};
    use super::*;
    use crate::base::units::Micros;

    const GRANT: Micros = Micros(100);

    fn at(us: i64) -> Timestamp {
        Timestamp::from_us(us)
    }

    fn raised() -> RouterState {
        let start = RouterState::all_base(upstream("one"));
        let seen =
            |state: &RouterState| Expected { generation: state.generation, epoch: state.epoch };
        let staging = Staging {
            canary: upstream("two"),
            release: "v1".into(),
            audience: Audience::default(),
        };
        let staged = start.stage(staging, seen(&start)).unwrap();
        let weight = Weight::from_basis_points(500).unwrap();
        staged.raise(weight, GRANT, seen(&staged), at(0)).unwrap()
    }

    fn ana(how: Option<Lowering>) -> Asked<'static> {
        Asked { how, by: Some("ana") }
    }

    #[test]
    fn what_took_users_back_is_remembered_until_the_next_staging() {
        use Lowering::{GrantEnded, RolledBack, Withdrawn};
        let known = |state: &RouterState| state.lowered.map(|lowered| (lowered.how, lowered.at));
        let raised = raised();
        assert_eq!(known(&raised), None);
        for (how, expected) in [
            (Some(RolledBack), Some((RolledBack, at(7)))),
            (Some(Withdrawn), Some((Withdrawn, at(7)))),
            (None, None),
        ] {
            let back = raised.revert_as(ana(how), at(7));
            assert_eq!(known(&back), expected);
            assert_eq!((back.weight, back.suspended), (Weight::ZERO, true));
            assert_eq!(back.lowered_by.as_deref(), Some("ana"));
            // An abort afterwards takes nobody back: it hides neither a rollback nor that nobody
            // knows, and it does not make an abort younger.
            let again = back.revert_as(Asked { how: Some(Withdrawn), by: Some("bob") }, at(9));
            assert_eq!((known(&again), again.lowered_by.as_deref()), (expected, Some("ana")));
            let rolled = back.revert_as(Asked { how: Some(RolledBack), by: Some("bob") }, at(9));
            assert_eq!(known(&rolled), Some((RolledBack, at(9))));
        }
        let ended = raised.tick(at(250)).unwrap();
        assert_eq!(
            known(&ended),
            Some((GrantEnded, at(100))),
            "when it ended, not when it was seen"
        );
        let aborted = ended.revert_as(ana(Some(Withdrawn)), at(300));
        assert_eq!(known(&aborted), Some((GrantEnded, at(100))));
        let restored = raised.restore(Some(upstream("zero")), at(8)).unwrap();
        assert_eq!(known(&restored), Some((RolledBack, at(8))));
        let weight = Weight::from_basis_points(500).unwrap();
        let seen = Expected { generation: ended.generation, epoch: ended.epoch };
        assert_eq!(known(&ended.raise(weight, GRANT, seen, at(300)).unwrap()), None);
        let staging = Staging {
            canary: upstream("two"),
            release: "v2".into(),
            audience: Audience::default(),
        };
        let seen = Expected { generation: aborted.generation, epoch: aborted.epoch };
        assert_eq!(known(&aborted.stage(staging, seen).unwrap()), None);
    }
}
