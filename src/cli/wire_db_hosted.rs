//! The checks of the hosted project and of database roles, where the configuration asks for them.
//! Without credentials they have seen nothing, and say what to set.

use std::sync::Arc;

use super::config::resolve::DbGateConfig;
use super::context::Context;
use super::failure::Failure;
use super::wire_supabase::management;
use crate::base::redact::Secret;
use crate::db::hosted::ports::{Catalog, Hosted};
use crate::db::hosted::project::ProjectCheck;
use crate::db::hosted::roles::RolesCheck;
use crate::gate::check::{ErasedCheck, Unseen};
use crate::gate::verdict::Cause;
use crate::providers::postgres::target::ByConnection;

/// Those that are asked for; `target` is the database that roles are read from.
pub(crate) fn checks(
    config: &DbGateConfig,
    target: Option<&Secret>,
    context: &Context,
) -> Vec<Arc<dyn ErasedCheck>> {
    let mut checks: Vec<Arc<dyn ErasedCheck>> = Vec::new();
    if let Some(policy) = config.project {
        let hosted = management(None, context).map(|client| Arc::new(client) as Arc<dyn Hosted>);
        let hosted = hosted.map_err(unseen);
        checks.push(Arc::new(ProjectCheck { hosted, clock: context.clock.clone(), policy }));
    }
    if let Some(policy) = config.roles.clone() {
        checks.push(Arc::new(RolesCheck { catalog: catalog(target, context), policy }));
    }
    checks
}

/// A connection where the target is named, else the API where there is a token.
fn catalog(target: Option<&Secret>, context: &Context) -> Result<Arc<dyn Catalog>, Unseen> {
    if let Some(url) = target {
        context.redactor.learn_url(url.expose());
        return Ok(Arc::new(ByConnection { url: url.clone() }));
    }
    if context.env.secret("SUPABASE_ACCESS_TOKEN").is_none() {
        let text = "no database is named, and there is no token for Supabase";
        let next = "export ORCA_TARGET_URL=postgres://user:password@host:5432/database; \
                    or SUPABASE_ACCESS_TOKEN and SUPABASE_PROJECT_REF";
        return Err(Unseen::new(Cause::Denied, text, next));
    }
    management(None, context).map(|client| Arc::new(client) as Arc<dyn Catalog>).map_err(unseen)
}

fn unseen(failure: Failure) -> Unseen {
    Unseen::new(Cause::Denied, failure.message, failure.hints.join("; or "))
}
