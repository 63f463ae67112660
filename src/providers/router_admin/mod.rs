//! The admin API of `orca router`, called from the outside.

pub(crate) mod client;
#[cfg(test)]
mod tests;
