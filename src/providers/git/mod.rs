//! git: objects through libgit2, everything that needs the user's set-up through their own `git`.

pub(crate) mod command;
pub(crate) mod release;
