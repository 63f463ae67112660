//! What guards rows: row level security, policies, grants, definer functions, views. Compared before
//! and after each migration, because some statements take protection away without a word.

pub(crate) mod diff;
pub(crate) mod lints;
pub(crate) mod snapshot;
