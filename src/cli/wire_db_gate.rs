//! The gate of migrations: where they are, with what they are compared, and where they are replayed.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::args::db_look::{Baseline, wrong_baseline};
use super::config::resolve::{Config, GateConfig};
use super::context::Context;
use super::failure::Failure;
use super::wire::Git;
use super::{wire_db, wire_db_branch, wire_db_hosted, wire_gates};
use crate::base::limits;
use crate::base::redact::Secret;
use crate::base::units::Micros;
use crate::db::preflight::area;
use crate::db::preflight::history::{self, HistoryCheck};
use crate::db::preflight::lint::LintCheck;
use crate::db::preflight::protection::ProtectionCheck;
use crate::db::preflight::room::Room;
use crate::db::preflight::rpc::RpcCheck;
use crate::db::preflight::shadow::{self, ShadowCheck};
use crate::db::shadow::fill::RowsOf;
use crate::db::shadow::migrations;
use crate::db::shadow::ports::Shadows;
use crate::gate::check::ErasedCheck;
use crate::gate::phase::Phase;
use crate::providers::git::migrations::{Migrations, has_migrations};
use crate::release::version;
use crate::verbs::gates::gate as gate_of;
use crate::verbs::ship::PhaseGate;
use crate::verbs::tag_rc::{SharedRepository, on_repository};

/// One statement may take this long.
const STATEMENT: Micros = Micros::from_secs(60);

/// What the command line says; the environment fills in.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) since: Option<String>,
    pub(crate) target_url: Option<Secret>,
    pub(crate) shadow_url: Option<Secret>,
    /// Rows of tables, besides those of the configuration.
    pub(crate) rows: Vec<RowsOf>,
}

/// The gate, where the folder has migrations, the release before had them, or the configuration
/// asks for them.
pub(crate) async fn gate(
    context: &Context,
    config: &Config,
    repository: &SharedRepository,
    asked: &Asked,
) -> Result<Option<PhaseGate>, Failure> {
    let git = Git::in_folder(&context.folder);
    let base = base(config, repository, &git, asked.since.as_deref()).await?;
    let before = base.as_ref().map(|(commit, _)| has_migrations(&git, commit));
    let before = before.transpose()?.unwrap_or(false);
    let here = context.folder.join(migrations::FOLDER).is_dir();
    let asked_for = config.db.required || config.db.project.is_some() || config.db.roles.is_some();
    if !here && !before && !asked_for {
        return Ok(None);
    }
    let commit = base.as_ref().map(|(commit, _)| commit.clone());
    let baseline = baseline(context, config, &git, commit.as_deref())?;
    let asked_of_shadow = wire_db::Asked {
        shadow_url: asked.shadow_url.clone(),
        target_url: asked.target_url.clone(),
        major: migrations::settings(&context.folder)?.major,
        statement_timeout: STATEMENT,
    };
    let target = asked.target_url.clone().or_else(|| context.env.secret("ORCA_TARGET_URL"));
    let hosted = wire_db_hosted::checks(&config.db, target.as_ref(), context);
    let projects = Migrations { folder: context.folder.clone(), base, target };
    let shadows = shadows(config, asked_of_shadow, context);
    let mut rows = config.db.rows.clone();
    for RowsOf { table, rows: asked } in &asked.rows {
        let known = rows.entry(table.clone()).or_insert(*asked);
        *known = (*known).max(*asked);
    }
    let room = Room::new(Arc::new(projects), shadows, (STATEMENT.duration(), rows));
    let room = Arc::new(room);
    let policy = history::Policy { base: commit, required: config.db.required };
    let mut checks = checks(&room, (policy, baseline), context, config);
    checks.extend(hosted);
    let GateConfig { mode, max_age } = config.db.gate;
    Ok(Some(gate_of(Phase::Preflight, ("db", mode), max_age, checks)))
}

/// A server that the command line or the environment names comes before what the file says.
fn shadows(config: &Config, asked: wire_db::Asked, context: &Context) -> Arc<dyn Shadows> {
    let named = asked.shadow_url.is_some() || context.env.secret("ORCA_SHADOW_URL").is_some();
    if config.db.hosted_branch && !named {
        return wire_db_branch::shadows_or_why_not(asked, context);
    }
    wire_db::shadows(asked, context)
}

fn checks(
    room: &Arc<Room>,
    (history, baseline): (history::Policy, BTreeSet<String>),
    context: &Context,
    config: &Config,
) -> Vec<Arc<dyn ErasedCheck>> {
    let room = || Arc::clone(room);
    let allow_substitutes = config.db.allow_substitutes.iter().cloned().collect();
    let shadow = shadow::Policy {
        baseline: baseline.clone(),
        allow_substitutes,
        lock_max_us: config.db.lock_max.0,
        rows: config.db.rows.clone(),
    };
    let policy = area::Policy { baseline };
    vec![
        Arc::new(HistoryCheck { room: room(), policy: history }),
        Arc::new(LintCheck { room: room(), clock: context.clock.clone() }),
        Arc::new(ShadowCheck { room: room(), policy: shadow }),
        Arc::new(ProtectionCheck { room: room(), policy: policy.clone() }),
        Arc::new(RpcCheck { room: room(), policy }),
    ]
}

/// The commit before this release and its name: what was asked for, else the last final tag.
async fn base(
    config: &Config,
    repository: &SharedRepository,
    git: &Git,
    since: Option<&str>,
) -> Result<Option<(String, String)>, Failure> {
    if let Some(since) = since {
        let wanted = format!("{since}^{{commit}}");
        let args = ["rev-parse", "--verify", "--quiet", "--end-of-options", &wanted];
        let commit = git.run(&args, limits::GIT_LOCAL)?.text();
        return Ok(Some((commit, since.to_owned())));
    }
    let rules = wire_gates::version_rules(config);
    let history =
        on_repository(repository, move |found| version::history(found, &rules, None)).await?;
    Ok(history.stable.map(|tag| (tag.commit.to_string(), tag.name)))
}

/// Keys of known findings: those of the release before where it has the file, so that a release
/// cannot excuse itself; else those of the folder.
fn baseline(
    context: &Context,
    config: &Config,
    git: &Git,
    base: Option<&str>,
) -> Result<BTreeSet<String>, Failure> {
    let Some(file) = &config.db.baseline else { return Ok(BTreeSet::new()) };
    if let Some(text) = base.and_then(|base| shown(git, base, file)) {
        return Ok(Baseline::parse(file, &text)?.keys);
    }
    let text = std::fs::read_to_string(context.folder.join(file));
    let text = text.map_err(|error| wrong_baseline(file, &error.to_string()))?;
    Ok(Baseline::parse(file, &text)?.keys)
}

/// The file as `base` has it.
fn shown(git: &Git, base: &str, file: &Path) -> Option<String> {
    let object = format!("{base}:./{}", file.display());
    let args = ["cat-file", "blob", &object];
    let output = git.try_run(&args, limits::GIT_LOCAL).ok()?;
    output.success.then(|| output.text())
}
