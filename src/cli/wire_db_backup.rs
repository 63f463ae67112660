//! Backups and restore checks: which database, which programs, and what to type when it cannot be.

use std::time::Duration;

use super::context::Context;
use super::exit::Exit;
use super::explain::Code;
use super::failure::Failure;
use super::wire_db::places;
use super::{wire, wire_fleet};
use crate::base::limits;
use crate::base::redact::Secret;
use crate::db::backup::facts::FactsError;
use crate::db::backup::manifest::{Manifest, ManifestError};
use crate::db::shadow::ports::{Database as _, SqlError};
use crate::providers::postgres::address::Address;
pub(crate) use crate::providers::postgres::dump::Place;
use crate::providers::postgres::dump::{self, DumpError, Ready};
use crate::providers::postgres::restore::{self, RestoreError, Restored};
use crate::providers::postgres::session::{self, Session};
use crate::verbs::book::Sync;
use crate::verbs::database_step::{self, Done};

/// `--target-url`, else `ORCA_TARGET_URL`; its password is masked from here on.
pub(crate) fn target(flag: Option<&str>, context: &Context) -> Result<Secret, Failure> {
    let url = flag.map(Secret::new).or_else(|| context.env.secret("ORCA_TARGET_URL"));
    let url = url.ok_or_else(|| {
        let text = "no database is named";
        Failure::new(Code::NoTarget, Exit::Usage, text)
            .hint("export ORCA_TARGET_URL=postgres://user:password@host:5432/database")
    })?;
    context.redactor.learn_url(url.expose());
    Ok(url)
}

/// A connection on which nothing can be changed.
pub(crate) async fn read_only(url: &Secret, timeout: Duration) -> Result<Session, Failure> {
    Address::parse(url).map_err(DumpError::Address)?;
    let session = session::connect_url(url, timeout + limits::HTTP_CALL).await;
    let session = session.map_err(DumpError::Unreachable)?;
    let settings = format!(
        "set default_transaction_read_only = on; set statement_timeout = {}; set lock_timeout = '10s'",
        timeout.as_millis()
    );
    session.run(&settings).await.map_err(DumpError::Unreachable)?;
    Ok(session)
}

/// The target answered with an error.
pub(crate) fn unreadable(error: &SqlError) -> Failure {
    DumpError::Unreachable(error.clone()).into()
}

/// Connects, opens a snapshot and finds the program.
pub(crate) async fn prepare(
    url: Secret,
    left_out: &[String],
    timeout: Duration,
    context: &Context,
) -> Result<Ready, Failure> {
    let left_out = left_out.to_vec();
    let wanted = dump::Wanted { url, places: places(context), left_out, timeout };
    Ok(dump::prepare(&wanted).await?)
}

/// Looks whether the dump is the one that was written, then restores it.
pub(crate) async fn restore(
    wanted: (&std::path::Path, &Manifest),
    (jobs, timeout): (u32, Duration),
    context: &Context,
) -> Result<Restored, Failure> {
    let (dump, manifest) = wanted;
    context.say("checking the digest");
    tokio::task::block_in_place(|| restore::verify(dump, manifest))?;
    let mib = manifest.bytes / (1024 * 1024);
    context.say(format!("restoring {mib} MiB into a throwaway Postgres"));
    let dump = dump.to_owned();
    let wanted = restore::Wanted { places: places(context), dump, jobs, timeout };
    Ok(restore::restore(&wanted, manifest, &context.entropy).await?)
}

/// Keeps it in the ledger, where there is one; without one the work is done all the same.
pub(crate) async fn record(done: Done, context: &Context) -> &'static str {
    let kept = async {
        let config = wire::load_config_or_default(context)?;
        let book = wire_fleet::book(context, &config)?;
        let recorded = database_step::record(book.as_ref(), &config.environment.value, done);
        Ok::<_, Failure>(recorded.await?)
    };
    match kept.await {
        Ok(Sync::Pending(_)) => "pending",
        Ok(Sync::Unwritten(_)) => "unwritten",
        Ok(Sync::NoLedger) => "none",
        Ok(Sync::Synced | Sync::NoRemote) => "recorded",
        Err(failure) if failure.code == Code::NoRepository => "none",
        Err(failure) => {
            context.warn(format!("not recorded in the ledger: {failure}"));
            "none"
        }
    }
}

impl From<DumpError> for Failure {
    fn from(error: DumpError) -> Self {
        let text = error.to_string();
        let unavailable = |code| Self::new(code, Exit::Unavailable, text.clone());
        match error {
            DumpError::Address(_) => Self::new(Code::NoTarget, Exit::Usage, text)
                .hint("postgres://user:password@host:5432/database?sslmode=require"),
            DumpError::Unreachable(_) => {
                unavailable(Code::TargetUnreadable).hint("try the same URL with psql")
            }
            DumpError::NoProgram { server, .. } => unavailable(Code::NoClient)
                .hint(format!("apt-get install postgresql-client-{server}"))
                .hint("ORCA_PG_BIN names the folder of another one"),
            DumpError::Facts(FactsError::Unreadable(_)) => unavailable(Code::TargetUnreadable)
                .hint("use a role that may read everything, or --exclude-schema NAME"),
            DumpError::Facts(_) | DumpError::Program { .. } | DumpError::Spawn(..) => {
                unavailable(Code::BackupBroken)
                    .hint("run it again; nothing was changed and no file was left")
            }
            DumpError::Late(_) => {
                unavailable(Code::BackupBroken).hint("--timeout gives it more time")
            }
            DumpError::File(_, error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                unavailable(Code::BackupUnwritten)
                    .hint("run it again: the next name has a new time")
            }
            DumpError::File(..) => unavailable(Code::BackupUnwritten)
                .hint("df -h shows which disk is full; --out names another folder"),
        }
    }
}

impl From<ManifestError> for Failure {
    fn from(error: ManifestError) -> Self {
        let text = error.to_string();
        let failure = Self::new(Code::BackupUnusable, Exit::Usage, text);
        match error {
            ManifestError::None(_) => failure.hint("orca db backup makes one"),
            ManifestError::Newer(..) => failure.hint("use the orca that wrote it, or a newer one"),
            _ => failure.hint("name the .dump file that orca db backup wrote"),
        }
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        let text = error.to_string();
        let inconclusive = |code| Self::new(code, Exit::Inconclusive, text.clone());
        match error {
            RestoreError::Shadow(error) => error.into(),
            RestoreError::Damaged { .. } => Self::new(Code::BackupUnusable, Exit::Closed, text)
                .hint("take another one: orca db backup"),
            RestoreError::File(..) => Self::new(Code::BackupUnusable, Exit::Closed, text)
                .hint("the dump stands beside its manifest"),
            RestoreError::NoProgram { wanted, .. } => inconclusive(Code::NoClient)
                .hint(format!("apt-get install postgresql-client-{wanted}"))
                .hint("ORCA_PG_BIN names the folder of another one"),
            RestoreError::NoRoom { .. } => {
                inconclusive(Code::RestoreUntried).hint("TMPDIR=FOLDER names a larger disk")
            }
            RestoreError::Late(_) => {
                inconclusive(Code::RestoreUntried).hint("--timeout gives it more time")
            }
            RestoreError::Server(..) | RestoreError::Facts(_) | RestoreError::Program(_) => {
                inconclusive(Code::RestoreUntried)
                    .hint("see whether the disk is full: df -h; TMPDIR=FOLDER names another one")
            }
        }
    }
}
