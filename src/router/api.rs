//! What the admin API reads and writes. The client in `providers/router_admin` uses these types.
//! Weights are basis points; times are microseconds since 1970.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::units::{Micros, Weight};

use super::lowered::Lowering;
use super::state::{Audience, RouterState, Upstream};

pub(crate) const STATE_SCHEMA: &str = "orca.router-admin-state/v1";
pub(crate) const ERROR_SCHEMA: &str = "orca.router-admin-error/v1";

/// `POST /stage`: names the candidate at weight zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageRequest {
    pub(crate) canary: Upstream,
    pub(crate) release: String,
    #[serde(default)]
    pub(crate) audience: Audience,
    pub(crate) expect_generation: u64,
    pub(crate) epoch: u64,
}

/// `POST /raise`: more weight for `grant_us` from now, by the router's clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RaiseRequest {
    pub(crate) weight: Weight,
    /// At most 24 h.
    #[schemars(with = "u64")]
    pub(crate) grant_us: Micros,
    pub(crate) expect_generation: u64,
    pub(crate) epoch: u64,
}

/// `POST /renew`: the grant lasts for `grant_us` from now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenewRequest {
    pub(crate) epoch: u64,
    #[schemars(with = "u64")]
    pub(crate) grant_us: Micros,
}

/// `POST /lower`: less weight, unconditionally.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LowerRequest {
    pub(crate) weight: Weight,
}

/// `POST /promote`: the canary becomes the base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromoteRequest {
    pub(crate) expect_generation: u64,
    pub(crate) epoch: u64,
}

/// `POST /revert`: everything to the base. An empty body says the same, and neither who nor why.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RevertRequest {
    #[serde(default)]
    pub(crate) by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) how: Option<Lowering>,
}

/// `POST /previous`: everything to `to`, or to the base before the last promotion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviousRequest {
    #[serde(default)]
    pub(crate) to: Option<Upstream>,
    #[serde(default)]
    pub(crate) by: Option<String>,
}

/// `POST /close`: users get a page of the router's own, or a version again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CloseRequest {
    pub(crate) closed: bool,
}

/// What health checks last saw; nothing before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpstreamHealth {
    pub(crate) base: Option<bool>,
    pub(crate) canary: Option<bool>,
}

/// The answer to `GET /state` and to every change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateAnswer {
    pub(crate) schema: String,
    pub(crate) state: RouterState,
    pub(crate) health: UpstreamHealth,
    pub(crate) draining: bool,
    /// False while the state file may say something else than what is served.
    pub(crate) persisted: bool,
    /// How long ago `state.lowered` was, by the router's own clock; with it alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lowered_us_ago: Option<u64>,
}

/// The answer to a call that changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ErrorAnswer {
    pub(crate) schema: String,
    pub(crate) code: String,
    pub(crate) message: String,
    /// The state as it is, for callers that may see it.
    pub(crate) state: Option<RouterState>,
}
