//! Going back: where to ([`target`]), and the way there ([`run`]).

mod meant;
mod old_ledger;
mod plan;
mod run;
mod target;

pub(crate) use plan::planned;
pub(crate) use run::{Back, Rollback};
pub(crate) use target::{BackError, Target};

#[cfg(test)]
mod taken_back_tests;
#[cfg(test)]
mod tests;
