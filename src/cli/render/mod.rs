//! A report or a failure as people, machines and GitHub Actions read it.

pub(crate) mod gates;
pub(crate) mod github;
pub(crate) mod human;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod load_exports;
pub(crate) mod load_report;
pub(crate) mod plan;
pub(crate) mod sarif;
pub(crate) mod smoke;
pub(crate) mod table;
