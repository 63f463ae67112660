//! The gates as the configuration asks for them, in the order of their phases.

use std::sync::Arc;

use super::config::resolve::{Config, GateConfig};
use super::context::Context;
use super::failure::Failure;
use crate::gate::check::ErasedCheck;
use crate::gate::phase::Phase;
use crate::release::commits::ConventionalCommits;
use crate::release::version::{self, Rules};
use crate::verbs::gates::gate;
use crate::verbs::ship::PhaseGate;
use crate::verbs::tag_rc::{SharedRepository, on_repository};

/// The rules by which versions are counted here.
pub(crate) fn version_rules(config: &Config) -> Rules {
    Rules { tag_prefix: config.release.tag_prefix.clone(), ..Rules::default() }
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

/// Every gate that must have passed before the first raise.
pub(crate) async fn configured(
    _context: &Context,
    config: &Config,
    repository: &SharedRepository,
    _target: &str,
) -> Result<Vec<PhaseGate>, Failure> {
    preflight(repository, config).await
}
