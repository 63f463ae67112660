//! `gates.smoke`: smoke tests as a gate of their own, before the load gate.

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::{GateConfig, Source};
use crate::base::units::Micros;
use crate::base::yaml::{InputError, Spanned};
use crate::gate::ruling::Mode;

/// What the gate of smoke tests can be told; `{}` runs all of `synthetics/*.http`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSmoke {
    #[serde(default)]
    pub(crate) mode: Mode,
    #[schemars(with = "Option<String>")]
    pub(crate) max_age: Option<Spanned<String>>,
    /// Only tests that are marked `# @critical`; `false` unless said.
    #[serde(default)]
    pub(crate) critical: bool,
    /// Whether a test that passes only after a retry fails; `false` unless said.
    #[serde(default)]
    pub(crate) strict: bool,
    /// An environment of `http-client.env.json`.
    pub(crate) env: Option<String>,
    /// The one for what serves production: after a rollback, and for a standby.
    pub(crate) production_env: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct SmokeConfig {
    pub(crate) gate: GateConfig,
    pub(crate) critical: bool,
    pub(crate) strict: bool,
    pub(crate) env: Option<String>,
    pub(crate) production_env: Option<String>,
}

pub(super) fn resolve(
    raw: RawSmoke,
    source: &Source<'_>,
    default: Micros,
) -> Result<SmokeConfig, InputError> {
    let max_age = source.unit_or(raw.max_age.as_ref(), default)?;
    let gate = GateConfig { mode: raw.mode, max_age };
    let RawSmoke { critical, strict, env, production_env, .. } = raw;
    Ok(SmokeConfig { gate, critical, strict, env, production_env })
}
