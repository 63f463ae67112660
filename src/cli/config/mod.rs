//! `orca.yaml`: read strictly, resolved once, with the origin of every value.

mod blackout;
pub(crate) mod deploy;
pub(crate) mod exec;
pub(crate) mod mend;
pub(crate) mod origin;
pub(crate) mod raw;
pub(crate) mod resolve;
pub(crate) mod smoke;
pub(crate) mod stages;
pub(crate) mod tracks;
pub(crate) mod triggers;
pub(crate) mod trust;
