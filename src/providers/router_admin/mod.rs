//! The admin API of `orca router`, called from the outside.

mod client;
mod platform;

pub(crate) use client::RouterAdmin;
pub(crate) use platform::RouterPlatform;

#[cfg(test)]
mod tests;
