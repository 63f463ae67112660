//! The platform that serves the environment: the one place that looks at `platform.kind`.

use std::sync::Arc;

use super::config::exec::RawWeights;
use super::config::origin::Origin;
use super::config::raw::RawPlatformKind;
use super::config::resolve::{Config, VERCEL_URL};
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::{wire, wire_fleet};
use crate::base::redact::Secret;
pub(crate) use crate::providers::exec::contract::{
    Answer as ExecAnswer, Operation, Request as ExecRequest,
};
use crate::providers::exec::{Commands, ExecPlatform, Surroundings};
use crate::providers::front::FrontDoor;
use crate::providers::http::HttpClient;
use crate::providers::router_admin::{RouterAdmin, RouterPlatform};
use crate::providers::vercel::{self, VercelClient, VercelPlatform, VercelSettings};
use crate::rollout::ports::{Platform, Weights};
use crate::verbs::env_sync::Variables;

/// What every command of `platform: exec` sees of the environment, where it is set.
const PASSED_ON: [&str; 7] = ["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// The platform that serves the environment.
pub(crate) fn platform(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    match config.platform.kind.value {
        RawPlatformKind::Router => router(context, config),
        RawPlatformKind::Vercel => vercel(context, config),
        RawPlatformKind::Exec => exec(context, config),
    }
}

/// What every platform has of its own.
fn needed(value: Option<&String>, key: &str, variable: &str) -> Result<String, Failure> {
    value.cloned().ok_or_else(|| {
        let text = format!("platform.{key} is not set");
        Failure::new(Code::Input, Exit::Usage, text)
            .hint(format!("set platform.{key} in orca.yaml, or {variable}"))
    })
}

/// Where users come in; the address of a project on Vercel is nobody else's.
fn own_url(config: &Config) -> Option<&String> {
    let url = &config.platform.url;
    url.value.as_ref().filter(|_| url.origin != Origin::Environment(VERCEL_URL))
}

fn no_client(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::PlatformUnavailable, Exit::Unavailable, error.to_string())
}

/// The user's own commands. They see few variables, and those that `exec.env` names.
fn exec(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    let url = needed(own_url(config), "url", "ORCA_ROUTER_URL")?;
    let Some(exec) = &config.platform.exec else {
        let text = "platform.kind is exec, and platform.exec is missing".to_owned();
        return Err(Failure::new(Code::Input, Exit::Usage, text)
            .hint("set platform.exec.command: [./platform.sh] in orca.yaml")
            .hint("orca schema exec.request shows what a command is asked"));
    };
    let variable = |name: &str| {
        let value = context.env.get(name)?;
        Some((name.to_owned(), value.to_owned()))
    };
    for name in exec.env.iter().filter(|name| context.env.get(name).is_none()) {
        context.warn(format!("platform.exec.env names {name}, which is not set"));
    }
    let file = wire::config_file(context);
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(&context.folder);
    let surroundings = Surroundings {
        // A command runs in it: a relative path would be looked for from there once more.
        folder: folder.canonicalize().unwrap_or_else(|_| folder.to_owned()),
        variables: PASSED_ON
            .into_iter()
            .chain(exec.env.iter().map(String::as_str))
            .filter_map(variable)
            .collect(),
        redactor: context.redactor.clone(),
    };
    let commands = Commands {
        argv: exec.argv.clone(),
        deadline: exec.deadline.duration(),
        deploy_deadline: exec.deploy_deadline.duration(),
        weights: match exec.weights {
            RawWeights::Any => Weights::Any,
            RawWeights::WholePercent => Weights::WholePercent,
            RawWeights::AllOrNothing => Weights::AllOrNothing,
        },
        stickiness: exec.stickiness.clone(),
        arm_header: exec.arm_header.clone(),
    };
    let entropy = context.entropy.clone();
    let http = HttpClient::new(entropy.clone()).map_err(|error| no_client(&error))?;
    Ok(Arc::new(ExecPlatform {
        commands,
        surroundings,
        front: FrontDoor::new(&url, http, entropy),
        environment: config.environment.value.to_string(),
        clock: context.clock.clone(),
        tell: wire_fleet::tell(context),
        made: std::sync::Mutex::default(),
    }))
}

/// orca's own router.
fn router(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    let admin_url = needed(config.platform.admin.value.as_ref(), "admin", "ORCA_ROUTER_ADMIN")?;
    let url = needed(own_url(config), "url", "ORCA_ROUTER_URL")?;
    let token: Secret = context.env.secret(&config.platform.token_env).ok_or_else(|| {
        let name = &config.platform.token_env;
        Failure::new(Code::AdminToken, Exit::Usage, format!("the variable {name} is not set"))
            .hint(format!("export {name}=... with the token the router was started with"))
    })?;
    let entropy = context.entropy.clone();
    let admin =
        RouterAdmin::new(&admin_url, token, entropy.clone()).map_err(|error| no_client(&error))?;
    let admin = admin.acting_as(&context.env.actor());
    context.redactor.learn(&admin.tester_secret());
    let platform =
        RouterPlatform::new(&admin_url, &url, admin, entropy).map_err(|error| no_client(&error))?;
    Ok(Arc::new(platform))
}

/// A project on Vercel.
fn vercel(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    let url = needed(
        config.platform.url.value.as_ref(),
        "url",
        "VERCEL_PROJECT_PRODUCTION_URL or --url",
    )?;
    Ok(Arc::new(vercel_project(context, config, &url)?))
}

/// The variables of the hosted environment, on a platform that keeps them.
pub(crate) fn variables(context: &Context, config: &Config) -> Result<Arc<dyn Variables>, Failure> {
    match config.platform.kind.value {
        // Nobody is asked at the front.
        RawPlatformKind::Vercel => {
            Ok(Arc::new(vercel_project(context, config, "https://localhost")?))
        }
        RawPlatformKind::Router | RawPlatformKind::Exec => {
            let text = "the configured platform keeps no variables";
            Err(Failure::new(Code::NoVariables, Exit::Unavailable, text)
                .hint("on Vercel: platform.kind: vercel in orca.yaml, or --project"))
        }
    }
}

/// A bare host is asked by HTTPS.
pub(crate) fn with_scheme(url: &str) -> String {
    if url.contains("://") { url.to_owned() } else { format!("https://{url}") }
}

fn vercel_project(
    context: &Context,
    config: &Config,
    url: &str,
) -> Result<VercelPlatform, Failure> {
    let (env, entropy) = (&context.env, context.entropy.clone());
    let client = vercel_client(context, config)?;
    let front = with_scheme(url);
    let settings = VercelSettings {
        front,
        back_within: config.platform.back_within.duration(),
        bypass: env.secret("VERCEL_AUTOMATION_BYPASS_SECRET"),
        actor: context.redactor.text(&env.actor()).into_owned(),
        shows: config.platform.checks.then(|| context.redactor.clone()),
    };
    VercelPlatform::new(client, settings, entropy).map_err(|error| no_client(&error))
}

/// The configured project's corner of the API.
pub(super) fn vercel_client(context: &Context, config: &Config) -> Result<VercelClient, Failure> {
    let env = &context.env;
    let project = needed(
        config.platform.project.value.as_ref(),
        "project",
        "VERCEL_PROJECT_ID or --project",
    )?;
    let token = env.secret("VERCEL_TOKEN").ok_or_else(|| {
        let text = "the variable VERCEL_TOKEN is not set";
        Failure::new(Code::VercelAccess, Exit::Usage, text)
            .hint("export VERCEL_TOKEN: a token from vercel.com/account/tokens")
    })?;
    let team = env.get("VERCEL_ORG_ID").or_else(|| env.get("VERCEL_TEAM_ID")).map(str::to_owned);
    let api = env.get("VERCEL_API_URL").unwrap_or(vercel::API);
    VercelClient::new((api, token), (team, project), context.entropy.clone())
        .map_err(|error| no_client(&error))
}
