//! `env sync`: the variables of a file become those of a hosted environment, by key and never shown.

mod change;
mod run;

pub(crate) use change::{Change, Kind};
pub(crate) use run::{EnvSync, Hosted, Set, SyncError, Unset, Variables, VariablesError};
