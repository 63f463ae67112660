//! What a database is made of, as lines that can be compared and hashed.

pub(crate) mod canonical;
pub(crate) mod lines;
