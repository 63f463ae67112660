//! Where the shadow database comes from: a server that a URL names and that is not the target, else a
//! throwaway cluster. Either way the database is new and goes again.

use std::time::Duration;

use async_trait::async_trait;

use super::address::Address;
use super::binaries::{self, Binaries, Places};
use super::cluster::{Cluster, ClusterError};
use super::install;
use super::session::{self, Session};
use super::template::{Kept, Store};
use crate::base::clock::Entropy;
use crate::base::digest::Digest;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::db::shadow::ports::{Database, NoShadow, NoShadowKind, Row, Shadow, Shadows, SqlError};

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
    /// Where states of throwaway clusters are kept.
    pub(crate) store: Option<Store>,
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
    #[error("no database can be made on the server of the shadow URL: {0}")]
    NoDatabase(SqlError),
    #[error("the shadow URL leads to the target itself")]
    IsTheTarget,
}

fn seen_text(seen: &[String]) -> String {
    if seen.is_empty() { String::new() } else { format!("; seen: {}", seen.join(", ")) }
}

impl From<ShadowError> for NoShadow {
    fn from(error: ShadowError) -> Self {
        use NoShadowKind::{IsTheTarget, Missing, Unreachable, Unusable};
        let own = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        let (kind, next) = match &error {
            ShadowError::NoBinaries { wanted, .. } => {
                (Missing, install::commands(wanted.unwrap_or(17)))
            }
            ShadowError::Cluster(ClusterError::Root) => {
                (Missing, own(&["useradd --system postgres, or run orca as another user"]))
            }
            ShadowError::Cluster(_) => (
                Unusable,
                own(&["see whether the disk is full; ORCA_PG_BIN chooses another Postgres"]),
            ),
            ShadowError::Unreachable(..) => (
                Unreachable,
                own(&["try the same URL with psql; without --shadow-url a local Postgres is used"]),
            ),
            ShadowError::NoDatabase(_) => (
                Unusable,
                own(&[
                    "use a role that may create databases and roles, such as supabase_admin of \
                       supabase start; without --shadow-url a local Postgres is used",
                ]),
            ),
            ShadowError::IsTheTarget => {
                (IsTheTarget, own(&["leave --shadow-url out, or name another server"]))
            }
        };
        Self { kind, text: error.to_string(), next }
    }
}

/// Makes what users asked for.
#[derive(Debug)]
pub(crate) struct Makers {
    pub(crate) wanted: Wanted,
    pub(crate) entropy: Entropy,
}

#[async_trait]
impl Shadows for Makers {
    async fn open(&self, states: &[Digest]) -> Result<Box<dyn Shadow>, NoShadow> {
        // The server ends an endless statement; the client's deadline is for a server that hangs.
        let deadline = self.wanted.statement_timeout + limits::HTTP_CALL;
        let made = match &self.wanted.url {
            Some(url) => elsewhere(url, self.wanted.target.as_ref(), deadline, &self.entropy).await,
            None => self.throwaway(states, deadline).await,
        };
        Ok(Box::new(made?))
    }
}

impl Makers {
    async fn throwaway(&self, states: &[Digest], deadline: Duration) -> Result<Made, ShadowError> {
        let wanted = &self.wanted;
        let found = binaries::find(&wanted.places, wanted.major).await;
        let found = found.map_err(|seen| ShadowError::NoBinaries { wanted: wanted.major, seen })?;
        let Binaries { major, version, .. } = found.clone();
        let mut kept = wanted.store.as_ref().and_then(|store| store.find(&version, states));
        let mut cluster = Cluster::start_from(&found, &self.entropy, kept.as_ref()).await;
        if let Some(broken) = kept.take_if(|_| cluster.is_err()) {
            broken.forget();
            cluster = Cluster::start(&found, &self.entropy).await;
        }
        let cluster = cluster?;
        let unreachable = |e| ShadowError::Unreachable("shadow", e);
        let session = session::connect(&cluster.address("postgres"), deadline).await;
        let session = session.map_err(unreachable)?;
        let home = Home::Throwaway { cluster, store: wanted.store.clone(), kept };
        Ok(Made { session, version, major, entropy: self.entropy.clone(), home })
    }
}

/// A database and the connection to it.
pub(super) struct Made {
    session: Session,
    version: String,
    major: u32,
    entropy: Entropy,
    home: Home,
}

enum Home {
    Throwaway {
        cluster: Cluster,
        store: Option<Store>,
        kept: Option<Kept>,
    },
    Elsewhere {
        admin: Session,
        name: String,
    },
    /// It goes with the branch.
    Branch,
}

impl Made {
    pub(super) async fn on_branch(session: Session, entropy: Entropy) -> Result<Self, SqlError> {
        Self::on_server(session, entropy, Home::Branch).await
    }

    /// On a server that is there, and says its version.
    async fn on_server(session: Session, entropy: Entropy, home: Home) -> Result<Self, SqlError> {
        let rows = session.run("show server_version").await?;
        let version = rows.into_iter().flatten().flatten().next().unwrap_or_default();
        let version = version.split_whitespace().next().unwrap_or_default().to_owned();
        let major = version.split(|c: char| !c.is_ascii_digit()).next();
        let major = major.and_then(|m| m.parse().ok()).unwrap_or_default();
        Ok(Self { session, version, major, entropy, home })
    }
}

#[async_trait]
impl Database for Made {
    async fn run(&self, sql: &str) -> Result<Vec<Row>, SqlError> {
        self.session.run(sql).await
    }

    async fn copy_in(&self, sql: &str, rows: &str) -> Result<(), SqlError> {
        self.session.copy_in(sql, rows).await
    }
}

#[async_trait]
impl Shadow for Made {
    fn version(&self) -> &str {
        &self.version
    }

    fn major(&self) -> u32 {
        self.major
    }

    fn kept(&self) -> Option<(usize, &str)> {
        match &self.home {
            Home::Throwaway { kept: Some(kept), .. } => Some((kept.at, &kept.note)),
            _ => None,
        }
    }

    /// After a checkpoint nothing is left to write, for nothing else runs on this server.
    async fn keep(&self, state: &Digest, note: &str) {
        let Home::Throwaway { cluster, store: Some(store), .. } = &self.home else { return };
        if self.session.run("checkpoint").await.is_err() {
            return;
        }
        let (store, data, entropy) = (store.clone(), cluster.data(), self.entropy.clone());
        let (version, state, note) = (self.version.clone(), *state, note.to_owned());
        let copied = tokio::task::spawn_blocking(move || {
            store.keep(&data, (&version, &state), &note, &entropy)
        });
        // A state that is not kept is made again by the next run.
        let _ = copied.await;
    }

    /// A database on another server is dropped there; a cluster goes with this value.
    async fn close(self: Box<Self>) {
        let Self { session, home, .. } = *self;
        drop(session);
        if let Home::Elsewhere { admin, name } = home {
            let _ = admin.run(&format!("drop database if exists {name} with (force)")).await;
        }
    }
}

async fn elsewhere(
    url: &Secret,
    target: Option<&Secret>,
    deadline: Duration,
    entropy: &Entropy,
) -> Result<Made, ShadowError> {
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
    let made = admin.run(&format!("create database {name}")).await;
    made.map_err(|error| {
        if error.is_of_the_server() {
            ShadowError::Unreachable("shadow", error)
        } else {
            ShadowError::NoDatabase(error)
        }
    })?;
    let address = Address::parse(url).expect("it was connected to by this URL");
    let session =
        session::connect(&address.with_database(&name), deadline).await.map_err(unreachable)?;
    let home = Home::Elsewhere { admin, name };
    Made::on_server(session, entropy.clone(), home).await.map_err(unreachable)
}

/// The cluster and the database: two URLs with both equal are one database.
async fn identity(session: &Session) -> Result<Vec<Option<String>>, SqlError> {
    let sql = "select system_identifier, current_database() from pg_catalog.pg_control_system()";
    Ok(session.run(sql).await?.into_iter().flatten().collect())
}
