//! `deploy`: by what a standby is judged, and how long things may take.

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Source;
use crate::base::units::{BasisPoints, Micros};
use crate::base::yaml::{InputError, Spanned};

/// The criteria of a blue/green deployment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDeploy {
    /// The path that answers 200 when all is well; `/api/health` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) health: Option<Spanned<String>>,
    /// Share of requests that the standby answers at all, at least; `99.5%` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) uptime: Option<Spanned<String>>,
    /// Share of failed requests, at most; `1%` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) errors: Option<Spanned<String>>,
    /// `500ms` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) p95: Option<Spanned<String>>,
    /// `1s` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) p99: Option<Spanned<String>>,
    /// Fewer requests decide nothing; 100 unless said.
    pub(crate) min_requests: Option<u64>,
    /// How long a build may take; `30m` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) build_within: Option<Spanned<String>>,
    /// How long open requests have to end on the version before; `60s` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) drain: Option<Spanned<String>>,
}

#[derive(Debug, Clone)]
pub(crate) struct DeployConfig {
    pub(crate) health: String,
    pub(crate) uptime: BasisPoints,
    pub(crate) errors: BasisPoints,
    pub(crate) p95: Micros,
    pub(crate) p99: Micros,
    pub(crate) min_requests: u64,
    pub(crate) build_within: Micros,
    pub(crate) drain: Micros,
}

pub(super) fn resolve(raw: &RawDeploy, source: &Source<'_>) -> Result<DeployConfig, InputError> {
    let health = match &raw.health {
        None => "/api/health".to_owned(),
        Some(path) if path.value.starts_with('/') && !path.value.contains(char::is_whitespace) => {
            path.value.clone()
        }
        Some(path) => {
            return Err(source
                .error(path, format!("'{}' is not a path", path.value))
                .suggest("write it from the root: /api/health"));
        }
    };
    let span = |raw: &Option<Spanned<String>>, default| source.unit_or(raw.as_ref(), default);
    let config = DeployConfig {
        health,
        uptime: source.unit_or(raw.uptime.as_ref(), BasisPoints(9_950))?,
        errors: source.unit_or(raw.errors.as_ref(), BasisPoints(100))?,
        p95: span(&raw.p95, Micros::from_millis(500))?,
        p99: span(&raw.p99, Micros::from_secs(1))?,
        min_requests: raw.min_requests.unwrap_or(100).max(1),
        build_within: span(&raw.build_within, Micros::from_secs(1_800))?,
        drain: span(&raw.drain, Micros::from_secs(60))?,
    };
    let in_bounds =
        |raw: &Option<Spanned<String>>, value: Micros, (low, high): (Micros, Micros)| match raw {
            Some(raw) if !(low..=high).contains(&value) => {
                Err(source.error(raw, format!("{value} is not between {low} and {high}")))
            }
            _ => Ok(()),
        };
    let answer = (Micros::from_millis(1), Micros::from_secs(60));
    in_bounds(&raw.p95, config.p95, answer)?;
    in_bounds(&raw.p99, config.p99, answer)?;
    let build = (Micros::from_secs(1), Micros::from_secs(6 * 3_600));
    in_bounds(&raw.build_within, config.build_within, build)?;
    in_bounds(&raw.drain, config.drain, (Micros(0), Micros::from_secs(3_600)))?;
    Ok(config)
}
