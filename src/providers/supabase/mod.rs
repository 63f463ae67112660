//! The Management API of Supabase. It is asked what it knows, for restore points and for nothing that
//! restores: a restore there is in place, over what serves users.

mod answers;
mod branches;
mod client;

pub(crate) use client::{Management, is_safe_url};
