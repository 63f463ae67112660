//! The verbs: each has its own file with its arguments and what it does with them.

pub(crate) mod completions;
pub(crate) mod evidence;
pub(crate) mod evidence_show;
pub(crate) mod evidence_verify;
pub(crate) mod explain;
pub(crate) mod man;
pub(crate) mod router;
pub(crate) mod schema;
