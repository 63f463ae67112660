//! A dump restored into a throwaway cluster, as far as this machine's extensions go.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::binaries::{self, Places};
use super::cluster::{Cluster, ClusterError};
use super::program;
use super::session::{self, Session};
use super::shadow::ShadowError;
use crate::base::clock::{self, Entropy};
use crate::base::digest::Digest;
use crate::base::limits;
use crate::base::units::Micros;
use crate::db::backup::facts::{self, Facts, FactsError};
use crate::db::backup::manifest::Manifest;
use crate::db::catalog::lines;
use crate::db::shadow::extension::{Extensions, Treatment};
use crate::db::shadow::ports::{Database as _, SqlError};
use crate::db::sql::script::Script;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) places: Places,
    pub(crate) dump: PathBuf,
    /// Workers of `pg_restore`.
    pub(crate) jobs: u32,
    pub(crate) timeout: Duration,
}

/// Why it could not be decided what the backup is worth.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    #[error(transparent)]
    Shadow(#[from] ShadowError),
    #[error("no pg_restore {wanted} or newer was found{}", if .seen.is_empty() { String::new() } else { format!("; seen: {}", .seen.join(", ")) })]
    NoProgram { wanted: u32, seen: Vec<String> },
    #[error("{0}: {1}")]
    File(PathBuf, std::io::Error),
    /// The backup itself is to blame.
    #[error("{} is not the file that was written: it has {is}, its manifest says {was}", .file.display())]
    Damaged { file: PathBuf, is: String, was: String },
    #[error("the restore needs about {wanted_mib} MiB, and {} has {free_mib} MiB", .home.display())]
    NoRoom { home: PathBuf, wanted_mib: u64, free_mib: u64 },
    #[error("the throwaway server could not {0}: {1}")]
    Server(&'static str, SqlError),
    #[error(transparent)]
    Facts(FactsError),
    #[error("pg_restore could not run: {0}")]
    Program(String),
    #[error("it did not end within {} s", .0.as_secs())]
    Late(Duration),
}

/// One step and how long it took.
pub(crate) type Step = (&'static str, Micros);

/// What came back.
pub(crate) struct Restored {
    pub(crate) version: String,
    pub(crate) facts: Facts,
    /// Catalog lines that stand-ins brought: kind and name.
    pub(crate) stand_ins: BTreeSet<(String, String)>,
    /// Extensions that this server does not have.
    pub(crate) substitutes: Vec<String>,
    pub(crate) errors: Vec<String>,
    pub(crate) steps: Vec<Step>,
}

/// Looks whether the dump is the one that was written.
pub(crate) fn verify(dump: &Path, manifest: &Manifest) -> Result<(), RestoreError> {
    let read = super::partial::digest_of(dump);
    let (bytes, is) = read.map_err(|e| RestoreError::File(dump.to_owned(), e))?;
    if bytes == manifest.bytes && Some(is) == Digest::parse(&manifest.sha256) {
        return Ok(());
    }
    let (is, was) = if bytes == manifest.bytes {
        (is.to_string(), manifest.sha256.clone())
    } else {
        (format!("{bytes} bytes"), format!("{} bytes", manifest.bytes))
    };
    Err(RestoreError::Damaged { file: dump.to_owned(), is, was })
}

/// Restores it and reads what came back; the cluster is gone afterwards.
pub(crate) async fn restore(
    wanted: &Wanted,
    manifest: &Manifest,
    entropy: &Entropy,
) -> Result<Restored, RestoreError> {
    let major = manifest.source.major;
    let found = binaries::find(&wanted.places, Some(major)).await;
    let found = found.map_err(|seen| ShadowError::NoBinaries { wanted: Some(major), seen })?;
    if found.major != major {
        let seen = vec![format!("{} in {}", found.version, found.folder.display())];
        return Err(ShadowError::NoBinaries { wanted: Some(major), seen }.into());
    }
    let written = manifest.dump_version.split('.').next().and_then(|m| m.parse().ok());
    let needed = written.unwrap_or(major);
    let program = binaries::find_client(&wanted.places, "pg_restore", needed).await;
    let program = program.map_err(|seen| RestoreError::NoProgram { wanted: needed, seen })?;
    enough_room(manifest)?;
    let mut watch = Watch::start();
    let cluster = Cluster::start(&found, entropy).await.map_err(ShadowError::Cluster)?;
    watch.lap("start a server");
    let program = program.folder.join("pg_restore");
    let home = Home { cluster: &cluster, program: &program, wanted, manifest };
    let restoring = tokio::time::timeout(wanted.timeout, home.restore(&mut watch));
    let (restored, session) = restoring.await.map_err(|_| RestoreError::Late(wanted.timeout))??;
    drop(session);
    drop(cluster);
    Ok(Restored { version: found.version, steps: watch.laps, ..restored })
}

/// A database needs about its own size: its log is not kept, its indexes are.
fn enough_room(manifest: &Manifest) -> Result<(), RestoreError> {
    let home = Cluster::home().map_err(ShadowError::Cluster)?;
    let Ok(room) = rustix::fs::statvfs(&home) else { return Ok(()) };
    let (free, wanted) =
        (room.f_bavail.saturating_mul(room.f_frsize), manifest.source.database_bytes);
    // A new cluster alone has 40 MB.
    let wanted = wanted.saturating_add(48 * 1024 * 1024);
    if free >= wanted {
        return Ok(());
    }
    let mib = |bytes: u64| bytes / (1024 * 1024);
    Err(RestoreError::NoRoom { home, wanted_mib: mib(wanted), free_mib: mib(free) })
}

struct Watch {
    last: std::time::Instant,
    laps: Vec<Step>,
}

impl Watch {
    fn start() -> Self {
        Self { last: clock::monotonic(), laps: Vec::new() }
    }

    fn lap(&mut self, name: &'static str) {
        self.laps.push((name, Micros(clock::elapsed_us(self.last))));
        self.last = clock::monotonic();
    }
}

/// The database that everything is restored into.
const NAME: &str = "restored";

struct Home<'a> {
    cluster: &'a Cluster,
    program: &'a Path,
    wanted: &'a Wanted,
    manifest: &'a Manifest,
}

impl Home<'_> {
    async fn restore(&self, watch: &mut Watch) -> Result<(Restored, Session), RestoreError> {
        let failed = |what| move |e| RestoreError::Server(what, e);
        let admin = self.session("postgres").await?;
        for sql in self.roles() {
            admin.run(&sql).await.map_err(failed("make the roles"))?;
        }
        let encoding = self.manifest.source.encoding.replace('\'', "");
        let create =
            format!("create database {NAME} template template0 encoding '{encoding}' locale 'C'");
        admin.run(&create).await.map_err(failed("make the database"))?;
        let session = self.session(NAME).await?;
        let missing = self.stand_ins(&session).await.map_err(failed("make stand-ins"))?;
        let hidden: Vec<&str> = self.manifest.left_out.iter().map(String::as_str).collect();
        let lines = lines::read(&session, &hidden).await.map_err(failed("read the catalogs"))?;
        let stand_ins = lines.into_iter().map(|line| (line.kind, line.name)).collect();
        watch.lap("make roles and the database");
        let errors = self.run(&missing).await?;
        watch.lap("restore");
        session.run(facts::SETTINGS).await.map_err(failed("be asked"))?;
        let facts = Facts::read(&session, &self.manifest.left_out).await;
        let facts = facts.map_err(RestoreError::Facts)?;
        watch.lap("compare");
        let substitutes = missing.into_iter().collect();
        let (version, steps) = (String::new(), Vec::new());
        Ok((Restored { version, facts, stand_ins, substitutes, errors, steps }, session))
    }

    async fn session(&self, database: &str) -> Result<Session, RestoreError> {
        let address = self.cluster.address(database);
        let session = session::connect(&address, self.wanted.timeout).await;
        session.map_err(|e| RestoreError::Server("be reached", e))
    }

    /// Roles are no part of a dump; passwords are no part of the manifest.
    fn roles(&self) -> Vec<String> {
        let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let facts = &self.manifest.facts;
        let words =
            |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || " -0123456789".contains(c));
        let roles = facts.roles.iter().filter(|role| role.name != "postgres");
        let roles = roles.filter(|role| words(&role.attributes));
        let roles = roles.map(|r| format!("create role {} {}", quoted(&r.name), r.attributes));
        let members = facts.memberships.iter();
        let members = members.map(|m| format!("grant {} to {}", quoted(&m.of), quoted(&m.member)));
        roles.chain(members).collect()
    }

    /// Stand-ins for extensions that are not here; answers the names of all that are missing.
    async fn stand_ins(&self, session: &Session) -> Result<BTreeSet<String>, SqlError> {
        let rows = session.run("select name from pg_catalog.pg_available_extensions").await?;
        let available: BTreeSet<String> = rows.into_iter().flatten().flatten().collect();
        let extensions = Extensions { available, ..Extensions::default() };
        let mut missing = BTreeSet::new();
        for extension in &self.manifest.facts.extensions {
            let quoted = |name: &str| name.replace('"', "\"\"");
            let sql = format!(
                "create extension \"{}\" with schema \"{}\"",
                quoted(&extension.name),
                quoted(&extension.schema)
            );
            let script = Script::parse(&sql);
            let Some(statement) = script.statements().next() else { continue };
            let mut treatment = extensions.treat(statement);
            if let Treatment::OrSubstitute(name, stand_in) = treatment {
                // Some are there and do not start without settings of the whole server.
                let starts = session.run(&format!("begin; {sql}")).await;
                session.run("rollback").await?;
                treatment = match starts {
                    Err(error) if error.is_of_the_server() => return Err(error),
                    Err(_) => Treatment::Substitute(name, stand_in),
                    Ok(_) => Treatment::AsItIs,
                };
            }
            match treatment {
                Treatment::Substitute(name, stand_in) => {
                    // Some want roles of Supabase; then it is missing without one.
                    match session.run(&stand_in).await {
                        Err(error) if error.is_of_the_server() => return Err(error),
                        Ok(_) | Err(_) => missing.insert(name),
                    };
                }
                Treatment::Unknown(name) => {
                    missing.insert(name);
                }
                Treatment::AsItIs | Treatment::OrSubstitute(..) | Treatment::Skip => {}
            }
        }
        Ok(missing)
    }

    /// Runs `pg_restore`; answers its errors. What does not come back shows in the comparison too.
    async fn run(&self, missing: &BTreeSet<String>) -> Result<Vec<String>, RestoreError> {
        let mut command = program::client(self.program, &self.cluster.address(NAME));
        command
            .args(["--no-password", "--dbname", NAME, "--jobs"])
            .arg(self.wanted.jobs.to_string());
        if !missing.is_empty() {
            let list = self.list(missing).await?;
            let path = self.cluster.folder().join("list");
            crate::base::atomic_file::write(&path, list.as_bytes())
                .map_err(|e| RestoreError::Program(e.to_string()))?;
            command.arg("--use-list").arg(path);
        }
        command.arg(&self.wanted.dump);
        let (status, _, said) = self.output(command).await?;
        let mut errors = program::errors(&said);
        if !status && errors.is_empty() {
            let last = said.lines().last().unwrap_or("it said nothing");
            errors.push(last.to_owned());
        }
        Ok(errors)
    }

    /// The contents of the dump without the extensions that are missing and what hangs on them alone.
    async fn list(&self, missing: &BTreeSet<String>) -> Result<String, RestoreError> {
        let mut command = program::client(self.program, &self.cluster.address(NAME));
        command.arg("--list").arg(&self.wanted.dump);
        let (status, list, said) = self.output(command).await?;
        if !status {
            return Err(RestoreError::Program(said));
        }
        let of = |name: &String| [format!(" EXTENSION - {name} "), format!(" - EXTENSION {name} ")];
        let patterns: Vec<String> = missing.iter().flat_map(of).collect();
        let kept = list.lines().filter(|line| {
            let line = format!("{line} ");
            !patterns.iter().any(|pattern| line.contains(pattern))
        });
        Ok(kept.fold(String::new(), |text, line| text + line + "\n"))
    }

    async fn output(
        &self,
        mut command: tokio::process::Command,
    ) -> Result<(bool, String, String), RestoreError> {
        command.stdout(Stdio::piped());
        let failed = |e: std::io::Error| RestoreError::Program(e.to_string());
        let mut child = command.spawn().map_err(failed)?;
        let said = tokio::spawn(program::said(child.stderr.take().expect("it is piped")));
        let mut text = String::new();
        let mut output = child.stdout.take().expect("it is piped");
        (&mut output)
            .take(limits::BACKUP_MANIFEST_BYTES_MAX)
            .read_to_string(&mut text)
            .await
            .map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        Ok((status.success(), text, said.await.unwrap_or_default()))
    }
}

impl From<ClusterError> for RestoreError {
    fn from(error: ClusterError) -> Self {
        Self::Shadow(ShadowError::Cluster(error))
    }
}
