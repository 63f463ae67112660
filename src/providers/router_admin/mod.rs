//! The admin API of `orca router`, called from the outside.

mod client;

pub(crate) use client::{RouterAdmin, RouterAdminError};
