//! SQL as text: tokens, statements and places in a file. Knows Postgres's lexical rules and nothing
//! of what statements mean.

pub(crate) mod place;
pub(crate) mod script;
pub(crate) mod source;
pub(crate) mod statement;
pub(crate) mod token;
