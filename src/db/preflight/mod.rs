//! The gate before anything is deployed: the migrations of a release, linted, replayed on a shadow
//! and compared with what databases already have. One look at the project and one at the shadow
//! serve every check.

pub(crate) mod area;
pub(crate) mod history;
pub(crate) mod lint;
pub(crate) mod ports;
pub(crate) mod project;
pub(crate) mod protection;
pub(crate) mod room;
pub(crate) mod rpc;
pub(crate) mod shadow;
