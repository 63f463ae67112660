//! The verbs: each has its own file with its arguments and what it does with them.

pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod load;
pub(crate) mod man;
pub(crate) mod router;
pub(crate) mod sample_service;
pub(crate) mod schema;
