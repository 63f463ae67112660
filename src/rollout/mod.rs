//! The pure machine that moves traffic stage by stage, or back.

pub(crate) mod ports;
