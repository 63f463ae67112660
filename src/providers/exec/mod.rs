//! `platform: exec`: the user's own commands move the traffic. JSON in, JSON out.

mod answers;
mod asking;
mod command;
pub(crate) mod contract;
mod platform;

pub(crate) use command::Surroundings;
pub(crate) use platform::{Commands, ExecPlatform};

#[cfg(test)]
mod tests;
