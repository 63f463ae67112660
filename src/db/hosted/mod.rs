//! A project on a hosted Supabase: what it says of its health, backups, keys and roles, judged.

pub(crate) mod finding;
pub(crate) mod ports;
pub(crate) mod project;
pub(crate) mod roles;
