//! Releases: the next version, its changelog and notes, and the plan of its tag.
//! Knows commits and tags through its port; knows no git, no platform and no ledger.

pub(crate) mod calendar;
pub(crate) mod calendar_text;
pub(crate) mod candidate;
pub(crate) mod changelog;
mod changelog_section;
pub(crate) mod commits;
pub(crate) mod conventional;
pub(crate) mod notes;
pub(crate) mod ports;
pub(crate) mod trust_change;
pub(crate) mod version;
pub(crate) mod version_files;
mod wording;
