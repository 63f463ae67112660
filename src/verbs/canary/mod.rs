//! A canary, driven: the pure machine of [`crate::rollout::machine`] says what to do, and this
//! room does it: ledger first, then the platform, then the ledger again.

pub(crate) mod abort;
pub(crate) mod advance;
pub(crate) mod acts;
pub(crate) mod again;
mod asked;
mod began;
pub(crate) mod clear;
pub(crate) mod drive;
mod end;
mod foreign;
pub(crate) mod health;
mod judged;
pub(crate) mod judging;
pub(crate) mod once;
pub(crate) mod pause;
mod refusals;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod tick;
mod waiting;
pub(crate) mod watch;
