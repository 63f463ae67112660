//! Acting: ordered steps, each with apply, verify and an expected duration, taken back where that
//! makes sense. A plan prints itself before it runs, and writes to the ledger around every step.

pub(crate) mod executor;
pub(crate) mod journal;
pub(crate) mod step;
