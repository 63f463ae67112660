//! From what was written to what holds: units read, defaults filled in, contradictions named.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::exec::{self, ExecConfig};
use super::origin::Setting;
use super::raw::{
    RawBreakingBelowOne, RawCanary, RawConfig, RawDecideBy, RawGate, RawOnFail, RawOnInterrupt,
    RawPlatformKind, RawStage, RawTriggers,
};
use super::tracks::{self, Tracks};
use super::trust::{self, TrustConfig};
use crate::base::ids::Environment;
use crate::base::units::{BasisPoints, Micros, Rate, Weight};
use crate::base::yaml::{self, InputError, Spanned};
use crate::cli::env::Env;
use crate::gate::ruling::Mode;

pub(crate) const FILE: &str = "orca.yaml";

/// The configuration that holds.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) service: String,
    pub(crate) environment: Setting<Environment>,
    pub(crate) release: ReleaseConfig,
    pub(crate) platform: PlatformConfig,
    pub(crate) commits: GateConfig,
    pub(crate) budget: GateConfig,
    pub(crate) load: LoadConfig,
    pub(crate) canary: CanaryConfig,
    pub(crate) tracks: Tracks,
    pub(crate) trust: TrustConfig,
}

#[derive(Debug, Clone)]
pub(crate) struct ReleaseConfig {
    pub(crate) tag_prefix: String,
    pub(crate) changelog: PathBuf,
    pub(crate) version_files: Vec<PathBuf>,
    /// Given explicitly; otherwise `origin` where it exists.
    pub(crate) remote: Option<String>,
    pub(crate) breaking_below_one: RawBreakingBelowOne,
    pub(crate) freeze: Micros,
}

#[derive(Debug, Clone)]
pub(crate) struct PlatformConfig {
    pub(crate) kind: RawPlatformKind,
    pub(crate) admin: Setting<Option<String>>,
    pub(crate) url: Setting<Option<String>>,
    pub(crate) token_env: String,
    /// There where the kind is `exec`.
    pub(crate) exec: Option<ExecConfig>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct GateConfig {
    pub(crate) mode: Mode,
    pub(crate) max_age: Micros,
}

#[derive(Debug, Clone)]
pub(crate) struct LoadConfig {
    pub(crate) gate: GateConfig,
    pub(crate) manifest: PathBuf,
    pub(crate) profile: String,
    pub(crate) target: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct CanaryConfig {
    pub(crate) stages: Vec<StageConfig>,
    /// The track that the stages are of, where they are of one.
    pub(crate) track: Option<String>,
    pub(crate) triggers: TriggersConfig,
    /// How long a weight lasts unless renewed.
    pub(crate) grant: Micros,
    pub(crate) hold_on_interrupt: bool,
    /// The canary's p95 in percent of the base's, at most.
    pub(crate) p95_ratio_max_pct: u32,
    pub(crate) error_increase_max: BasisPoints,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct TriggersConfig {
    pub(crate) p95_ratio_pct: Option<u32>,
    pub(crate) unhealthy_for: Option<Micros>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StageConfig {
    pub(crate) weight: Weight,
    pub(crate) bake: Micros,
    pub(crate) max_hold: Micros,
    /// Rate of paired load where paired load decides.
    pub(crate) paired: Option<Rate>,
    pub(crate) hold_on_fail: bool,
}

/// Reads and resolves `file`.
pub(crate) fn read(file: &Path, env: &Env) -> Result<Config, InputError> {
    let (raw, source) = yaml::read::<RawConfig>(file)?;
    resolve(raw, &Source { file, text: &source }, env)
}

/// Resolves text, for a configuration that stands in a tag and not in a file.
pub(crate) fn parse(text: &str, file: &Path, env: &Env) -> Result<Config, InputError> {
    let raw = yaml::parse::<RawConfig>(text, file)?;
    resolve(raw, &Source { file, text }, env)
}

pub(super) struct Source<'a> {
    pub(super) file: &'a Path,
    pub(super) text: &'a str,
}

impl Source<'_> {
    pub(super) fn error<T>(&self, at: &Spanned<T>, message: impl Into<String>) -> InputError {
        InputError::at(self.file, self.text, at, message)
    }

    /// Reads a unit from a spanned text.
    fn unit<T: FromStr<Err: std::fmt::Display>>(
        &self,
        text: &Spanned<String>,
    ) -> Result<T, InputError> {
        text.value.parse().map_err(|error: T::Err| self.error(text, error.to_string()))
    }

    pub(super) fn unit_or<T: FromStr<Err: std::fmt::Display>>(
        &self,
        text: Option<&Spanned<String>>,
        default: T,
    ) -> Result<T, InputError> {
        text.map_or(Ok(default), |text| self.unit(text))
    }
}

const DAY: Micros = Micros::from_secs(86_400);

fn resolve(raw: RawConfig, source: &Source<'_>, env: &Env) -> Result<Config, InputError> {
    if raw.version.value != 1 {
        let text = format!("version {} is unknown", raw.version.value);
        return Err(source.error(&raw.version, text).suggest("this orca reads version: 1"));
    }
    let environment = resolve_environment(raw.service.environment.as_ref(), source)?;
    let given = |value: &Option<String>| match value {
        None => Setting::default(None),
        Some(text) => Setting::file(Some(text.clone()), source.file, 0),
    };
    let variable = |name| env.get(name).map(|value| Some(value.to_owned()));
    let admin = given(&raw.platform.admin)
        .overridden(("--admin", None), ("ORCA_ROUTER_ADMIN", variable("ORCA_ROUTER_ADMIN")));
    let url = given(&raw.platform.url)
        .overridden(("--url", None), ("ORCA_ROUTER_URL", variable("ORCA_ROUTER_URL")));
    let tracks = tracks::resolve(&raw.tracks, source)?;
    let stages = stages_or_track(&raw.canary, &tracks, source)?;
    let signing_key = given(&raw.trust.signing_key)
        .overridden(("--signing-key", None), ("ORCA_SIGNING_KEY", variable("ORCA_SIGNING_KEY")));
    Ok(Config {
        service: raw.service.name.unwrap_or_else(|| "service".to_owned()),
        environment,
        release: ReleaseConfig {
            tag_prefix: raw.release.tag_prefix.unwrap_or_else(|| "v".to_owned()),
            changelog: raw.release.changelog.unwrap_or_else(|| "CHANGELOG.md".to_owned()).into(),
            version_files: raw.release.version_files.into_iter().map(PathBuf::from).collect(),
            remote: raw.release.remote,
            breaking_below_one: raw.release.breaking_below_one,
            freeze: source.unit_or(raw.release.freeze.as_ref(), Micros(DAY.0 * 7))?,
        },
        platform: PlatformConfig {
            kind: raw.platform.kind,
            admin,
            url,
            token_env: raw.platform.token_env.unwrap_or_else(|| "ORCA_ROUTER_TOKEN".to_owned()),
            exec: raw.platform.exec.as_ref().map(|raw| exec::resolve(raw, source)).transpose()?,
        },
        commits: resolve_gate(&raw.gates.preflight.commits, source)?,
        budget: resolve_gate(&raw.gates.preflight.budget, source)?,
        load: LoadConfig {
            gate: GateConfig {
                mode: raw.gates.load.mode,
                max_age: source.unit_or(raw.gates.load.max_age.as_ref(), DAY)?,
            },
            manifest: raw
                .gates
                .load
                .manifest
                .unwrap_or_else(|| "slo/slo_manifest.yaml".to_owned())
                .into(),
            profile: raw.gates.load.profile.unwrap_or_else(|| "baseline".to_owned()),
            target: raw.gates.load.target,
        },
        canary: CanaryConfig {
            stages,
            track: raw.canary.track.as_ref().map(|track| track.value.clone()),
            triggers: resolve_triggers(&raw.canary.triggers, source)?,
            p95_ratio_max_pct: raw.canary.p95_ratio_max_pct.unwrap_or(120),
            error_increase_max: source
                .unit_or(raw.canary.error_increase_max.as_ref(), BasisPoints(100))?,
            grant: resolve_grant(raw.canary.grant.as_ref(), source)?,
            hold_on_interrupt: raw.canary.on_interrupt == RawOnInterrupt::Hold,
        },
        tracks,
        trust: trust::resolve(&raw.trust, signing_key, source)?,
    })
}

fn resolve_environment(
    raw: Option<&Spanned<String>>,
    source: &Source<'_>,
) -> Result<Setting<Environment>, InputError> {
    let Some(text) = raw else {
        return Ok(Setting::default(Environment::new("production").expect("a constant name")));
    };
    let value = Environment::new(text.value.clone())
        .map_err(|error| source.error(text, error.to_string()))?;
    Ok(Setting::file(value, source.file, text.referenced.line()))
}

fn resolve_gate(raw: &RawGate, source: &Source<'_>) -> Result<GateConfig, InputError> {
    Ok(GateConfig { mode: raw.mode, max_age: source.unit_or(raw.max_age.as_ref(), DAY)? })
}

/// A minute; shorter than a second could not be renewed in time, longer than an hour is no guard.
fn resolve_grant(raw: Option<&Spanned<String>>, source: &Source<'_>) -> Result<Micros, InputError> {
    let grant = source.unit_or(raw, Micros::from_secs(60))?;
    match raw {
        Some(raw) if !(Micros::from_secs(1)..=Micros::from_secs(3_600)).contains(&grant) => {
            Err(source.error(raw, format!("a grant of {grant} is not between 1s and 1h")))
        }
        _ => Ok(grant),
    }
}

/// `canary.track` names the stages, or they stand there; both would contradict each other.
fn stages_or_track(
    raw: &RawCanary,
    tracks: &Tracks,
    source: &Source<'_>,
) -> Result<Vec<StageConfig>, InputError> {
    let Some(track) = &raw.track else { return resolve_stages(&raw.stages, source) };
    if !raw.stages.is_empty() {
        let text = "canary has both a track and stages";
        return Err(source
            .error(track, text)
            .suggest("move the stages under tracks, or leave out track"));
    }
    tracks.get(&track.value).cloned().ok_or_else(|| {
        let known: Vec<&str> = tracks.keys().map(String::as_str).collect();
        source
            .error(track, format!("there is no track {}", track.value))
            .suggest(format!("tracks are {}", known.join(", ")))
    })
}

fn resolve_triggers(raw: &RawTriggers, source: &Source<'_>) -> Result<TriggersConfig, InputError> {
    if let Some(ratio) = raw.p95_ratio_pct.as_ref().filter(|ratio| ratio.value <= 100) {
        let text = format!("a p95 of {} % of the base's is no reason to go back", ratio.value);
        return Err(source.error(ratio, text).suggest("p95_ratio_pct: 200"));
    }
    let unhealthy_for = raw.unhealthy_for.as_ref().map(|text| source.unit(text)).transpose()?;
    let p95_ratio_pct = raw.p95_ratio_pct.as_ref().map(|ratio| ratio.value);
    Ok(TriggersConfig { p95_ratio_pct, unhealthy_for })
}

/// The stages as written, or 1 %, 5 %, 25 %, 100 % with 15 minutes to an hour of bake time.
pub(super) fn resolve_stages(
    raw: &[RawStage],
    source: &Source<'_>,
) -> Result<Vec<StageConfig>, InputError> {
    if raw.is_empty() {
        return Ok(default_stages());
    }
    let mut stages: Vec<StageConfig> = Vec::new();
    for stage in raw {
        let weight: Weight = source.unit(&stage.weight)?;
        let bake: Micros = source.unit(&stage.bake)?;
        let before = stages.last().map_or(Weight::ZERO, |s| s.weight);
        if weight <= before {
            let text = format!("weight {weight} does not rise above {before}");
            return Err(source.error(&stage.weight, text).suggest("list stages from low to high"));
        }
        if bake.0 == 0 {
            return Err(source.error(&stage.bake, "a stage without bake time decides nothing"));
        }
        let max_hold = source.unit_or(stage.max_hold.as_ref(), Micros(bake.0.saturating_mul(4)))?;
        if max_hold < bake {
            let at = stage.max_hold.as_ref().unwrap_or(&stage.bake);
            let text = format!("max_hold {max_hold} ends before the bake time {bake}");
            return Err(source.error(at, text));
        }
        let paired = match stage.decide_by {
            RawDecideBy::Users => None,
            RawDecideBy::Paired => {
                Some(source.unit_or(stage.paired_rate.as_ref(), Rate::per_second(50))?)
            }
        };
        let hold_on_fail = stage.on_fail == RawOnFail::Hold;
        stages.push(StageConfig { weight, bake, max_hold, paired, hold_on_fail });
    }
    let last = raw.last().expect("there is a stage");
    if stages.last().is_some_and(|s| s.weight != Weight::FULL) {
        return Err(source.error(&last.weight, "the last stage is not 100%"));
    }
    Ok(stages)
}

fn default_stages() -> Vec<StageConfig> {
    [(100, 15), (500, 30), (2_500, 60), (10_000, 60)]
        .into_iter()
        .map(|(basis_points, minutes)| StageConfig {
            weight: Weight::from_basis_points(basis_points).expect("constant weights"),
            bake: Micros::from_secs(minutes * 60),
            max_hold: Micros::from_secs(minutes * 240),
            paired: None,
            hold_on_fail: false,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, InputError> {
        parse(text, Path::new("orca.yaml"), &Env::of(&[("ORCA_ROUTER_URL", "http://env")]))
    }

    #[test]
    fn the_least_file_gives_the_documented_defaults() {
        let config = read("version: 1\n").unwrap();
        assert_eq!(config.environment.value.as_str(), "production");
        assert_eq!(config.release.tag_prefix, "v");
        assert_eq!(config.canary.stages.len(), 4);
        assert_eq!(config.platform.url.value.as_deref(), Some("http://env"));
        assert_eq!(
            config.platform.url.origin.to_string(),
            "from the environment variable ORCA_ROUTER_URL"
        );
    }

    #[test]
    fn a_track_is_a_ramp_by_name() {
        let weights = |config: &Config| -> Vec<u16> {
            config.canary.stages.iter().map(|stage| stage.weight.basis_points()).collect()
        };
        let standard = read("version: 1\ncanary: {track: standard}\n").unwrap();
        assert_eq!(weights(&standard), [100, 500, 1_000, 2_500, 5_000, 10_000]);
        let names: Vec<&str> = standard.tracks.keys().map(String::as_str).collect();
        assert_eq!(names, ["high-risk", "hotfix", "standard"]);
        let own = "version: 1\ncanary: {track: hotfix}\ntracks:\n  hotfix:\n    stages:\n      \
                   - {weight: 50%, bake: 1m}\n      - {weight: 100%, bake: 1m, on_fail: hold}\n";
        let own = read(own).unwrap();
        assert_eq!(weights(&own), [5_000, 10_000]);
        assert!(own.canary.stages[1].hold_on_fail);
        let triggers = "version: 1\ncanary: {triggers: {p95_ratio_pct: 200, unhealthy_for: 5m}}\n";
        let triggers = read(triggers).unwrap().canary.triggers;
        assert_eq!(triggers.p95_ratio_pct, Some(200));
        assert_eq!(triggers.unhealthy_for, Some(Micros::from_secs(300)));
    }

    #[test]
    fn every_mistake_has_a_place_and_a_reason() {
        for (text, line, message) in [
            ("version: 2\n", 1, "version 2 is unknown"),
            ("version: 1\nservise: {}\n", 2, "unknown field"),
            ("version: 1\ncanary:\n  stages:\n    - {weight: 5, bake: 1m}\n", 4, ""),
            (
                "version: 1\ncanary:\n  stages:\n    - {weight: 5%, bake: 1 parsec}\n",
                4,
                "is not a duration",
            ),
            (
                "version: 1\ncanary:\n  stages:\n    - {weight: 5%, bake: 1m}\n    - {weight: 5%, bake: 1m}\n",
                5,
                "does not rise above",
            ),
            (
                "version: 1\ncanary:\n  stages:\n    - {weight: 50%, bake: 1m}\n",
                4,
                "the last stage is not 100%",
            ),
            ("version: 1\ncanary:\n  grant: 999ms\n", 3, "is not between 1s and 1h"),
            (
                "version: 1\nplatform:\n  kind: exec\n  exec: {current: [a]}\n",
                4,
                "no command for deploy",
            ),
            ("version: 1\nplatform:\n  exec: {command: []}\n", 3, "no command for current"),
            ("version: 1\nplatform:\n  exec: {command: [' ']}\n", 3, "names no program"),
            (
                "version: 1\nplatform:\n  exec:\n    command: [a]\n    deadline: 2h\n",
                5,
                "is not between 1s and 1h",
            ),
            ("version: 1\nplatform:\n  exec: {comand: [a]}\n", 3, "unknown field"),
            ("version: 1\ncanary:\n  track: fast\n", 3, "there is no track fast"),
            (
                "version: 1\ncanary:\n  track: hotfix\n  stages: [{weight: 100%, bake: 1m}]\n",
                3,
                "both a track and stages",
            ),
            ("version: 1\ntracks:\n  own: {stages: []}\n", 1, "the track own has no stages"),
            ("version: 1\ncanary:\n  triggers: {p95_ratio_pct: 90}\n", 3, "no reason to go back"),
            ("version: 1\ncanary:\n  grant: 61m\n", 3, "is not between 1s and 1h"),
            ("version: 1\nservice:\n  environment: a/b\n", 3, "is not a environment"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
