//! The gates as the configuration asks for them, in the order of their phases.

use std::sync::Arc;

use super::config::raw::RawBreakingBelowOne;
use super::config::resolve::{Config, GateConfig};
use super::context::Context;
use super::failure::Failure;
use super::wire_db_gate::{self, Asked};
use super::{wire_slo, wire_smoke};
use crate::gate::check::ErasedCheck;
use crate::gate::phase::Phase;
use crate::load::from_manifest;
use crate::load::slo_check::{LoadCheck, Policy};
use crate::release::commits::ConventionalCommits;
use crate::release::version::{self, Rules, ZeroMajor};
use crate::slo::budget::BudgetCheck;
use crate::slo::manifest::Manifest;
use crate::verbs::gates::gate;
use crate::verbs::ship::PhaseGate;
use crate::verbs::tag_rc::{SharedRepository, on_repository};

/// The rules by which versions are counted here.
pub(crate) fn version_rules(config: &Config) -> Rules {
    let zero_major = match config.release.breaking_below_one {
        RawBreakingBelowOne::Minor => ZeroMajor::Minor,
        RawBreakingBelowOne::Major => ZeroMajor::Major,
    };
    Rules { tag_prefix: config.release.tag_prefix.clone(), zero_major, ..Rules::default() }
}

/// The remote to release to: the configured one, else `origin`.
pub(crate) fn remote(config: &Config) -> String {
    config.release.remote.clone().unwrap_or_else(|| "origin".to_owned())
}

/// Gates before anything is deployed.
pub(crate) async fn preflight(
    repository: &SharedRepository,
    config: &Config,
) -> Result<Vec<PhaseGate>, Failure> {
    let rules = version_rules(config);
    let history =
        on_repository(repository, move |found| version::history(found, &rules, None)).await?;
    let base = history.stable.map(|tag| tag.commit);
    let check = ConventionalCommits { repository: Arc::clone(repository), base };
    let GateConfig { mode, max_age } = config.commits;
    let checks: Vec<Arc<dyn ErasedCheck>> = vec![Arc::new(check)];
    Ok(vec![gate(Phase::Preflight, ("commits", mode), max_age, checks)])
}

/// The gate of error budgets, where the manifest asks for one.
pub(crate) fn budget(context: &Context, config: &Config) -> Result<Option<PhaseGate>, Failure> {
    let file = context.folder.join(&config.load.manifest);
    if !file.exists() {
        return Ok(None);
    }
    let manifest = Manifest::read(&file)?;
    if manifest.budget.is_none() {
        return Ok(None);
    }
    let manifest = manifest.where_named(config.environment.value.as_str());
    let source = wire_slo::source(&manifest, None)?;
    let telemetry = wire_slo::telemetry(context, source)?;
    let policy = wire_slo::budget_policy(&manifest, telemetry.as_ref());
    let checks: Vec<Arc<dyn ErasedCheck>> = vec![Arc::new(BudgetCheck { telemetry, policy })];
    let GateConfig { mode, max_age } = config.budget;
    Ok(Some(gate(Phase::Preflight, ("budget", mode), max_age, checks)))
}

/// The load gate against `target`.
pub(crate) fn load(context: &Context, config: &Config, target: &str) -> Result<PhaseGate, Failure> {
    let file = context.folder.join(&config.load.manifest);
    let manifest = Manifest::read(&file)?.at_url(target);
    let env = |name: &str| context.env.get(name).map(str::to_owned);
    let folder = file.parent().unwrap_or(&context.folder);
    let around = from_manifest::Around { folder, env: &env };
    let plan = from_manifest::plan(&manifest, (&config.load.profile, target), around)?;
    let check = LoadCheck::new(plan, Policy::of(&manifest));
    let GateConfig { mode, max_age } = config.load.gate;
    let checks: Vec<Arc<dyn ErasedCheck>> = vec![Arc::new(check)];
    Ok(gate(Phase::Load, ("load", mode), max_age, checks))
}

/// Every gate that must have passed before anything is deployed.
pub(crate) async fn before_deploy(
    context: &Context,
    config: &Config,
    repository: &SharedRepository,
) -> Result<Vec<PhaseGate>, Failure> {
    let mut gates = preflight(repository, config).await?;
    gates.extend(budget(context, config)?);
    gates.extend(wire_db_gate::gate(context, config, repository, &Asked::default()).await?);
    Ok(gates)
}

/// Every gate that must have passed before the first raise.
pub(crate) async fn configured(
    context: &Context,
    config: &Config,
    repository: &SharedRepository,
    target: &str,
) -> Result<Vec<PhaseGate>, Failure> {
    let mut gates = before_deploy(context, config, repository).await?;
    let target = config.load.target.as_deref().unwrap_or(target);
    gates.extend(wire_smoke::gate_of(context, config, target));
    gates.push(load(context, config, target)?);
    Ok(gates)
}
