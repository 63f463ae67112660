//! orca as its users meet it: the binary, run in a closed world.

#![expect(clippy::disallowed_methods, reason = "tests make files and wait by the real clock")]

#[path = "../support/mod.rs"]
mod support;

mod bad_luck;
mod broken_config;
mod canary_advance;
mod canary_pause;
mod canary_status;
mod canary_tick;
mod canary_track;
mod command_line;
mod db_backup;
mod db_branch;
mod contract;
mod db_drift;
mod db_footprint;
mod db_gate;
mod db_lint;
mod db_probe;
mod db_protection;
mod db_shadow;
mod db_supabase;
mod evidence;
mod forged;
mod freeze;
mod hostile_files;
mod ledger;
mod ledger_race;
mod load;
mod maintenance;
mod platform_kubernetes;
mod platform_nginx;
mod promote;
mod release;
mod rollback;
mod router;
mod secrets;
mod ship;
mod slo;
mod smoke;
mod slo_load;
mod slo_prometheus;
mod slo_vercel;
mod story_a;
mod story_b;
mod story_c;
mod story_d;
mod story_e;
mod story_g;
mod story_h;
mod story_k;
mod story_l;
mod unattended;
mod vercel_blue_green;
mod vercel_canary;
mod vercel_checks;
mod vercel_env;
mod vercel_trouble;
mod waiver;
mod watch;
mod world;
