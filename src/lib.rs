//! orca: from "looks good" to "proven in production, or safely back".

pub(crate) mod base;
pub(crate) mod gate;
