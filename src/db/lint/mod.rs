//! The linter: squawk's rules and orca's own, waivers in the file, and what spans several files.
//! Pure: files are read by [`crate::db::sql::source`].

pub(crate) mod catalogue;
pub(crate) mod finding;
pub(crate) mod lint_file;
pub(crate) mod lint_files;
pub(crate) mod rules;
pub(crate) mod squawk;
pub(crate) mod waiver;
