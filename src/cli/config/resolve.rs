//! From what was written to what holds: units read, defaults filled in, contradictions named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::blackout;
use super::deploy::{self, DeployConfig};
use super::exec::{self, ExecConfig};
use super::origin::{Origin, Setting};
use super::raw::{
    RawAfterPause, RawBreakingBelowOne, RawCanary, RawConfig, RawDbGate, RawGate, RawHostedProject,
    RawOnInterrupt, RawPlatform, RawPlatformKind,
};
use super::smoke::{self, SmokeConfig};
use super::stages::{self, StageConfig};
use super::tracks::{self, Track, Tracks};
use super::triggers;
use super::trust::{self, TrustConfig};
use crate::base::ids::Environment;
use crate::base::units::{BasisPoints, Micros};
use crate::base::yaml::{self, InputError, Spanned};
use crate::cli::env::Env;
use crate::db::hosted::{project, roles};
use crate::db::shadow::fill::with_schema;
use crate::gate::ruling::Mode;
use crate::release::calendar::Blackout;
use crate::rollout::triggers::Triggers;

pub(crate) const FILE: &str = "orca.yaml";
/// Where Vercel says that users of a project come in.
pub(crate) const VERCEL_URL: &str = "VERCEL_PROJECT_PRODUCTION_URL";

/// The configuration that holds.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) service: String,
    pub(crate) environment: Setting<Environment>,
    pub(crate) release: ReleaseConfig,
    pub(crate) platform: PlatformConfig,
    pub(crate) commits: GateConfig,
    pub(crate) budget: GateConfig,
    pub(crate) db: DbGateConfig,
    pub(crate) load: LoadConfig,
    /// Where smoke tests are a gate.
    pub(crate) smoke: Option<SmokeConfig>,
    pub(crate) canary: CanaryConfig,
    pub(crate) tracks: Tracks,
    pub(crate) deploy: DeployConfig,
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
    pub(crate) blackouts: Vec<Blackout>,
}

#[derive(Debug, Clone)]
pub(crate) struct PlatformConfig {
    pub(crate) kind: Setting<RawPlatformKind>,
    pub(crate) admin: Setting<Option<String>>,
    pub(crate) url: Setting<Option<String>>,
    pub(crate) token_env: String,
    /// On Vercel: the project.
    pub(crate) project: Setting<Option<String>>,
    /// On Vercel: how long going back is tried while its API does not answer.
    pub(crate) back_within: Micros,
    /// On Vercel: whether decisions are shown beside deployments.
    pub(crate) checks: bool,
    /// There where the kind is `exec`.
    pub(crate) exec: Option<ExecConfig>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct GateConfig {
    pub(crate) mode: Mode,
    pub(crate) max_age: Micros,
}

#[derive(Debug, Clone)]
pub(crate) struct DbGateConfig {
    pub(crate) gate: GateConfig,
    pub(crate) required: bool,
    pub(crate) baseline: Option<PathBuf>,
    pub(crate) allow_substitutes: Vec<String>,
    pub(crate) rows: BTreeMap<String, u64>,
    pub(crate) lock_max: Micros,
    pub(crate) hosted_branch: bool,
    /// Where the hosted project is asked, its limits.
    pub(crate) project: Option<project::Policy>,
    /// Where roles are asked for, those that are meant to be strong.
    pub(crate) roles: Option<roles::Policy>,
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
    pub(crate) triggers: Triggers,
    /// What `canary.triggers` says itself, whatever the track.
    pub(crate) own_triggers: Triggers,
    /// How long a weight lasts unless renewed.
    pub(crate) grant: Micros,
    /// How long a lease is held: users are on base by then, so whoever comes finds nobody exposed.
    pub(crate) lease: Micros,
    pub(crate) hold_on_interrupt: bool,
    pub(crate) pause_for: Micros,
    pub(crate) pause_then: RawAfterPause,
    /// The canary's p95 in percent of the base's, at most.
    pub(crate) p95_ratio_max_pct: u32,
    pub(crate) error_increase_max: BasisPoints,
}

impl CanaryConfig {
    /// With the ramp of a track: what orca.yaml says of triggers comes before the track's.
    pub(crate) fn follow(&mut self, name: &str, track: &Track) {
        self.stages.clone_from(&track.stages);
        self.track = Some(name.to_owned());
        self.triggers = self.own_triggers.clone().or(&track.triggers);
    }
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
    pub(super) fn unit<T: FromStr<Err: std::fmt::Display>>(
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

/// A text as the file gives it.
fn given(value: Option<&String>, source: &Source<'_>) -> Setting<Option<String>> {
    match value {
        None => Setting::default(None),
        Some(text) => Setting::file(Some(text.clone()), source.file, 0),
    }
}

/// What serves the environment, and how it is reached.
fn resolve_platform(
    raw: RawPlatform,
    source: &Source<'_>,
    env: &Env,
) -> Result<PlatformConfig, InputError> {
    let variable = |name| env.get(name).map(|value| Some(value.to_owned()));
    let admin = given(raw.admin.as_ref(), source)
        .overridden(("--admin", None), ("ORCA_ROUTER_ADMIN", variable("ORCA_ROUTER_ADMIN")));
    let url = given(raw.url.as_ref(), source)
        .overridden(("--url", None), ("ORCA_ROUTER_URL", variable("ORCA_ROUTER_URL")));
    let project = given(raw.project.as_ref(), source)
        .overridden(("--project", None), ("VERCEL_PROJECT_ID", variable("VERCEL_PROJECT_ID")));
    let by_vercel = (VERCEL_URL, variable(VERCEL_URL));
    let url = if url.value.is_none() { url.overridden(("--url", None), by_vercel) } else { url };
    // Where nobody says what serves, the environment of a Vercel project is as good as a file.
    let is_vercel = admin.value.is_none() && project.value.is_some();
    let by_environment = match &project.origin {
        Origin::Environment(name) if is_vercel => {
            Setting { value: RawPlatformKind::Vercel, origin: Origin::Environment(name) }
        }
        _ if is_vercel => Setting::default(RawPlatformKind::Vercel),
        _ => Setting::default(RawPlatformKind::Router),
    };
    Ok(PlatformConfig {
        kind: raw.kind.map_or(by_environment, |kind| Setting::file(kind, source.file, 0)),
        admin,
        url,
        token_env: raw.token_env.unwrap_or_else(|| "ORCA_ROUTER_TOKEN".to_owned()),
        project,
        back_within: source.unit_or(raw.back_within.as_ref(), Micros::from_secs(120))?,
        checks: raw.checks,
        exec: raw.exec.as_ref().map(|raw| exec::resolve(raw, source)).transpose()?,
    })
}

fn resolve(raw: RawConfig, source: &Source<'_>, env: &Env) -> Result<Config, InputError> {
    if raw.version.value != 1 {
        let text = format!("version {} is unknown", raw.version.value);
        return Err(source.error(&raw.version, text).suggest("this orca reads version: 1"));
    }
    let environment = match &raw.service.environment {
        None => Setting::default(Environment::new("production").expect("a constant name")),
        Some(text) => {
            let value = Environment::new(text.value.clone())
                .map_err(|error| source.error(text, error.to_string()))?;
            Setting::file(value, source.file, text.referenced.line())
        }
    };
    let given = |value: &Option<String>| given(value.as_ref(), source);
    let variable = |name| env.get(name).map(|value| Some(value.to_owned()));
    let tracks = tracks::resolve(&raw.tracks, source)?;
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
            blackouts: blackout::resolve_all(&raw.release.blackouts, source)?,
        },
        platform: resolve_platform(raw.platform, source, env)?,
        commits: resolve_gate(&raw.gates.preflight.commits, source)?,
        budget: resolve_gate(&raw.gates.preflight.budget, source)?,
        db: resolve_db(raw.gates.preflight.db, source)?,
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
        smoke: raw.gates.smoke.map(|raw| smoke::resolve(raw, source, DAY)).transpose()?,
        canary: resolve_canary(&raw.canary, &tracks, source)?,
        deploy: deploy::resolve(&raw.deploy, source)?,
        tracks,
        trust: trust::resolve(&raw.trust, signing_key, source)?,
    })
}

fn resolve_canary(
    raw: &RawCanary,
    tracks: &Tracks,
    source: &Source<'_>,
) -> Result<CanaryConfig, InputError> {
    let grant = resolve_grant(raw.grant.as_ref(), source)?;
    let own = triggers::resolve(&raw.triggers, source)?;
    let mut config = CanaryConfig {
        stages: Vec::new(),
        track: None,
        triggers: own.clone(),
        own_triggers: own,
        p95_ratio_max_pct: raw.p95_ratio_max_pct.unwrap_or(120),
        error_increase_max: source.unit_or(raw.error_increase_max.as_ref(), BasisPoints(100))?,
        grant,
        lease: Micros(grant.0.saturating_mul(2)),
        hold_on_interrupt: raw.on_interrupt == RawOnInterrupt::Hold,
        pause_for: source.unit_or(raw.pause.span.as_ref(), Micros::from_secs(3_600))?,
        pause_then: raw.pause.then,
    };
    match &raw.track {
        None => config.stages = stages::resolve(&raw.stages, source)?,
        Some(at) if !raw.stages.is_empty() => {
            let text = "canary has both a track and stages";
            let better = "move the stages under tracks, or leave out track";
            return Err(source.error(at, text).suggest(better));
        }
        Some(at) => {
            let known = tracks::named(tracks, &at.value);
            let (name, track) = known.map_err(|text| {
                source.error(at, text).suggest(format!("tracks are {}", tracks::names(tracks)))
            })?;
            config.follow(name, track);
        }
    }
    Ok(config)
}

fn resolve_gate(raw: &RawGate, source: &Source<'_>) -> Result<GateConfig, InputError> {
    Ok(GateConfig { mode: raw.mode, max_age: source.unit_or(raw.max_age.as_ref(), DAY)? })
}

fn resolve_db(raw: RawDbGate, source: &Source<'_>) -> Result<DbGateConfig, InputError> {
    let max_age = source.unit_or(raw.max_age.as_ref(), DAY)?;
    let project = raw.project.map(|raw| resolve_hosted(&raw, source)).transpose()?;
    Ok(DbGateConfig {
        gate: GateConfig { mode: raw.mode, max_age },
        required: raw.required,
        baseline: raw.baseline.map(PathBuf::from),
        allow_substitutes: raw.allow_substitutes,
        rows: raw.rows.into_iter().map(|(table, rows)| (with_schema(&table), rows)).collect(),
        lock_max: source.unit_or(raw.lock_max.as_ref(), Micros::from_secs(2))?,
        hosted_branch: raw.hosted_branch,
        project,
        roles: raw.roles.map(|raw| roles::Policy { allow: raw.allow }),
    })
}

fn resolve_hosted(
    raw: &RawHostedProject,
    source: &Source<'_>,
) -> Result<project::Policy, InputError> {
    let key_age_max = raw.key_age_max.as_ref().map(|text| source.unit(text)).transpose()?;
    let age_max = source.unit_or(raw.backup_age_max.as_ref(), Micros::from_secs(26 * 3_600))?;
    Ok(project::Policy { age_max, any_moment: raw.pitr, key_age_max })
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
            ("version: 1\ncanary:\n  grant: 61m\n", 3, "is not between 1s and 1h"),
            ("version: 1\ndeploy: {p95: 61s}\n", 2, "is not between 1 ms and 1 m"),
            ("version: 1\ndeploy: {health: api}\n", 2, "is not a path"),
            ("version: 1\nservice:\n  environment: a/b\n", 3, "is not a environment"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.line, line, "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }
}
