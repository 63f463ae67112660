//! Arguments, configuration, wiring and rendering: the only layer that talks to people.

pub(crate) mod args;
pub(crate) mod command;
pub(crate) mod config;
pub(crate) mod context;
pub(crate) mod demo;
pub(crate) mod env;
pub(crate) mod exit;
pub(crate) mod explain;
pub(crate) mod failure;
pub(crate) mod failures;
mod failures_deploy;
#[cfg(any(fuzzing, test))]
pub mod fuzz;
mod last_final;
pub(crate) mod render;
pub(crate) mod report;
pub(crate) mod rules;
pub(crate) mod run;
pub(crate) mod schema;
#[cfg(test)]
mod simulation;
pub(crate) mod wire;
pub(crate) mod wire_back;
pub(crate) mod wire_canary;
pub(crate) mod wire_db;
pub(crate) mod wire_db_backup;
pub(crate) mod wire_db_branch;
pub(crate) mod wire_db_gate;
pub(crate) mod wire_db_hosted;
pub(crate) mod wire_fleet;
pub(crate) mod wire_gates;
pub(crate) mod wire_platform;
pub(crate) mod wire_slo;
pub(crate) mod wire_smoke;
pub(crate) mod wire_standby;
pub(crate) mod wire_supabase;
pub(crate) mod wire_trust;
