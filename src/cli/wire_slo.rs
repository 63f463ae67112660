//! From the manifest's sources to something that can be asked, and what they are asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;

use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::{wire, wire_platform};
use crate::base::{atomic_file, limits};
use crate::gate::check::Unseen;
use crate::gate::phase::Phase;
use crate::providers::prometheus::PrometheusTelemetry;
use crate::providers::vercel::VercelTelemetry;
use crate::slo::budget::BudgetPolicy;
use crate::slo::burn::budget_of;
use crate::slo::judge_observed::{ObservedPolicy, ScopePolicy};
use crate::slo::manifest::Manifest;
use crate::slo::objective::Objective;
use crate::slo::sample::ALL;
use crate::slo::source::{Address, Source, SourceKind, WINDOW};
use crate::slo::telemetry::{self, Observed, Telemetry, Wanted};

/// Which manifest, environment and source a verb was told.
#[derive(Debug, clap::Args)]
pub(crate) struct Chosen {
    /// The manifest of objectives
    #[arg(long, value_name = "FILE", default_value = "slo/slo_manifest.yaml")]
    pub(crate) manifest: PathBuf,
    /// What differs in this environment holds
    #[arg(long, value_name = "NAME")]
    pub(crate) environment: Option<String>,
}

impl Chosen {
    pub(crate) fn manifest(&self, context: &Context) -> Result<Manifest, Failure> {
        let manifest = Manifest::read(&context.folder.join(&self.manifest))?;
        let Some(name) = &self.environment else { return Ok(manifest) };
        manifest.in_environment(name).map_err(|near| {
            let text = format!("{} has no environment '{name}'", self.manifest.display());
            let hint = near.map_or_else(
                || "name it under environments first".to_owned(),
                |near| format!("did you mean {near}?"),
            );
            Failure::new(Code::SloSource, Exit::Usage, text).hint(hint)
        })
    }
}

/// The source called `name`, or the only one of that type; without a name the manifest's own
/// choice, or the only one there is.
pub(crate) fn source<'a>(
    manifest: &'a Manifest,
    name: Option<&str>,
) -> Result<&'a Source, Failure> {
    let chosen = name.or(manifest.source.as_deref());
    let mut fitting = manifest.sources.values().filter(|source| match chosen {
        Some(chosen) => source.kind.as_str() == chosen,
        None => true,
    });
    let named = chosen.and_then(|chosen| manifest.sources.get(chosen));
    let names: Vec<&str> = manifest.sources.keys().map(String::as_str).collect();
    match (named, fitting.next(), fitting.next()) {
        (Some(named), _, _) => Ok(named),
        (None, Some(only), None) => Ok(only),
        _ => {
            let text = match (chosen, names.as_slice()) {
                (_, []) => "the manifest names no source of measurements".to_owned(),
                (Some(chosen), _) => format!("the manifest has no source '{chosen}'"),
                (None, _) => "the manifest has several sources".to_owned(),
            };
            let hint = if names.is_empty() {
                "write sources: {prom: {type: router, url: http://prometheus:9090}}".to_owned()
            } else {
                format!("give --source with one of {}", names.join(", "))
            };
            Err(Failure::new(Code::SloSource, Exit::Usage, text).hint(hint))
        }
    }
}

/// The same with another file, where one is given; `load` and `file` need no entry then.
pub(crate) fn source_at(
    manifest: &Manifest,
    name: Option<&str>,
    path: Option<&Path>,
) -> Result<Source, Failure> {
    let found = source(manifest, name);
    let Some(path) = path else { return found.cloned() };
    let path = path.display().to_string();
    let (named, word) = match (found, name) {
        (Ok(source), _) => (source.clone(), source.kind.as_str()),
        (Err(_), Some(word @ ("load" | "file"))) => {
            let (name, kind) = (word.to_owned(), SourceKind::File { path: path.clone() });
            (Source { name, window: WINDOW, kind }, word)
        }
        (Err(failure), _) => return Err(failure),
    };
    let kind = match word {
        "load" => SourceKind::Load { path },
        "file" => SourceKind::File { path },
        other => {
            let text = format!("source '{}' is of type {other} and has no file", named.name);
            return Err(Failure::new(Code::SloSource, Exit::Usage, text)
                .hint("give --path with --source load or --source file"));
        }
    };
    Ok(Source { kind, ..named })
}

/// Something that answers for a source.
pub(crate) fn telemetry(context: &Context, source: &Source) -> Result<Arc<dyn Telemetry>, Failure> {
    match &source.kind {
        SourceKind::File { path } => {
            let seen = read_seen(&context.folder.join(path)).map_err(|problem| {
                unseen(&source.name, &problem).hint("write it with orca slo check --out")
            })?;
            Ok(Arc::new(FileTelemetry(Observed { source: source.name.clone(), ..seen })))
        }
        SourceKind::Load { path } => {
            let text = format!(
                "{path} is one run of load: it tells nothing of an error budget, which burns over \
                 days of real requests"
            );
            Err(Failure::new(Code::SloSource, Exit::Usage, text)
                .hint("give --source with one that goes on, such as prometheus or vercel")
                .hint(format!("judge the run itself: orca slo check --source {}", source.name)))
        }
        SourceKind::Vercel(query) => {
            let config = wire::load_config_or_default(context)?;
            let client = wire_platform::vercel_client(context, &config)?;
            let (name, clock) = (source.name.clone(), context.clock.clone());
            Ok(Arc::new(VercelTelemetry::new(name, client, query.clone(), clock)))
        }
        SourceKind::Prometheus(asked) => {
            let url = match &asked.url {
                Address::Url(url) => url.clone(),
                Address::Variable(variable) => {
                    context.env.get(variable).map(str::to_owned).ok_or_else(|| {
                        let text =
                            format!("{variable}, the address of {}, is not set", source.name);
                        Failure::new(Code::SloSource, Exit::Usage, text)
                            .hint(format!("{variable}=http://prometheus:9090 orca slo check"))
                    })?
                }
            };
            let token = asked.token_env.as_deref().and_then(|name| context.env.secret(name));
            let asked = PrometheusTelemetry::new(
                source.name.clone(),
                asked.clone(),
                (&url, token),
                (context.clock.clone(), context.entropy.clone()),
            )
            .map_err(|error| unseen(&source.name, &error.to_string()))?;
            Ok(Arc::new(asked))
        }
    }
}

pub(crate) fn unseen(source: &str, problem: &str) -> Failure {
    Failure::new(Code::SloUnseen, Exit::Unavailable, format!("{source}: {problem}"))
}

/// Asks a source; nothing is judged when it cannot be asked at all.
pub(crate) async fn observe(
    telemetry: &dyn Telemetry,
    source: &Source,
    wanted: &[Wanted],
) -> Result<Observed, Failure> {
    telemetry
        .observe(wanted)
        .await
        .map_err(|unseen_why| unseen(&source.name, &unseen_why.detail).hint(unseen_why.next))
}

fn read_seen(file: &Path) -> Result<Observed, String> {
    let bytes = atomic_file::read_limited(file, limits::SAMPLES_BYTES_MAX)
        .map_err(|e| format!("{}: {e}", file.display()))?;
    serde_json::from_slice(&bytes)
        .ok()
        .filter(|seen: &Observed| seen.schema == telemetry::SCHEMA)
        .ok_or_else(|| format!("{} is not an {}", file.display(), telemetry::SCHEMA))
}

/// A document of what was seen before.
struct FileTelemetry(Observed);

#[async_trait]
impl Telemetry for FileTelemetry {
    fn tells(&self, scope: &str) -> bool {
        scope == ALL || self.0.windows.iter().any(|seen| seen.scope == scope)
    }

    async fn observe(&self, _: &[Wanted]) -> Result<Observed, Unseen> {
        Ok(self.0.clone())
    }
}

/// What has to hold all the time, for the scopes a source can tell of.
pub(crate) fn check_policy(
    manifest: &Manifest,
    source: &Source,
    telemetry: &dyn Telemetry,
) -> ObservedPolicy {
    let scopes = scopes(manifest)
        .into_iter()
        .filter(|(scope, _)| telemetry.tells(scope))
        .map(|(scope, objectives)| ScopePolicy { scope, objectives })
        .collect();
    ObservedPolicy {
        scopes,
        window: source.window,
        confidence_bp: manifest.confidence.0,
        min_samples: manifest.min_samples,
    }
}

/// The budgets of the scopes a source can tell of.
pub(crate) fn budget_policy(manifest: &Manifest, telemetry: &dyn Telemetry) -> BudgetPolicy {
    let held = manifest.budget.unwrap_or_default();
    let budgets = scopes(manifest)
        .into_iter()
        .filter(|(scope, _)| telemetry.tells(scope))
        .flat_map(|(scope, objectives)| objectives.into_iter().map(move |o| (scope.clone(), o)))
        .filter(|(_, objective)| budget_of(objective).is_some())
        .collect();
    BudgetPolicy {
        budgets,
        keep_bp: held.keep.0,
        on_spent: held.on_spent,
        on_fast_burn: held.on_fast_burn,
    }
}

/// Scopes with objectives that the source cannot tell of.
pub(crate) fn untold(manifest: &Manifest, telemetry: &dyn Telemetry) -> Vec<String> {
    let scopes = scopes(manifest).into_iter().map(|(scope, _)| scope);
    scopes.filter(|scope| !telemetry.tells(scope)).collect()
}

/// The objectives of any phase that are none of `judged`, with their scope.
pub(crate) fn left_over(manifest: &Manifest, judged: &[(&str, &[Objective])]) -> Vec<String> {
    const PHASES: [Phase; 5] =
        [Phase::Preflight, Phase::Load, Phase::Canary, Phase::Promote, Phase::Watch];
    let mut left = Vec::new();
    let mut note = |scope: &str, objectives: Vec<Objective>| {
        for objective in objectives {
            let is_in =
                |(name, of): &(&str, &[Objective])| *name == scope && of.contains(&objective);
            let text = format!("{scope}: {objective}");
            if !judged.iter().any(is_in) && !left.contains(&text) {
                left.push(text);
            }
        }
    };
    for phase in PHASES {
        note(ALL, manifest.overall_objectives(phase));
        for endpoint in &manifest.endpoints {
            note(&endpoint.name, manifest.objectives(endpoint, phase));
        }
    }
    left
}

/// Objectives by scope that hold all the time: those of the phase that watches.
pub(crate) fn scopes(manifest: &Manifest) -> Vec<(String, Vec<Objective>)> {
    let all = (ALL.to_owned(), manifest.overall_objectives(Phase::Watch));
    let each = manifest
        .endpoints
        .iter()
        .map(|endpoint| (endpoint.name.clone(), manifest.objectives(endpoint, Phase::Watch)));
    std::iter::once(all).chain(each).filter(|(_, objectives)| !objectives.is_empty()).collect()
}
