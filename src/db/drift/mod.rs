//! A target that is not what its migrations make: differences, each as the SQL that would say it.

pub(crate) mod difference;
pub(crate) mod platform;
pub(crate) mod statement;
