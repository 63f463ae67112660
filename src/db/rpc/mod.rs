//! The functions that the API calls, and whether calls that worked still do.

pub(crate) mod contract;
pub(crate) mod functions;
