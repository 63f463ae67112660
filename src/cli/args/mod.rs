//! The verbs: each has its own file with its arguments and what it does with them.

pub(crate) mod canary;
pub(crate) mod canary_judge;
pub(crate) mod completions;
pub(crate) mod explain;
pub(crate) mod man;
pub(crate) mod router;
pub(crate) mod schema;
pub(crate) mod slo;
pub(crate) mod slo_explain;
pub(crate) mod slo_judge;
