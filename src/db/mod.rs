//! What a migration does before production does it: SQL is read, linted and replayed. Knows text and
//! judgement only; databases are met through ports.

pub(crate) mod backup;
pub(crate) mod branch;
pub(crate) mod catalog;
pub(crate) mod drift;
pub(crate) mod hosted;
pub(crate) mod lint;
pub(crate) mod preflight;
pub(crate) mod probe;
pub(crate) mod protection;
pub(crate) mod rpc;
pub(crate) mod shadow;
pub(crate) mod sql;
