//! Versions, changelog and notes from conventional commits.
