//! The pure machine that moves traffic stage by stage, or back.

pub(crate) mod identity;
pub(crate) mod ports;
pub(crate) mod ready;
