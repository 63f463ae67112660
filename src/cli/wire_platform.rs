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
use crate::rollout::ports::Platform;

/// The platform that serves the environment.
pub(crate) fn platform(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    let RawPlatformKind::Router = config.platform.kind;
    router(context, config)
}

/// orca's own router.
fn router(context: &Context, config: &Config) -> Result<Arc<dyn Platform>, Failure> {
    let needed = |value: &Option<String>, key: &str, variable: &str| {
        value.clone().ok_or_else(|| {
            let text = format!("platform.{key} is not set");
            Failure::new(Code::Input, Exit::Usage, text)
                .hint(format!("set platform.{key} in orca.yaml, or {variable}"))
        })
    };
    let admin_url = needed(&config.platform.admin.value, "admin", "ORCA_ROUTER_ADMIN")?;
    let url = needed(&config.platform.url.value, "url", "ORCA_ROUTER_URL")?;
    let token: Secret = context.env.secret(&config.platform.token_env).ok_or_else(|| {
        let name = &config.platform.token_env;
        Failure::new(Code::AdminToken, Exit::Usage, format!("the variable {name} is not set"))
            .hint(format!("export {name}=... with the token the router was started with"))
    })?;
    let client = |error: &dyn std::fmt::Display| {
        Failure::new(Code::PlatformUnavailable, Exit::Unavailable, error.to_string())
    };
    let entropy = context.entropy.clone();
    let admin =
        RouterAdmin::new(&admin_url, token, entropy.clone()).map_err(|error| client(&error))?;
    let admin = admin.acting_as(&context.env.actor());
    let platform =
        RouterPlatform::new(&admin_url, &url, admin, entropy).map_err(|error| client(&error))?;
    Ok(Arc::new(platform))
}
