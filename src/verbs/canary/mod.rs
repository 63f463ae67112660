//! A canary, driven: the pure machine of [`crate::rollout::machine`] says what to do, and this
//! room does it: ledger first, then the platform, then the ledger again.

pub(crate) mod abort;
pub(crate) mod acts;
pub(crate) mod again;
mod began;
pub(crate) mod clear;
pub(crate) mod drive;
mod end;
mod health;
pub(crate) mod judging;
mod refusals;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod watch;
