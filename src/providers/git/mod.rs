//! git: objects through libgit2, everything that needs the user's set-up through their own `git`.

pub(crate) mod command;
pub(crate) mod release;
mod durable;
mod entry_cache;
mod heads;
#[cfg(test)]
mod ledger_tests;
mod lock;
pub(crate) mod migrations;
pub(crate) mod objects;
mod remote;
pub(crate) mod state_folder;
