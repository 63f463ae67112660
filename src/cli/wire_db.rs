//! The shadow database: what users and the environment ask for, and what to type when it cannot be.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use crate::base::redact::Secret;
use crate::base::units::Micros;
use crate::db::shadow::ports::{NoShadow, NoShadowKind, Shadows, SqlError};
use crate::db::shadow::study::StudyError;
use crate::providers::postgres::binaries::Places;
use crate::providers::postgres::shadow::{Makers, ShadowError, Wanted};
use crate::providers::postgres::target;
use crate::providers::postgres::template::Store;

/// What the command line says; the environment fills in.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) shadow_url: Option<Secret>,
    pub(crate) target_url: Option<Secret>,
    pub(crate) major: Option<u32>,
    pub(crate) statement_timeout: Micros,
}

/// Where programs of Postgres are looked for.
pub(crate) fn places(context: &Context) -> Places {
    let env = &context.env;
    let path = env.get("PATH").unwrap_or_default().split(':');
    Places {
        chosen: env.get("ORCA_PG_BIN").map(|folder| context.folder.join(folder)),
        path: path.filter(|folder| !folder.is_empty()).map(PathBuf::from).collect(),
        project: context.folder.clone(),
    }
}

/// Where shadow databases come from here.
pub(crate) fn shadows(asked: Asked, context: &Context) -> Arc<dyn Shadows> {
    let env = &context.env;
    let wanted = Wanted {
        url: asked.shadow_url.or_else(|| env.secret("ORCA_SHADOW_URL")),
        target: asked.target_url.or_else(|| env.secret("ORCA_TARGET_URL")),
        places: places(context),
        major: asked.major,
        statement_timeout: asked.statement_timeout.duration(),
        store: env.cache_folder().and_then(|cache| Store::open(&cache)),
    };
    Arc::new(Makers { wanted, entropy: context.entropy.clone() })
}

/// The shadow did not do what orca itself asked of it.
pub(crate) fn broken(what: &'static str, error: &SqlError) -> Failure {
    StudyError::Broken(what, error.clone()).into()
}

/// Rows of the target's tables, about, where it is named.
pub(crate) async fn target_rows(
    asked: &Asked,
    context: &Context,
) -> Result<BTreeMap<String, u64>, Failure> {
    let named = asked.target_url.clone().or_else(|| context.env.secret("ORCA_TARGET_URL"));
    let Some(url) = named else { return Ok(BTreeMap::new()) };
    let read = target::read(&url).await.map_err(|error| {
        let text = format!("the target database does not answer: {error}");
        Failure::new(Code::ShadowUnusable, Exit::Unavailable, text)
            .hint("try the same URL with psql, or leave --target-url out")
    });
    Ok(read?.rows)
}

impl From<StudyError> for Failure {
    fn from(error: StudyError) -> Self {
        match error {
            StudyError::NoShadow(error) => error.into(),
            StudyError::Broken(..) => {
                Self::new(Code::ShadowUnusable, Exit::Inconclusive, error.to_string())
                    .hint("run it again; ORCA_PG_BIN chooses another Postgres")
            }
        }
    }
}

impl From<ShadowError> for Failure {
    fn from(error: ShadowError) -> Self {
        NoShadow::from(error).into()
    }
}

impl From<NoShadow> for Failure {
    fn from(error: NoShadow) -> Self {
        let (code, exit) = match error.kind {
            NoShadowKind::Missing => (Code::NoShadow, Exit::Inconclusive),
            NoShadowKind::Unusable => (Code::ShadowUnusable, Exit::Inconclusive),
            NoShadowKind::Unreachable => (Code::ShadowUnusable, Exit::Unavailable),
            NoShadowKind::IsTheTarget => (Code::ShadowIsTarget, Exit::Usage),
            NoShadowKind::Denied => (Code::HostedDenied, Exit::Unavailable),
            NoShadowKind::Limited => (Code::HostedLimited, Exit::Unavailable),
            NoShadowKind::Refused => (Code::HostedRefused, Exit::Unavailable),
            NoShadowKind::Unanswered => (Code::HostedUnavailable, Exit::Unavailable),
            NoShadowKind::NotReady => (Code::BranchNotReady, Exit::Inconclusive),
        };
        error.next.into_iter().fold(Self::new(code, exit, error.text), Self::hint)
    }
}
