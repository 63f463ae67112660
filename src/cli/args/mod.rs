//! The verbs: each has its own file with its arguments and what it does with them.

pub(crate) mod canary;
pub(crate) mod canary_again;
pub(crate) mod canary_judge;
pub(crate) mod canary_start;
pub(crate) mod completions;
pub(crate) mod demo;
pub(crate) mod evidence;
pub(crate) mod evidence_generate;
pub(crate) mod evidence_show;
pub(crate) mod evidence_verify;
pub(crate) mod explain;
pub(crate) mod init;
pub(crate) mod man;
pub(crate) mod preflight;
pub(crate) mod promote;
pub(crate) mod release;
pub(crate) mod release_status;
pub(crate) mod release_tag;
pub(crate) mod rollback;
pub(crate) mod router;
pub(crate) mod schema;
pub(crate) mod slo;
pub(crate) mod slo_explain;
pub(crate) mod slo_judge;
