//! `slo/slo_manifest.yaml` as it is written. Texts keep their place in the file; nothing is checked
//! here beyond the shape, and unknown keys are refused.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::base::yaml::Spanned;
use crate::gate::phase::Phase;

/// The manifest of objectives, endpoints and load profiles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SloManifest")]
pub(crate) struct RawManifest {
    /// Always 1.
    #[schemars(with = "u32")]
    pub(crate) version: Spanned<u32>,
    #[serde(default)]
    pub(crate) defaults: RawDefaults,
    #[schemars(with = "Vec<RawEndpoint>")]
    pub(crate) endpoints: Spanned<Vec<RawEndpoint>>,
    #[serde(default)]
    pub(crate) profiles: BTreeMap<String, RawProfile>,
    /// No profile and no flag may send more: `2000/s`.
    #[schemars(with = "Option<String>")]
    pub(crate) rate_max: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) environments: Vec<RawEnvironment>,
    /// Where measurements are kept, by name.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, RawSource>")]
    pub(crate) sources: BTreeMap<String, Spanned<RawSource>>,
    /// What a spent error budget does.
    pub(crate) budget: Option<RawBudget>,
}

/// A place where measurements are kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawSource {
    #[serde(rename = "type")]
    pub(crate) kind: RawSourceKind,
    /// Of the server: `http://prometheus:9090`.
    #[schemars(with = "Option<String>")]
    pub(crate) url: Option<Spanned<String>>,
    /// The environment variable that holds it instead.
    pub(crate) url_env: Option<String>,
    /// The environment variable that holds a bearer token.
    pub(crate) token_env: Option<String>,
    /// Of a file that `orca slo check --out` wrote (file), or `orca load --out` (load).
    pub(crate) path: Option<String>,
    /// Of objectives that name none; `1h` when absent.
    #[schemars(with = "Option<String>")]
    pub(crate) window: Option<Spanned<String>>,
    /// All requests: `sum(increase(METRIC[{window}]))`.
    #[schemars(with = "Option<String>")]
    pub(crate) total: Option<Spanned<String>>,
    /// Those that failed.
    #[schemars(with = "Option<String>")]
    pub(crate) errors: Option<Spanned<String>>,
    /// Buckets: `sum by (le) (increase(METRIC_bucket[{window}]))`.
    #[schemars(with = "Option<String>")]
    pub(crate) latency: Option<Spanned<String>>,
    /// On Vercel: the id of a metric that counts requests.
    #[schemars(with = "Option<String>")]
    pub(crate) metric: Option<Spanned<String>>,
    /// On Vercel: how that metric is counted, `count` or `sum`, as its own page says.
    #[schemars(with = "Option<String>")]
    pub(crate) aggregation: Option<Spanned<String>>,
    /// On Vercel: which requests are counted at all, in KQL: `DIMENSION:VALUE`.
    #[schemars(with = "Option<String>")]
    pub(crate) filter: Option<Spanned<String>>,
    /// On Vercel: which of them were answered well; all others count as failed.
    #[schemars(with = "Option<String>")]
    pub(crate) good: Option<Spanned<String>>,
    /// On Vercel: which of them were fast enough: `DIMENSION <= {limit_ms}`; all others were slower.
    #[schemars(with = "Option<String>")]
    pub(crate) fast: Option<Spanned<String>>,
    /// What differs at single endpoints.
    #[serde(default)]
    pub(crate) endpoints: BTreeMap<String, RawQueries>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RawSourceKind {
    /// A server with queries of one's own.
    Prometheus,
    /// A Prometheus that scrapes orca's own router: the queries are known.
    Router,
    /// Vercel Observability, of the project that `VERCEL_PROJECT_ID` names.
    Vercel,
    /// The result of one run of `orca load`: the run is the window.
    Load,
    File,
}

/// What a Prometheus or Vercel is asked of one endpoint.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawQueries {
    #[schemars(with = "Option<String>")]
    pub(crate) total: Option<Spanned<String>>,
    #[schemars(with = "Option<String>")]
    pub(crate) errors: Option<Spanned<String>>,
    #[schemars(with = "Option<String>")]
    pub(crate) latency: Option<Spanned<String>>,
    /// On Vercel: beside the filter of the source, so that only this endpoint is left.
    #[schemars(with = "Option<String>")]
    pub(crate) filter: Option<Spanned<String>>,
    /// On Vercel: in place of that of the source.
    #[schemars(with = "Option<String>")]
    pub(crate) good: Option<Spanned<String>>,
    /// On Vercel: in place of that of the source.
    #[schemars(with = "Option<String>")]
    pub(crate) fast: Option<Spanned<String>>,
}

/// What a spent error budget does to the gate `slo.budget`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBudget {
    /// With less than this share left it counts as spent; `0%` when absent.
    #[schemars(with = "Option<String>")]
    pub(crate) keep: Option<Spanned<String>>,
    /// `close` when absent.
    pub(crate) on_spent: Option<OnBreach>,
    /// While it burns fast enough to page somebody; `warn` when absent.
    pub(crate) on_fast_burn: Option<OnBreach>,
}

/// What a breach of a budget does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnBreach {
    /// Close the gate: nothing gains exposure.
    Close,
    /// Say it, and go on.
    Warn,
}

/// What holds where an endpoint says nothing else.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDefaults {
    /// Such as `p95 < 500ms`.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) objectives: Vec<Spanned<String>>,
    /// Two-sided: `95%`.
    #[schemars(with = "Option<String>")]
    pub(crate) confidence: Option<Spanned<String>>,
    /// Fewer requests decide nothing.
    #[schemars(with = "Option<u64>")]
    pub(crate) min_samples: Option<Spanned<u64>>,
    pub(crate) on_inconclusive: Option<OnInconclusive>,
    /// How often an undecided canary stage may be judged, sharing one chance of a wrong alarm;
    /// when absent every look takes the whole confidence.
    #[schemars(with = "Option<u32>")]
    pub(crate) looks: Option<Spanned<u32>>,
    /// The source that `orca slo` asks.
    #[schemars(with = "Option<String>")]
    pub(crate) source: Option<Spanned<String>>,
    /// What counts as a failed request.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) errors: Option<Vec<Spanned<String>>>,
}

/// What a stage does when its data cannot decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnInconclusive {
    /// Wait until the stage's longest hold.
    #[default]
    Hold,
    /// Go back to base as withdrawn.
    Withdraw,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEndpoint {
    #[schemars(with = "String")]
    pub(crate) name: Spanned<String>,
    /// GET when absent.
    #[schemars(with = "Option<String>")]
    pub(crate) method: Option<Spanned<String>>,
    #[schemars(with = "String")]
    pub(crate) path: Spanned<String>,
    /// How often it is called, relative to the others; 1 when absent.
    #[schemars(with = "Option<u32>")]
    pub(crate) weight: Option<Spanned<u32>>,
    /// May be called beside real users: it changes nothing.
    #[serde(default)]
    pub(crate) safe: bool,
    pub(crate) body: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// Values for `{{data.NAME}}` in path, headers and body: CSV or JSON lines, beside this file.
    pub(crate) data: Option<String>,
    /// What a right answer looks like.
    #[serde(default)]
    pub(crate) expect: RawExpect,
    /// In place of the default objectives.
    #[schemars(with = "Option<Vec<String>>")]
    pub(crate) objectives: Option<Vec<Spanned<String>>>,
    /// In place of both, in one phase: preflight, load, canary, promote or watch.
    #[serde(default)]
    #[schemars(with = "BTreeMap<Phase, Vec<String>>")]
    pub(crate) phases: BTreeMap<Phase, Vec<Spanned<String>>>,
}

/// What a right answer looks like; all of it must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawExpect {
    /// `200`, `200-299` or several between commas; 200 to 399 when absent.
    pub(crate) status: Option<serde_json::Value>,
    /// A text that each of these headers contains.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    /// A text that the body contains.
    pub(crate) body: Option<String>,
    /// Values at places of a JSON body: `$.items[0].name: shoes`.
    #[serde(default)]
    pub(crate) json: BTreeMap<String, serde_json::Value>,
}

/// Either `rate` and `duration`, or `steps`; or `closed: true` and `duration`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawProfile {
    #[schemars(with = "Option<String>")]
    pub(crate) rate: Option<Spanned<String>>,
    #[schemars(with = "Option<String>")]
    pub(crate) duration: Option<Spanned<String>>,
    #[serde(default)]
    #[schemars(with = "Vec<RawStep>")]
    pub(crate) steps: Vec<Spanned<RawStep>>,
    #[schemars(with = "u32")]
    pub(crate) connections: Spanned<u32>,
    /// Every connection sends its next request when the last one is answered.
    #[serde(default)]
    pub(crate) closed: bool,
}

/// A constant rate, or a ramp from the rate before, for a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawStep {
    #[schemars(with = "Option<String>")]
    pub(crate) rate: Option<Spanned<String>>,
    #[schemars(with = "Option<String>")]
    pub(crate) ramp_to: Option<Spanned<String>>,
    #[serde(rename = "for")]
    #[schemars(with = "String")]
    pub(crate) duration: Spanned<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawEnvironment {
    pub(crate) name: String,
    /// Its hosts are refused as load targets without `--allow-production`.
    #[serde(default)]
    pub(crate) production: bool,
    #[schemars(with = "Vec<String>")]
    pub(crate) hosts: Vec<Spanned<String>>,
    /// What differs here: each takes the place of the objective about the same thing.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub(crate) objectives: Vec<Spanned<String>>,
    /// The same for single endpoints.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    pub(crate) endpoints: BTreeMap<String, Spanned<Vec<Spanned<String>>>>,
    #[schemars(with = "Option<String>")]
    pub(crate) confidence: Option<Spanned<String>>,
    #[schemars(with = "Option<u64>")]
    pub(crate) min_samples: Option<Spanned<u64>>,
    /// The source that `orca slo` asks here.
    #[schemars(with = "Option<String>")]
    pub(crate) source: Option<Spanned<String>>,
}
