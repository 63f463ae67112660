//! Release tracks: ramps by name. Three are built in; `tracks` in `orca.yaml` changes them or adds
//! others. A track says how fast users meet a version and what sends them back by itself, never
//! which gates it has to pass.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw::RawStage;
use super::resolve::Source;
use super::stages::{self, StageConfig};
use super::triggers::{self, RawTriggers};
use crate::base::units::{BasisPoints, Micros, Weight};
use crate::base::yaml::{InputError, Spanned};
use crate::rollout::triggers::Triggers;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTrack {
    /// Weight, bake time and failure action of each stage.
    #[schemars(with = "Vec<RawStage>")]
    pub(crate) stages: Spanned<Vec<RawStage>>,
    /// What brings users back by itself on this track; `canary.triggers` comes before it.
    #[serde(default)]
    pub(crate) triggers: RawTriggers,
    /// How long a release is watched once it is promoted, before it is stable; such as `1h`.
    #[schemars(with = "Option<String>")]
    pub(crate) watch: Option<Spanned<String>>,
}

/// A ramp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Track {
    pub(crate) stages: Vec<StageConfig>,
    pub(crate) triggers: Triggers,
    /// Absent where a release of this track is not watched by `orca ship`.
    pub(crate) watch: Option<Micros>,
}

pub(crate) type Tracks = BTreeMap<String, Track>;

/// Weight in percent, and bake time in minutes.
type Ramp = &'static [(u32, u64)];

/// What a team has before it writes its own: the ramp, and minutes of watching.
const BUILT_IN: [(&str, Ramp, u64); 3] = [
    ("standard", &[(1, 15), (5, 30), (10, 60), (25, 120), (50, 240), (100, 60)], 60),
    ("high-risk", &[(1, 60), (5, 120), (10, 240), (25, 480), (50, 720), (100, 240)], 1_440),
    ("hotfix", &[(5, 10), (25, 10), (100, 15)], 60),
];

/// A spike of errors, a p95 twice the base's, half of the requests, five minutes without an answer.
fn usual() -> Triggers {
    Triggers {
        error_rate: Some(BasisPoints(500)),
        p95_ratio_pct: Some(200),
        throughput_pct: Some(50),
        throughput_warn_pct: Some(80),
        unhealthy_for: Some(Micros::from_secs(300)),
        ..Triggers::default()
    }
}

fn built_in((name, ramp, watch): (&str, Ramp, u64)) -> (String, Track) {
    let stages = ramp.iter().map(|(percent, minutes)| StageConfig {
        weight: Weight::from_basis_points(percent * 100).expect("constant weights"),
        bake: Micros::from_secs(minutes * 60),
        max_hold: Micros::from_secs(minutes * 240),
        paired: None,
        hold_on_fail: false,
    });
    let watch = Some(Micros::from_secs(watch * 60));
    (name.to_owned(), Track { stages: stages.collect(), triggers: usual(), watch })
}

pub(super) fn resolve(
    raw: &BTreeMap<String, RawTrack>,
    source: &Source<'_>,
) -> Result<Tracks, InputError> {
    let mut tracks: Tracks = BUILT_IN.into_iter().map(built_in).collect();
    for (name, track) in raw {
        if track.stages.value.is_empty() {
            let text = format!("the track {name} has no stages");
            let better = "stages: [{weight: 5%, bake: 10m}, {weight: 100%, bake: 15m}]";
            return Err(source.error(&track.stages, text).suggest(better));
        }
        let stages = stages::resolve(&track.stages.value, source)?;
        let triggers = triggers::resolve(&track.triggers, source)?;
        let watch: Option<Micros> =
            track.watch.as_ref().map(|text| source.unit(text)).transpose()?;
        if let Some(at) = track.watch.as_ref().filter(|_| watch == Some(Micros(0))) {
            return Err(source.error(at, "watching for no time sees nothing").suggest("watch: 1h"));
        }
        tracks.insert(name.clone(), Track { stages, triggers, watch });
    }
    Ok(tracks)
}

pub(crate) fn names(tracks: &Tracks) -> String {
    let names: Vec<&str> = tracks.keys().map(String::as_str).collect();
    names.join(", ")
}

/// The track of that name; the error is a sentence.
pub(crate) fn named<'a>(tracks: &'a Tracks, name: &str) -> Result<(&'a str, &'a Track), String> {
    let known = tracks.get_key_value(name);
    let known = known.map(|(name, track)| (name.as_str(), track));
    known.ok_or_else(|| format!("there is no track {name}"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::resolve::{Config, parse};
    use super::*;
    use crate::cli::env::Env;

    fn read(text: &str) -> Result<Config, InputError> {
        parse(text, Path::new("orca.yaml"), &Env::of(&[]))
    }

    fn ramp(config: &Config) -> Vec<(u16, u64)> {
        let stages = config.canary.stages.iter();
        stages.map(|at| (at.weight.basis_points(), at.bake.0 / 60_000_000)).collect()
    }

    #[test]
    fn a_track_is_a_ramp_by_name() {
        for (name, expected, watch_mins) in [
            (
                "standard",
                vec![(100, 15), (500, 30), (1_000, 60), (2_500, 120), (5_000, 240), (10_000, 60)],
                60,
            ),
            (
                "high-risk",
                vec![
                    (100, 60),
                    (500, 120),
                    (1_000, 240),
                    (2_500, 480),
                    (5_000, 720),
                    (10_000, 240),
                ],
                1_440,
            ),
            ("hotfix", vec![(500, 10), (2_500, 10), (10_000, 15)], 60),
        ] {
            let config = read(&format!("version: 1\ncanary: {{track: {name}}}\n")).unwrap();
            assert_eq!(ramp(&config), expected, "{name}");
            assert_eq!(config.canary.triggers, usual(), "{name}");
            assert_eq!(config.canary.track.as_deref(), Some(name));
            assert_eq!(config.tracks[name].watch, Some(Micros::from_secs(watch_mins * 60)));
        }
        let none = read("version: 1\n").unwrap();
        assert!(none.canary.triggers.is_none(), "only who asks for triggers has them");
        assert_eq!(names(&none.tracks), "high-risk, hotfix, standard");
    }

    #[test]
    fn a_track_is_written_anew_and_its_triggers_are_changed_key_by_key() {
        let own = read(
            "version: 1\n\
             canary:\n  track: hotfix\n  triggers: {p95_ratio_pct: 150, critical: [/pay], throughput_pct: 30}\n\
             tracks:\n  hotfix:\n    watch: 10m\n    triggers: {p95_ratio_pct: 400, error_rate: 2%}\n    \
             stages:\n      - {weight: 50%, bake: 1m}\n      \
             - {weight: 100%, bake: 1m, on_fail: hold}\n",
        )
        .unwrap();
        assert_eq!(ramp(&own), [(5_000, 1), (10_000, 1)]);
        assert!(own.canary.stages[1].hold_on_fail);
        let triggers = &own.canary.triggers;
        assert_eq!(triggers.p95_ratio_pct, Some(150));
        assert_eq!(triggers.error_rate, Some(BasisPoints(200)));
        assert_eq!(triggers.unhealthy_for, None);
        assert_eq!(triggers.critical, ["/pay"]);
        let few = triggers.throughput().map(|few| (few.back_pct, few.warn_pct));
        assert_eq!(few, Some((Some(30), 80)));
        // A flag names another track: the file's own triggers still come first.
        let mut canary = own.canary.clone();
        let (name, track) = named(&own.tracks, "standard").unwrap();
        canary.follow(name, track);
        assert_eq!(canary.triggers.p95_ratio_pct, Some(150));
        assert_eq!(canary.triggers.error_rate, Some(BasisPoints(500)));
    }

    #[test]
    fn every_mistake_has_a_place_and_a_reason() {
        for (text, line, message) in [
            ("canary:\n  track: fast\n", 3, "there is no track fast"),
            (
                "canary:\n  track: hotfix\n  stages: [{weight: 100%, bake: 1m}]\n",
                3,
                "both a track and stages",
            ),
            ("tracks:\n  own: {stages: []}\n", 3, "the track own has no stages"),
            ("tracks:\n  own: {}\n", 3, "stages"),
            (
                "tracks:\n  own:\n    watch: 0s\n    stages: [{weight: 100%, bake: 1m}]\n",
                4,
                "watching for no time",
            ),
            (
                "tracks:\n  own:\n    stages:\n      - {weight: 100%, bake: 0s}\n",
                5,
                "decides nothing",
            ),
            ("canary:\n  triggers: {p95_ratio_pct: 90}\n", 3, "no reason to go back"),
            ("canary:\n  triggers: {error_rate: 0%}\n", 3, "no limit"),
            ("canary:\n  triggers: {error_rate: 5}\n", 3, ""),
            ("canary:\n  triggers: {unhealthy_for: 0s}\n", 3, "for no time"),
            ("canary:\n  triggers: {critical: [checkout]}\n", 3, "is not a path"),
            ("canary:\n  triggers: {traffic_pct: 100}\n", 3, "is no limit"),
            ("canary:\n  triggers: {throughput_pct: 0}\n", 3, "is no limit"),
            ("canary:\n  triggers: {throughput_warn_pct: 100}\n", 3, "is no limit"),
            (
                "canary:\n  triggers: {throughput_pct: 50, throughput_warn_pct: 40}\n",
                3,
                "comes after users went back below 50 %",
            ),
            ("canary:\n  triggers: {crit: [/a]}\n", 3, "unknown field"),
        ] {
            let error = read(&format!("version: 1\n{text}")).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
