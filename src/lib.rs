//! orca: from "looks good" to "proven in production, or safely back".
//!
//! Modules stand in layer order: each may use only what stands above it. `tests/tidy.rs` holds
//! them to it, and `docs/ARCHITECTURE.md` draws the picture.

pub(crate) mod base;
pub(crate) mod gate;
pub(crate) mod ledger;
pub(crate) mod plan;
pub(crate) mod slo;
pub(crate) mod load;
pub(crate) mod release;
pub(crate) mod rollout;
pub(crate) mod router;
pub(crate) mod db;
pub(crate) mod smoke;
pub(crate) mod evidence;
pub(crate) mod verbs;
pub(crate) mod providers;
pub(crate) mod cli;

#[cfg(any(fuzzing, test))]
pub use cli::fuzz;
pub use cli::run::run;
