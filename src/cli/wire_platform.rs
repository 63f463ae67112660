//! The platform that serves the environment: the one place that looks at `platform.kind`.

use std::sync::Arc;

use super::config::raw::RawPlatformKind;
use super::config::resolve::Config;
use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use crate::base::redact::Secret;
use crate::providers::router_admin::{RouterAdmin, RouterPlatform};
use crate::providers::vercel::{self, VercelClient, VercelPlatform, VercelSettings};
use crate::rollout::ports::Platform;

/// The platform that serves the environment.
pub(crate) fn platform(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    match config.platform.kind {
        RawPlatformKind::Router => router(context, config),
        RawPlatformKind::Vercel => vercel(context, config),
    }
}

/// orca's own router.
fn router(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    let admin_url = needed(config.platform.admin.value.as_ref(), "admin", "ORCA_ROUTER_ADMIN")?;
    let url = needed(config.platform.url.value.as_ref(), "url", "ORCA_ROUTER_URL")?;
    let token: Secret = context.env.secret(&config.platform.token_env).ok_or_else(|| {
        let name = &config.platform.token_env;
        Failure::new(Code::AdminToken, Exit::Usage, format!("the variable {name} is not set"))
            .hint(format!("export {name}=... with the token the router was started with"))
    })?;
    let entropy = context.entropy.clone();
    let admin =
        RouterAdmin::new(&admin_url, token, entropy.clone()).map_err(|error| no_client(&error))?;
    let admin = admin.acting_as(&context.env.actor());
    let platform =
        RouterPlatform::new(&admin_url, &url, admin, entropy).map_err(|error| no_client(&error))?;
    Ok(Arc::new(platform))
}

/// A project on Vercel.
fn vercel(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    let env = &context.env;
    let project = needed(
        config.platform.project.value.as_ref(),
        "project",
        "VERCEL_PROJECT_ID or --project",
    )?;
    let url = needed(
        config.platform.url.value.as_ref(),
        "url",
        "VERCEL_PROJECT_PRODUCTION_URL or --url",
    )?;
    let token = env.secret("VERCEL_TOKEN").ok_or_else(|| {
        let text = "the variable VERCEL_TOKEN is not set";
        Failure::new(Code::VercelAccess, Exit::Usage, text)
            .hint("export VERCEL_TOKEN=... with a token from vercel.com/account/tokens")
    })?;
    let team = env.get("VERCEL_ORG_ID").or_else(|| env.get("VERCEL_TEAM_ID")).map(str::to_owned);
    let api = env.get("VERCEL_API_URL").unwrap_or(vercel::API);
    let entropy = context.entropy.clone();
    let client = VercelClient::new((api, token), (team, project), entropy.clone())
        .map_err(|error| no_client(&error))?;
    let front = if url.contains("://") { url } else { format!("https://{url}") };
    let settings = VercelSettings {
        front,
        back_within: config.platform.back_within.duration(),
        bypass: env.secret("VERCEL_AUTOMATION_BYPASS_SECRET"),
        actor: context.redactor.text(&env.actor()).into_owned(),
    };
    let platform =
        VercelPlatform::new(client, settings, entropy).map_err(|error| no_client(&error))?;
    Ok(Arc::new(platform))
}

fn needed(value: Option<&String>, key: &str, variable: &str) -> Result<String, Failure> {
    value.cloned().ok_or_else(|| {
        let text = format!("platform.{key} is not set");
        Failure::new(Code::Input, Exit::Usage, text)
            .hint(format!("set platform.{key} in orca.yaml, or {variable}"))
    })
}

fn no_client(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::PlatformUnavailable, Exit::Unavailable, error.to_string())
}
