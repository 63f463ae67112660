//! What took users back last, in a rollout's words.

use crate::base::units::Micros;

/// Why users go back, or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lowering {
    /// A rollback, by a person or by a judged breach: the next one stays where it went.
    RolledBack,
    /// Only the canary is taken back, without a verdict: of the base nothing is said.
    Withdrawn,
    /// Nobody renewed the canary's grant: the platform took it back by itself.
    GrantEnded,
}

/// The last time that users went back since a canary was staged or raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lowered {
    pub(crate) how: Lowering,
    /// By the platform's own clock.
    pub(crate) ago: Micros,
}
