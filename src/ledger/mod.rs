//! Remembering: an append-only, hash-chained record that lives in the git repository itself.

pub(crate) mod entry;
