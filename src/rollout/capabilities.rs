//! What a platform says of itself before anything is asked of it.

use crate::base::units::Micros;

/// What a platform can do, so that a plan it cannot carry out is refused at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub(crate) weights: Weights,
    /// Whether a weight falls back to base by itself unless it is renewed.
    pub(crate) holds_grant: bool,
    /// What it counts of each arm's answers.
    pub(crate) measures: Measures,
    /// What keeps a user on one version, in words: `cookie or x-user-id`.
    pub(crate) stickiness: String,
    /// Where the split is kept, in words: `router at 127.0.0.1:9000`.
    pub(crate) state_holder: String,
    /// What going back costs, in words: `one call, under a second`.
    pub(crate) abort_cost: String,
}

impl Capabilities {
    /// What protects users should the process that watches a canary die.
    pub(crate) fn when_orca_dies(&self, grant: Micros) -> String {
        if self.holds_grant {
            return format!("users are back on base within {grant}, by the platform itself");
        }
        format!(
            "nothing moves by itself: {} keeps the weight until `orca canary abort` runs, so let a \
             guard job run it",
            self.state_holder
        )
    }
}

/// What a platform counts of each arm's answers. What it does not count, paired load counts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Measures {
    Nothing,
    Users,
    UsersAndProbes,
}

/// Which weights a platform can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Weights {
    /// Every step of 0.01 %.
    Any,
    /// Whole percents.
    WholePercent,
    /// Nothing between none and all.
    AllOrNothing,
}
