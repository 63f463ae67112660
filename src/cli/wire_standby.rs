//! A standby asked at its own address: health, smoke and the load gate, with what its door needs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::args::smoke_files::{self, Wanted};
use super::config::resolve::{Config, GateConfig};
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::wire_smoke;
use crate::base::clock;
use crate::base::limits;
use crate::gate::check::ErasedCheck;
use crate::gate::phase::Phase;
use crate::load::from_manifest::{self, Around};
use crate::load::machine;
use crate::load::once::{Once, wrong};
use crate::load::plan::{Bounds, Endpoint, LoadPlan};
use crate::load::slo_check::{LoadCheck, Policy};
use crate::providers::http::{Call, HttpClient};
use crate::rollout::criteria::{Asked, Criteria, Smoke};
use crate::rollout::ports::Door;
use crate::slo::manifest::Manifest;
use crate::smoke::outcome::{Outcome, TestSeen};
use crate::smoke::prepare::Selection;
use crate::verbs::gates::gate;
use crate::verbs::ports::Standby;
use crate::verbs::ship::PhaseGate;

/// The manifest's safe endpoints, and how they are asked.
struct ManifestStandby {
    manifest: Manifest,
    folder: PathBuf,
    context: Context,
    profile: String,
    gate: GateConfig,
    health_path: String,
    endpoints: Vec<Endpoint>,
    /// Those of the folder that change nothing; asked where there are any.
    smoke: Option<Wanted>,
    /// One for the network, one for this machine.
    http: (HttpClient, HttpClient),
}

/// By what it is judged.
pub(crate) fn criteria(context: &Context, config: &Config) -> Result<Criteria, Failure> {
    let manifest = Manifest::read(&context.folder.join(&config.load.manifest))?;
    let deploy = &config.deploy;
    Ok(Criteria {
        health_path: deploy.health.clone(),
        uptime_bp: deploy.uptime.0,
        errors_bp: deploy.errors.0,
        p95_us: deploy.p95.0,
        p99_us: deploy.p99.0,
        requests_min: deploy.min_requests,
        confidence_bp: manifest.confidence.0,
    })
}

pub(crate) fn standby(context: &Context, config: &Config) -> Result<impl Standby, Failure> {
    let file = context.folder.join(&config.load.manifest);
    let mut manifest = Manifest::read(&file)?;
    manifest.endpoints.retain(|endpoint| endpoint.safe);
    if manifest.endpoints.is_empty() {
        let text = format!(
            "no endpoint of {} is marked safe: true, so nothing may be asked of a standby",
            config.load.manifest.display()
        );
        return Err(Failure::new(Code::LoadPlan, Exit::Usage, text)
            .hint("mark what changes nothing with safe: true; a standby has production's data"));
    }
    let folder = file.parent().unwrap_or(&context.folder).to_owned();
    let env = |name: &str| context.env.get(name).map(str::to_owned);
    let around = Around { folder: &folder, env: &env };
    let endpoints = from_manifest::endpoints(&manifest, "", around)?;
    let no_client = |error: crate::providers::http::HttpError| {
        Failure::new(Code::PlatformUnavailable, Exit::Unavailable, error.to_string())
    };
    let http = (
        HttpClient::new(context.entropy.clone()).map_err(no_client)?,
        HttpClient::direct(context.entropy.clone()).map_err(no_client)?,
    );
    Ok(ManifestStandby {
        manifest,
        folder,
        context: context.clone(),
        profile: config.load.profile.clone(),
        gate: config.load.gate,
        health_path: config.deploy.health.clone(),
        endpoints,
        smoke: smoke(context, config)?,
        http,
    })
}

/// The smoke tests of the folder, where it has any. They are read here once, so that a mistake in
/// them is said before anything is built.
fn smoke(context: &Context, config: &Config) -> Result<Option<Wanted>, Failure> {
    if smoke_files::usual(context).is_empty() {
        return Ok(None);
    }
    let wanted = Wanted {
        files: Vec::new(),
        selection: Selection::Safe,
        target: Some("https://standby.invalid".to_owned()),
        is_bound: true,
        environment: config.smoke.as_ref().and_then(|smoke| smoke.production_env.clone()),
        overrides: BTreeMap::new(),
        // Nothing that changes anything is among them.
        allow_production: true,
    };
    let ready = smoke_files::ready(&wanted, context)?;
    let left_out: usize = ready.iter().map(|file| file.left_out.len()).sum();
    if left_out > 0 {
        context
            .say(format!("smoke: {left_out} tests change something, so no standby is asked them"));
    }
    Ok(Some(wanted))
}

impl ManifestStandby {
    async fn tests(&self, wanted: &Wanted, door: &Door) -> Result<Vec<Smoke>, Failure> {
        let wanted = Wanted { target: Some(door.url.clone()), ..wanted.clone() };
        let (context, tell) = (&self.context, wire_smoke::tell(&self.context));
        let files = smoke_files::ready(&wanted, context)?;
        let through = (Some(door), &context.cancel);
        let seen = wire_smoke::run(&files, context, through, &tell).await?;
        let smoke = |test: TestSeen| {
            let wrong = test.why().filter(|_| test.outcome() == Outcome::Failed);
            let status = test.attempts.last().and_then(|attempt| attempt.status);
            let asked = Asked { status, wrong, took_us: test.took().0 };
            Smoke { endpoint: format!("{}:{}", test.file, test.name), asked }
        };
        Ok(seen.tests.into_iter().map(smoke).collect())
    }

    async fn ask(&self, endpoint: &Endpoint, door: &Door) -> Asked {
        let unasked = |why: String| Asked { status: None, wrong: Some(why), took_us: 0 };
        let once = match Once::of(endpoint) {
            Ok(once) => once,
            Err(why) => return unasked(why),
        };
        let Ok(method) = http::Method::from_bytes(once.method.as_bytes()) else {
            return unasked(format!("{} is no method", once.method));
        };
        let url = format!("{}{}", door.url.trim_end_matches('/'), once.path);
        let mut call = Call { method, timeout: limits::HTTP_CALL, ..Call::get(url) };
        call.headers = once.headers;
        call.headers.extend(door.headers.iter().cloned());
        call.json = Some(once.body).filter(|body| !body.is_empty());
        let is_here = door.url.starts_with("http://127.");
        let client = if is_here { &self.http.1 } else { &self.http.0 };
        let start = clock::monotonic();
        match client.send(&call).await {
            Ok(answer) => {
                let headers: Vec<(String, String)> = answer.headers.into_iter().collect();
                let wrong = wrong(endpoint, answer.status, &headers, &answer.body);
                Asked { status: Some(answer.status), wrong, took_us: clock::elapsed_us(start) }
            }
            Err(error) => Asked { took_us: clock::elapsed_us(start), ..unasked(error.to_string()) },
        }
    }
}

#[async_trait]
impl Standby for ManifestStandby {
    async fn health(&self, door: &Door) -> Asked {
        self.ask(&Endpoint::get(&self.health_path), door).await
    }

    async fn smoke(&self, door: &Door) -> Vec<Smoke> {
        let mut tests = Vec::new();
        for endpoint in &self.endpoints {
            let asked = self.ask(endpoint, door).await;
            tests.push(Smoke { endpoint: endpoint.name.clone(), asked });
        }
        let Some(wanted) = &self.smoke else { return tests };
        match self.tests(wanted, door).await {
            Ok(more) => tests.extend(more),
            Err(failure) => {
                let asked = Asked { status: None, wrong: Some(failure.message), took_us: 0 };
                tests.push(Smoke { endpoint: smoke_files::FOLDER.to_owned(), asked });
            }
        }
        tests
    }

    fn load(&self, door: &Door) -> Result<PhaseGate, String> {
        let env = |name: &str| self.context.env.get(name).map(str::to_owned);
        let around = Around { folder: &self.folder, env: &env };
        let manifest = self.manifest.clone().at_url(&door.url);
        let mut draft = from_manifest::draft(&manifest, &self.profile, &door.url, around)
            .map_err(|error| format!("{error}: {}", error.hint()))?;
        for endpoint in &mut draft.endpoints {
            endpoint.headers.extend(door.headers.iter().cloned());
        }
        let production = from_manifest::production(&manifest, &draft.target);
        // A standby is production's next version without users: that is what is loaded.
        let bounds = Bounds {
            production: &production,
            allow_production: true,
            file_limit: machine::file_limit(),
        };
        let plan = LoadPlan::new(draft, &bounds).map_err(|error| error.to_string())?;
        let check = LoadCheck::new(plan, Policy::of(&manifest));
        let checks: Vec<Arc<dyn ErasedCheck>> = vec![Arc::new(check)];
        let GateConfig { mode, max_age } = self.gate;
        Ok(gate(Phase::Load, ("load", mode), max_age, checks))
    }
}
