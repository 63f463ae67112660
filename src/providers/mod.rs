//! The outside world, one folder each, behind the ports that the domains state.

pub(crate) mod exec;
pub(crate) mod front;
pub(crate) mod git;
pub(crate) mod http;
pub(crate) mod postgres;
pub(crate) mod prometheus;
pub(crate) mod router_admin;
pub(crate) mod supabase;
pub(crate) mod vercel;
