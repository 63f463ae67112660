//! Remembering: an append-only, hash-chained record that lives in the git repository itself.

pub(crate) mod advance;
pub(crate) mod back;
pub(crate) mod chain;
mod draft;
pub(crate) mod entry;
pub(crate) mod environment;
pub(crate) mod fold;
pub(crate) mod lease;
mod leasing;
mod pause;
pub(crate) mod ports;
pub(crate) mod reconcile;
mod same_platform;
pub(crate) mod sign;
pub(crate) mod restore;
mod rollout_entry;
pub(crate) mod sentence;
pub(crate) mod store;
pub(crate) mod story;
pub(crate) mod unsound;
pub(crate) mod validate;

#[cfg(test)]
pub(crate) mod fixture;
