//! A dump and the facts of one snapshot: a transaction exports it, `pg_dump` and the checksums read
//! it side by side. What `pg_dump` writes goes through orca, so that it ends when orca ends, and a
//! full disk is seen where it happens.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use super::address::{Address, AddressError};
use super::binaries::{self, Binaries, Places};
use super::partial::Partial;
use super::program;
use super::session::{self, Session};
use crate::base::clock::{self, Timestamp};
use crate::base::redact::Secret;
use crate::db::backup::facts::{self, Facts, FactsError};
use crate::db::backup::manifest::{Manifest, SCHEMA, Source};
use crate::db::shadow::ports::{Database as _, SqlError};

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) url: Secret,
    pub(crate) places: Places,
    pub(crate) left_out: Vec<String>,
    /// For dump and checksums together.
    pub(crate) timeout: Duration,
}

/// Why there is no backup.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DumpError {
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("the database does not answer: {0}")]
    Unreachable(SqlError),
    #[error("the server is Postgres {server}, and no pg_dump {server} or newer was found{}", seen_text(.seen))]
    NoProgram { server: u32, seen: Vec<String> },
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error("pg_dump ended with {status}: {why}")]
    Program { status: ExitStatus, why: String },
    #[error("{0} could not be run: {1}")]
    Spawn(PathBuf, std::io::Error),
    #[error("{0} could not be written: {1}")]
    File(PathBuf, std::io::Error),
    #[error("it did not end within {} s", .0.as_secs())]
    Late(Duration),
}

fn seen_text(seen: &[String]) -> String {
    if seen.is_empty() { String::new() } else { format!("; seen: {}", seen.join(", ")) }
}

/// A database that can be dumped: it was asked, and the program is there.
pub(crate) struct Ready {
    session: Session,
    address: Address,
    pub(crate) source: Source,
    pub(crate) program: Binaries,
    pub(crate) tables: usize,
    taken_at: Timestamp,
    snapshot: String,
    left_out: Vec<String>,
    timeout: Duration,
}

const SNAPSHOT: &str = "select pg_catalog.pg_export_snapshot(), \
     (extract(epoch from pg_catalog.clock_timestamp()) * 1000000)::int8, pg_catalog.current_database(), \
     pg_catalog.current_setting('server_version'), pg_catalog.current_setting('server_version_num'), \
     pg_catalog.current_setting('server_encoding'), \
     pg_catalog.pg_database_size(pg_catalog.current_database())";

/// Connects, opens the snapshot and looks whether everything can be read.
pub(crate) async fn prepare(wanted: &Wanted) -> Result<Ready, DumpError> {
    let address = Address::parse(&wanted.url)?;
    let session = session::connect(&address, wanted.timeout).await;
    let session = session.map_err(DumpError::Unreachable)?;
    let sql = |e| DumpError::Facts(FactsError::Sql(e));
    session.run(facts::SETTINGS).await.map_err(sql)?;
    session.run("begin isolation level repeatable read read only").await.map_err(sql)?;
    let row = session.run(SNAPSHOT).await.map_err(sql)?.into_iter().next().unwrap_or_default();
    let mut cells = row.into_iter().map(Option::unwrap_or_default);
    let mut next = || cells.next().unwrap_or_default();
    let (snapshot, at, database) = (next(), next(), next());
    let (version, number, encoding, size) = (next(), next(), next(), next());
    let major = number.parse::<u32>().unwrap_or_default() / 10_000;
    let source = Source {
        database,
        version: version.split(' ').next().unwrap_or_default().to_owned(),
        major,
        encoding,
        database_bytes: size.parse().unwrap_or_default(),
    };
    let found = binaries::find_client(&wanted.places, "pg_dump", major).await;
    let program = found.map_err(|seen| DumpError::NoProgram { server: major, seen })?;
    let tables = facts::tables(&session, &wanted.left_out).await?.len();
    Ok(Ready {
        session,
        address,
        source,
        program,
        tables,
        taken_at: Timestamp::from_us(at.parse().unwrap_or_default()),
        snapshot,
        left_out: wanted.left_out.clone(),
        timeout: wanted.timeout,
    })
}

/// Where the dump goes.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// Without an ending.
    pub(crate) name: String,
}

impl Ready {
    /// Dumps, and answers the manifest and its path.
    pub(crate) async fn dump(self, place: &Place) -> Result<(PathBuf, Manifest), DumpError> {
        let start = clock::monotonic();
        let file = format!("{}.dump", place.name);
        let path = place.folder.join(&file);
        let unwritten = |e| DumpError::File(path.clone(), e);
        if path.exists() {
            return Err(unwritten(std::io::ErrorKind::AlreadyExists.into()));
        }
        let mut partial = Partial::open(&place.folder, &file).map_err(unwritten)?;
        let both = async {
            let dump = self.stream(&mut partial, &path);
            let facts = async { Ok(Facts::read(&self.session, &self.left_out).await?) };
            // The first that fails ends the other.
            tokio::try_join!(dump, facts)
        };
        let both = tokio::time::timeout(self.timeout, both).await;
        let ((), facts) = both.map_err(|_| DumpError::Late(self.timeout))??;
        let (bytes, sha256) = partial.finish(&path).map_err(unwritten)?;
        let manifest = Manifest {
            schema: SCHEMA.to_owned(),
            orca: env!("CARGO_PKG_VERSION").to_owned(),
            file,
            bytes,
            sha256: sha256.to_string(),
            taken_at: self.taken_at,
            duration_us: clock::elapsed_us(start),
            source: self.source,
            dump_version: self.program.version,
            left_out: self.left_out,
            facts,
        };
        let beside = path.with_extension("json");
        manifest.write(&beside).map_err(|e| DumpError::File(beside.clone(), e))?;
        Ok((beside, manifest))
    }

    async fn stream(&self, partial: &mut Partial, path: &Path) -> Result<(), DumpError> {
        let program = self.program.folder.join("pg_dump");
        let mut command = program::client(&program, &self.address);
        command.args(["--format=custom", "--no-password", "--lock-wait-timeout=30s"]);
        command.arg(format!("--snapshot={}", self.snapshot));
        for schema in &self.left_out {
            command.arg(format!("--exclude-schema=\"{}\"", schema.replace('"', "\"\"")));
        }
        // A line that went dead is found within two minutes.
        command.arg("--dbname=keepalives_idle=30 keepalives_interval=15 keepalives_count=4");
        let mut child = command.spawn().map_err(|e| DumpError::Spawn(program.clone(), e))?;
        let mut rows = child.stdout.take().expect("its output is piped");
        let said = tokio::spawn(program::said(child.stderr.take().expect("it is piped")));
        let mut piece = vec![0; 256 * 1024];
        loop {
            let read = rows.read(&mut piece).await;
            let read = read.map_err(|e| DumpError::Spawn(program.clone(), e))?;
            if read == 0 {
                break;
            }
            tokio::task::block_in_place(|| partial.write(&piece[..read]))
                .map_err(|e| DumpError::File(path.to_owned(), e))?;
        }
        let status = child.wait().await.map_err(|e| DumpError::Spawn(program, e))?;
        let said = said.await.unwrap_or_default();
        if status.success() {
            return Ok(());
        }
        let why = program::errors(&said);
        let why = if why.is_empty() { said.trim().to_owned() } else { why.join("; ") };
        Err(DumpError::Program { status, why: why.chars().take(600).collect() })
    }
}
