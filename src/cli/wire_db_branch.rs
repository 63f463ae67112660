//! A preview branch as shadow: made of the project that the command line, the environment or
//! `supabase link` names, and told of on standard error.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;

use super::context::Context;
use super::explain::Code;
use super::failure::Failure;
use super::wire_db;
use super::wire_supabase::management;
use crate::base::digest::Digest;
use crate::base::limits;
use crate::db::branch::keeper::Keeper;
use crate::db::branch::ports::Listener;
use crate::db::branch::shadows::BranchShadows;
use crate::db::shadow::ports::{NoShadow, NoShadowKind, Shadow, Shadows};
use crate::providers::postgres::branch::Branches;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) project: Option<String>,
    /// It may take so long to become ready.
    pub(crate) patience: Duration,
}

/// Where shadow databases on branches come from.
pub(crate) fn shadows(
    asked: &Asked,
    shadow: wire_db::Asked,
    context: &Context,
) -> Result<Arc<dyn Shadows>, Failure> {
    let branches = Arc::new(management(asked.project.as_deref(), context)?);
    let keeper = Keeper {
        branches,
        listener: Arc::new(Told { context: context.clone() }),
        tasks: context.last_work.clone(),
    };
    let connects = Branches {
        target: shadow.target_url.or_else(|| context.env.secret("ORCA_TARGET_URL")),
        statement_timeout: shadow.statement_timeout.duration(),
        entropy: context.entropy.clone(),
    };
    Ok(Arc::new(BranchShadows {
        keeper,
        connects: Box::new(connects),
        patience: asked.patience,
        clock: context.clock.clone(),
        entropy: context.entropy.clone(),
        opened: AtomicBool::new(false),
    }))
}

/// The same for a gate: without a project or a token its checks have seen nothing, and say why.
pub(crate) fn shadows_or_why_not(shadow: wire_db::Asked, context: &Context) -> Arc<dyn Shadows> {
    let asked = Asked { project: None, patience: limits::BRANCH_READY };
    shadows(&asked, shadow, context).unwrap_or_else(|failure| {
        let Failure { message: text, hints: next, .. } = failure;
        Arc::new(Unasked(NoShadow { kind: NoShadowKind::Denied, text, next }))
    })
}

/// No branch can be asked for.
struct Unasked(NoShadow);

#[async_trait]
impl Shadows for Unasked {
    async fn open(&self, _states: &[Digest]) -> Result<Box<dyn Shadow>, NoShadow> {
        Err(self.0.clone())
    }
}

/// People hear of it on standard error.
struct Told {
    context: Context,
}

impl Listener for Told {
    fn say(&self, text: &str) {
        self.context.say(text);
    }

    fn left_behind(&self, text: &str, way_out: &str) {
        let code = Code::BranchLeft.as_str();
        self.context.warn(format!("{code}: {text}\n  {way_out}\n  more: orca explain {code}"));
    }
}
