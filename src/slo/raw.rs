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
}
