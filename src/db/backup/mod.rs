//! Backups that are proved: what a database held at one moment, written beside its dump, and compared
//! with what a restore brings back. Databases are met through the ports of [`super::shadow`].

pub(crate) mod compare;
pub(crate) mod facts;
pub(crate) mod manifest;
pub(crate) mod verdict;
