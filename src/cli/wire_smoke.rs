//! Who sends smoke tests: the HTTP client of every provider, so that proxies, authorities and limits
//! are the same. What opens the door of a deployment is sent to that deployment alone.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::args::smoke_files::{self, Wanted};
use super::config::resolve::Config;
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::render::smoke;
use crate::gate::check::{ErasedCheck, Unseen};
use crate::gate::phase::Phase;
use crate::gate::verdict::Cause;
use crate::providers::http::{Call, HttpClient, HttpError};
use crate::rollout::ports::Door;
use crate::smoke::check::{Policy, SmokeCheck, Suite};
use crate::smoke::outcome::{SmokeSeen, TestSeen};
use crate::smoke::ports::Caller;
use crate::smoke::prepare::{Ready, Selection};
use crate::smoke::request::{self, NoReply, Reply, Request};
use crate::smoke::run::{self, Bench};
use crate::smoke::template::Sources;
use crate::verbs::gates::gate;
use crate::verbs::ship::PhaseGate;

/// Hears of each test as it ends.
pub(crate) type Tell = Arc<dyn Fn(&TestSeen) + Send + Sync>;

/// Says a line about each test.
pub(crate) fn tell(context: &Context) -> Tell {
    let context = context.clone();
    Arc::new(move |test| context.say(smoke::line(test)))
}

/// Where fresh values come from.
pub(crate) fn sources(context: &Context) -> Sources {
    Sources { clock: context.clock.clone(), entropy: context.entropy.clone() }
}

/// Runs tests, through the door of a deployment where there is one.
pub(crate) async fn run(
    files: &[Ready],
    context: &Context,
    (door, cancel): (Option<&Door>, &CancellationToken),
    tell: &Tell,
) -> Result<SmokeSeen, Failure> {
    let no_client = |error: HttpError| {
        Failure::new(Code::SmokeUnreachable, Exit::Unavailable, error.to_string())
    };
    let caller = HttpCaller {
        network: HttpClient::new(context.entropy.clone()).map_err(no_client)?,
        local: HttpClient::direct(context.entropy.clone()).map_err(no_client)?,
        door: door.cloned(),
    };
    let bench = Bench {
        caller: &caller,
        sources: &sources(context),
        redactor: &context.redactor,
        cancel,
        tell: &**tell,
    };
    Ok(run::run(files, &bench).await)
}

/// The gate of smoke tests against `target`, where the configuration asks for it.
pub(crate) fn gate_of(context: &Context, config: &Config, target: &str) -> Option<PhaseGate> {
    let smoke = config.smoke.as_ref()?;
    let wanted = Wanted {
        files: Vec::new(),
        selection: if smoke.critical { Selection::Critical } else { Selection::All },
        target: Some(target.to_owned()),
        is_bound: true,
        environment: smoke.env.clone(),
        overrides: std::collections::BTreeMap::new(),
        allow_production: false,
    };
    let suite = Arc::new(FolderSuite { wanted, context: context.clone() });
    let policy = Policy {
        strict: smoke.strict,
        critical: smoke.critical,
        tests: smoke_files::digest(&context.folder, &smoke_files::usual(context)),
    };
    let checks: Vec<Arc<dyn ErasedCheck>> = vec![Arc::new(SmokeCheck { suite, policy })];
    Some(gate(Phase::Load, ("smoke", smoke.gate.mode), smoke.gate.max_age, checks))
}

/// The tests of the folder, made ready when they are run: who only asks for a ruling needs none of
/// the variables in them.
struct FolderSuite {
    wanted: Wanted,
    context: Context,
}

#[async_trait]
impl Suite for FolderSuite {
    async fn run(&self, cancel: &CancellationToken) -> Result<SmokeSeen, Unseen> {
        let unseen = |failure: Failure| {
            let next = failure.hints.first().cloned().unwrap_or_default();
            Unseen::new(Cause::Unobserved, failure.message, next)
        };
        let files = smoke_files::ready(&self.wanted, &self.context).map_err(unseen)?;
        let tell = tell(&self.context);
        run(&files, &self.context, (None, cancel), &tell).await.map_err(unseen)
    }
}

struct HttpCaller {
    network: HttpClient,
    /// For this machine: no proxy stands between.
    local: HttpClient,
    door: Option<Door>,
}

impl HttpCaller {
    fn call_of(&self, request: &Request, method: http::Method) -> Call {
        let mut headers = request.headers.clone();
        let origin = request::origin(&request.url);
        let is_there = |door: &&Door| request::origin(&door.url) == origin;
        if let Some(door) = self.door.as_ref().filter(is_there) {
            headers.extend(door.headers.iter().cloned());
        }
        Call {
            method,
            headers,
            json: request.body.clone(),
            timeout: request.timeout,
            // A test that fails says nothing about the next one: every one is asked.
            urgent: true,
            ..Call::get(request.url.as_str())
        }
    }
}

#[async_trait]
impl Caller for HttpCaller {
    async fn call(&self, request: &Request) -> Result<Reply, NoReply> {
        let Ok(method) = http::Method::from_bytes(request.method.as_bytes()) else {
            let why = format!("{} is no method", request.method);
            return Err(NoReply { connected: true, why });
        };
        let host = request::host(&request.url).unwrap_or_default();
        let is_here = host == "localhost" || host == "::1" || host.starts_with("127.");
        let client = if is_here { &self.local } else { &self.network };
        match client.send(&self.call_of(request, method)).await {
            Ok(answer) => {
                Ok(Reply { status: answer.status, headers: answer.headers, body: answer.body })
            }
            Err(error) => Err(NoReply {
                connected: !matches!(error, HttpError::Connect { .. } | HttpError::Timeout { .. }),
                why: error.to_string(),
            }),
        }
    }
}
