//! git: objects through libgit2, everything that needs the user's set-up through their own `git`.

pub(crate) mod command;
pub(crate) mod release;
#[cfg(test)]
mod ledger_tests;
mod lock;
pub(crate) mod objects;
mod remote;
