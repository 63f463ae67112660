//! Where the shadow database comes from: a server that a URL names and that is not the target, else a
//! throwaway cluster. Either way the database is new and goes again.

use std::time::Duration;

use super::address::Address;
use super::binaries::{self, Binaries, Places};
use super::cluster::{Cluster, ClusterError};
use super::session::{self, Session};
use crate::base::clock::Entropy;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::db::shadow::ports::{Database as _, SqlError};

/// What users asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    /// `--shadow-url` or `ORCA_SHADOW_URL`.
    pub(crate) url: Option<Secret>,
    /// The database that the migrations are meant for, where it is known.
    pub(crate) target: Option<Secret>,
    pub(crate) places: Places,
    pub(crate) major: Option<u32>,
    pub(crate) statement_timeout: Duration,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShadowError {
    #[error("no Postgres{} was found{}", wanted.map(|m| format!(" {m}")).unwrap_or_default(), seen_text(.seen))]
    NoBinaries { wanted: Option<u32>, seen: Vec<String> },
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the {0} database does not answer: {1}")]
    Unreachable(&'static str, SqlError),
    #[error("the shadow URL leads to the target itself")]
    IsTheTarget,
}

fn seen_text(seen: &[String]) -> String {
    if seen.is_empty() { String::new() } else { format!("; seen: {}", seen.join(", ")) }
}

/// An empty database and the connection to it.
pub(crate) struct Shadow {
    pub(crate) session: Session,
    /// As the server says it.
    pub(crate) version: String,
    pub(crate) major: u32,
    home: Home,
}

enum Home {
    Throwaway(#[expect(dead_code, reason = "dropping it ends the server")] Cluster),
    Elsewhere { admin: Session, name: String },
}

impl Shadow {
    pub(crate) async fn open(wanted: &Wanted, entropy: &Entropy) -> Result<Self, ShadowError> {
        // The server ends an endless statement; the client's deadline is for a server that hangs.
        let deadline = wanted.statement_timeout + limits::HTTP_CALL;
        match &wanted.url {
            Some(url) => elsewhere(url, wanted.target.as_ref(), deadline, entropy).await,
            None => throwaway(wanted, deadline, entropy).await,
        }
    }

    /// Ends it; a database on another server is dropped there.
    pub(crate) async fn close(self) {
        let Self { session, home, .. } = self;
        drop(session);
        if let Home::Elsewhere { admin, name } = home {
            let _ = admin.run(&format!("drop database if exists {name} with (force)")).await;
        }
    }
}

async fn throwaway(
    wanted: &Wanted,
    deadline: Duration,
    entropy: &Entropy,
) -> Result<Shadow, ShadowError> {
    let found = binaries::find(&wanted.places, wanted.major).await;
    let found = found.map_err(|seen| ShadowError::NoBinaries { wanted: wanted.major, seen })?;
    let Binaries { major, version, .. } = found.clone();
    let cluster = Cluster::start(&found, entropy).await?;
    let unreachable = |e| ShadowError::Unreachable("shadow", e);
    let session =
        session::connect(&cluster.address("postgres"), deadline).await.map_err(unreachable)?;
    Ok(Shadow { session, version, major, home: Home::Throwaway(cluster) })
}

async fn elsewhere(
    url: &Secret,
    target: Option<&Secret>,
    deadline: Duration,
    entropy: &Entropy,
) -> Result<Shadow, ShadowError> {
    let unreachable = |e| ShadowError::Unreachable("shadow", e);
    let admin = session::connect_url(url, deadline).await.map_err(unreachable)?;
    let here = identity(&admin).await.map_err(unreachable)?;
    if let Some(target) = target {
        let unreachable = |e| ShadowError::Unreachable("target", e);
        let target = session::connect_url(target, deadline).await.map_err(unreachable)?;
        if identity(&target).await.map_err(unreachable)? == here {
            return Err(ShadowError::IsTheTarget);
        }
    }
    let name = format!("orca_shadow_{:012x}", entropy.next_u64() >> 16);
    admin.run(&format!("create database {name}")).await.map_err(unreachable)?;
    let address = Address::parse(url).expect("it was connected to by this URL");
    let session =
        session::connect(&address.with_database(&name), deadline).await.map_err(unreachable)?;
    let rows = session.run("show server_version").await.map_err(unreachable)?;
    let version = rows.into_iter().flatten().flatten().next().unwrap_or_default();
    let version = version.split_whitespace().next().unwrap_or_default().to_owned();
    let major = version.split(|c: char| !c.is_ascii_digit()).next();
    let major = major.and_then(|m| m.parse().ok()).unwrap_or_default();
    Ok(Shadow { session, version, major, home: Home::Elsewhere { admin, name } })
}

/// The cluster and the database: two URLs with both equal are one database.
async fn identity(session: &Session) -> Result<Vec<Option<String>>, SqlError> {
    let sql = "select system_identifier, current_database() from pg_catalog.pg_control_system()";
    Ok(session.run(sql).await?.into_iter().flatten().collect())
}
