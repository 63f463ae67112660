//! Release tracks: ramps by name. Three are built in; `tracks` in `orca.yaml` changes them or adds
//! others. A track says how fast users meet a version, never which gates it has to pass.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw::RawStage;
use super::resolve::{Source, StageConfig, resolve_stages};
use crate::base::units::{Micros, Weight};
use crate::base::yaml::InputError;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTrack {
    /// Weight, bake time and failure action of each stage.
    pub(crate) stages: Vec<RawStage>,
}

/// The stages of every track, by name.
pub(crate) type Tracks = BTreeMap<String, Vec<StageConfig>>;

/// Weight in percent, and bake time in minutes.
type Ramp = &'static [(u32, u64)];

/// What a team has before it writes its own.
const BUILT_IN: [(&str, Ramp); 3] = [
    ("standard", &[(1, 15), (5, 30), (10, 60), (25, 120), (50, 240), (100, 60)]),
    ("high-risk", &[(1, 60), (5, 120), (10, 240), (25, 480), (50, 720), (100, 240)]),
    ("hotfix", &[(5, 10), (25, 10), (100, 15)]),
];

pub(super) fn resolve(
    raw: &BTreeMap<String, RawTrack>,
    source: &Source<'_>,
) -> Result<Tracks, InputError> {
    let built_in = |(name, ramp): (&str, Ramp)| {
        let stages = ramp.iter().map(|(percent, minutes)| StageConfig {
            weight: Weight::from_basis_points(percent * 100).expect("constant weights"),
            bake: Micros::from_secs(minutes * 60),
            max_hold: Micros::from_secs(minutes * 240),
            paired: None,
            hold_on_fail: false,
        });
        (name.to_owned(), stages.collect())
    };
    let mut tracks: Tracks = BUILT_IN.into_iter().map(built_in).collect();
    for (name, track) in raw {
        if track.stages.is_empty() {
            let text = format!("the track {name} has no stages");
            return Err(InputError::whole_file(source.file, text));
        }
        tracks.insert(name.clone(), resolve_stages(&track.stages, source)?);
    }
    Ok(tracks)
}
