//! `orca db backup`: a dump, and beside it what the database held in the very same snapshot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_db_backup::{self, Place};
use crate::db::backup::manifest::{Manifest, Source};
use crate::ledger::entry::Outcome;
use crate::verbs::database_step::Done;

/// Where backups are kept unless somebody says otherwise.
pub(super) const FOLDER: &str = ".orca/backups";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long, value_name = "URL", help = "The database [env: ORCA_TARGET_URL]")]
    target_url: Option<String>,

    /// Folder for the dump and its manifest
    #[arg(long, value_name = "FOLDER", default_value = FOLDER)]
    out: PathBuf,

    /// Leave this schema out; may be given several times
    #[arg(long, value_name = "NAME")]
    exclude_schema: Vec<String>,

    /// Dump and checksums together may take this long
    #[arg(long, value_name = "TIME", default_value = "6h")]
    timeout: Micros,

    /// Look whether everything is there and readable, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// A backup that was taken, or could be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BackupDocument {
    dry_run: bool,
    /// The dump, in the custom format of `pg_dump`.
    file: Option<String>,
    manifest: Option<String>,
    bytes: Option<u64>,
    sha256: Option<String>,
    /// The moment of the snapshot, by the server's clock.
    taken_at: Option<String>,
    duration_us: Option<u64>,
    server_version: String,
    dump_version: String,
    database: String,
    database_bytes: u64,
    tables: usize,
    rows: Option<u64>,
    left_out: Vec<String>,
    /// `recorded`, `pending` (kept here, not shared yet) or `none`.
    ledger: &'static str,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let url = wire_db_backup::target(args.target_url.as_deref(), context)?;
    let timeout = args.timeout.duration();
    let ready = wire_db_backup::prepare(url, &args.exclude_schema, timeout, context).await?;
    let (source, tables) = (ready.source.clone(), ready.tables);
    let dump_version = ready.program.version.clone();
    let folder = beside(&args.out, context);
    let mut document = BackupDocument {
        dry_run: args.dry_run,
        file: None,
        manifest: None,
        bytes: None,
        sha256: None,
        taken_at: None,
        duration_us: None,
        server_version: source.version.clone(),
        dump_version,
        database: source.database.clone(),
        database_bytes: source.database_bytes,
        tables,
        rows: None,
        left_out: args.exclude_schema.clone(),
        ledger: "none",
    };
    if args.dry_run {
        let human = format!(
            "would dump {tables} tables of {} ({}) from Postgres {} with pg_dump {} into {}\n",
            source.database,
            size(source.database_bytes),
            source.version,
            document.dump_version,
            folder.display()
        );
        return Ok(Report::new(Exit::Done, "orca.db-backup/v1", &document, human));
    }
    context.say(format!(
        "dumping {tables} tables of {} ({})",
        source.database,
        size(source.database_bytes)
    ));
    let place = Place { name: name(&source, context), folder };
    let (path, manifest) = ready.dump(&place).await?;
    document.ledger = wire_db_backup::record(done(&manifest), context).await;
    Ok(report(document, (&path, &manifest)))
}

/// The database and the second; only plain characters, for it is the name of a file.
fn name(source: &Source, context: &Context) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let database: String = source.database.chars().map(plain).take(60).collect();
    let at: String =
        context.clock.now().rfc3339().chars().filter(|c| *c != '-' && *c != ':').collect();
    format!("{database}-{at}")
}

fn done(manifest: &Manifest) -> Done {
    let detail = [
        ("file", manifest.file.clone()),
        ("sha256", manifest.sha256.clone()),
        ("bytes", manifest.bytes.to_string()),
        ("taken_at", manifest.taken_at.rfc3339()),
        ("server_version", manifest.source.version.clone()),
    ];
    Done {
        name: "db backup",
        detail: BTreeMap::from(detail.map(|(key, value)| (key.to_owned(), value))),
        outcome: Outcome::Done,
        says: format!(
            "backup {} of {} tables, {} rows, {} bytes, {}",
            manifest.file,
            manifest.facts.tables.len(),
            manifest.facts.rows(),
            manifest.bytes,
            manifest.sha256
        ),
    }
}

fn report(document: BackupDocument, (path, manifest): (&Path, &Manifest)) -> Report {
    let file = path.with_extension("dump").display().to_string();
    let document = BackupDocument {
        file: Some(file.clone()),
        manifest: Some(path.display().to_string()),
        bytes: Some(manifest.bytes),
        sha256: Some(manifest.sha256.clone()),
        taken_at: Some(manifest.taken_at.rfc3339()),
        duration_us: Some(manifest.duration_us),
        rows: Some(manifest.facts.rows()),
        ..document
    };
    let left_out = match manifest.left_out.as_slice() {
        [] => String::new(),
        schemas => format!("left out: {}\n", schemas.join(", ")),
    };
    let human = format!(
        "backed up {}: {} tables, {} rows, {} in {}\nfile:     {file}\nsha256:   {}\nsnapshot: {}\n\
         {left_out}ledger:   {}\n",
        manifest.source.database,
        manifest.facts.tables.len(),
        manifest.facts.rows(),
        size(manifest.bytes),
        Micros(manifest.duration_us),
        manifest.sha256,
        manifest.taken_at.rfc3339(),
        document.ledger,
    );
    Report::new(Exit::Done, "orca.db-backup/v1", &document, human)
        .output("backup", file.clone())
        .output("sha256", manifest.sha256.clone())
        .next(format!("orca db restore-check {file}"))
}

/// A path as the user would write it.
pub(super) fn beside(path: &Path, context: &Context) -> PathBuf {
    let here = context.folder == Path::new(".");
    if here { path.to_owned() } else { context.folder.join(path) }
}

/// Bytes as people read them.
pub(super) fn size(bytes: u64) -> String {
    const KIB: u64 = 1024;
    match bytes {
        0..KIB => format!("{bytes} B"),
        KIB..1_048_576 => format!("{} KiB", bytes / KIB),
        1_048_576..1_073_741_824 => format!("{} MiB", bytes / (KIB * KIB)),
        _ => format!("{} GiB", bytes / (KIB * KIB * KIB)),
    }
}
