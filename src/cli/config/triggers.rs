//! What brings users back at once, as `orca.yaml` says it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Source;
use crate::base::units::{BasisPoints, Micros};
use crate::base::yaml::{InputError, Spanned};
use crate::rollout::triggers::Triggers;

/// Beside the error limit of the manifest, which always acts at once.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTriggers {
    /// More failures than this among the requests of the last minute, beyond doubt; such as `5%`.
    #[schemars(with = "Option<String>")]
    pub(crate) error_rate: Option<Spanned<String>>,
    /// The canary's p95 of the last minute beyond this many percent of the base's, beyond doubt;
    /// such as 200. Above 100.
    #[schemars(with = "Option<u32>")]
    pub(crate) p95_ratio_pct: Option<Spanned<u32>>,
    /// In a stage that users reach: fewer requests on the canary than this many percent of what its
    /// weight says, beyond doubt; below 100, such as 50.
    #[schemars(with = "Option<u32>")]
    pub(crate) throughput_pct: Option<Spanned<u32>>,
    /// The same as a warning, which brings nobody back; 80 unless said, where `throughput_pct` is.
    #[schemars(with = "Option<u32>")]
    pub(crate) throughput_warn_pct: Option<Spanned<u32>>,
    /// The canary not answering, or answering 5xx, for this long; such as `5m`.
    #[schemars(with = "Option<String>")]
    pub(crate) unhealthy_for: Option<Spanned<String>>,
    /// What is asked for that; `/` unless said.
    #[schemars(with = "Option<String>")]
    pub(crate) health: Option<Spanned<String>>,
    /// In `orca watch`: fewer requests in a minute than this many percent of what both versions got
    /// beside each other; below 100, such as 50. Nights are quiet too.
    #[schemars(with = "Option<u32>")]
    pub(crate) traffic_pct: Option<Spanned<u32>>,
    /// Paths that must answer below 400, such as `/checkout`; three failures in a row bring users
    /// back.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) critical: Vec<Spanned<String>>,
}

pub(super) fn resolve(raw: &RawTriggers, source: &Source<'_>) -> Result<Triggers, InputError> {
    if let Some(ratio) = raw.p95_ratio_pct.as_ref().filter(|ratio| ratio.value <= 100) {
        let text = format!("a p95 of {} % of the base's is no reason to go back", ratio.value);
        return Err(source.error(ratio, text).suggest("p95_ratio_pct: 200"));
    }
    if let Some(traffic) = raw.traffic_pct.as_ref().filter(|at| !(1..100).contains(&at.value)) {
        let text = format!("{} % of the usual traffic is no limit", traffic.value);
        return Err(source.error(traffic, text).suggest("traffic_pct: 50"));
    }
    let (throughput_pct, throughput_warn_pct) = throughput(raw, source)?;
    let error_rate: Option<BasisPoints> = given(raw.error_rate.as_ref(), source)?;
    if let Some(at) = raw.error_rate.as_ref().filter(|_| error_rate == Some(BasisPoints(0))) {
        return Err(source.error(at, "no failure at all is no limit").suggest("error_rate: 5%"));
    }
    let unhealthy_for: Option<Micros> = given(raw.unhealthy_for.as_ref(), source)?;
    if let Some(at) = raw.unhealthy_for.as_ref().filter(|_| unhealthy_for == Some(Micros(0))) {
        let text = "a version is not unhealthy for no time";
        return Err(source.error(at, text).suggest("unhealthy_for: 5m"));
    }
    for path in raw.health.iter().chain(&raw.critical) {
        if !path.value.starts_with('/') || path.value.chars().any(char::is_whitespace) {
            let text = format!("'{}' is not a path of the service", path.value);
            return Err(source.error(path, text).suggest("a path such as /checkout"));
        }
    }
    Ok(Triggers {
        error_rate,
        p95_ratio_pct: raw.p95_ratio_pct.as_ref().map(|ratio| ratio.value),
        throughput_pct,
        throughput_warn_pct,
        unhealthy_for,
        traffic_pct: raw.traffic_pct.as_ref().map(|percent| percent.value),
        health: raw.health.as_ref().map(|path| path.value.clone()),
        critical: raw.critical.iter().map(|path| path.value.clone()).collect(),
    })
}

/// The limit on the canary's requests, and the warning before it.
fn throughput(
    raw: &RawTriggers,
    source: &Source<'_>,
) -> Result<(Option<u32>, Option<u32>), InputError> {
    let (back, warn) = (raw.throughput_pct.as_ref(), raw.throughput_warn_pct.as_ref());
    for (key, at) in [("throughput_pct: 50", back), ("throughput_warn_pct: 80", warn)] {
        if let Some(at) = at.filter(|at| !(1..100).contains(&at.value)) {
            let text = format!("{} % of the requests that a weight says is no limit", at.value);
            return Err(source.error(at, text).suggest(key));
        }
    }
    if let (Some(back), Some(warn)) = (back, warn)
        && warn.value < back.value
    {
        let text = format!(
            "a warning below {} % comes after users went back below {} %",
            warn.value, back.value
        );
        return Err(source.error(warn, text).suggest("throughput_warn_pct: 80"));
    }
    Ok((back.map(|percent| percent.value), warn.map(|percent| percent.value)))
}

fn given<T: std::str::FromStr<Err: std::fmt::Display>>(
    text: Option<&Spanned<String>>,
    source: &Source<'_>,
) -> Result<Option<T>, InputError> {
    text.map(|text| source.unit(text)).transpose()
}
