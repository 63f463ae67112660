//! What every room stands on: time, identity, units, limits, digests, secrets, safe files.
//! Knows nothing of gates, ledgers or releases.

pub(crate) mod atomic_file;
pub(crate) mod bucket;
pub(crate) mod call_made;
pub(crate) mod clock;
pub(crate) mod crash_point;
pub(crate) mod dial;
pub(crate) mod digest;
pub(crate) mod dotenv;
pub(crate) mod dsse;
pub(crate) mod histogram;
pub(crate) mod ids;
pub(crate) mod json_path;
pub(crate) mod limits;
pub(crate) mod redact;
pub(crate) mod retry;
pub(crate) mod secret_shapes;
pub(crate) mod tls;
pub(crate) mod units;
pub(crate) mod visits;
pub(crate) mod yaml;
pub(crate) mod yaml_tree;
