//! `orca ledger sync`: takes in what waits in files, and makes one history with the remote.

use schemars::JsonSchema;
use serde::Serialize;

use super::place::Place;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire_back, wire_fleet};
use crate::ledger::reconcile::Standing;
use crate::verbs::book::BookError;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Say what waits here, ask nobody and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Where the ledger stands against its remote.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Synced {
    dry_run: bool,
    /// `synced`, `pending` or `no_remote`; `no_ledger` where there is none, here or there.
    standing: &'static str,
    /// Entries here now.
    entries: u64,
    /// Entries that the remote did not have, as far as was known here before.
    waiting: u64,
    /// Intents and facts that waited in files.
    pending_files: usize,
    /// Entries that came from the remote.
    fetched: u64,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    // What a rollback left behind is shared whatever became of the file since.
    let file = wire_back::known(&Place::default(), context)?;
    let book = wire_fleet::ledger(context, file.config())?;
    let dry_run = args.dry_run;
    let done = book.on_thread(move |ledger| {
        let (waiting, pending_files) = ledger.waiting()?;
        let before = ledger.head()?.count;
        let standing = if dry_run { ledger.synced()? } else { ledger.sync()? };
        let entries = ledger.head()?.count;
        Ok((standing, waiting, pending_files, before, entries))
    });
    let (standing, waiting, pending_files, before, entries) = done.await?;
    let standing = match standing {
        Standing::Synced => "synced",
        Standing::NoRemote => "no_remote",
        Standing::Pending => "pending",
        Standing::Rewound => {
            let text = "ledger rewound: it does not go on from what was seen here before";
            return Err(
                BookError::Unsound(crate::verbs::book::Unsound::Rewound(text.into())).into()
            );
        }
    };
    if standing == "pending" && !dry_run {
        let text = "the remote kept changing; what is here is not shared yet".to_owned();
        return Err(BookError::Unsynced(text).into());
    }
    let own = u64::try_from(pending_files).unwrap_or(u64::MAX);
    let fetched = if dry_run { 0 } else { entries.saturating_sub(before).saturating_sub(own) };
    // Nothing was made one with anything: whoever waits for entries is in the wrong repository.
    let is_none = entries == 0 && pending_files == 0;
    let standing = if is_none { "no_ledger" } else { standing };
    let exit = if is_none && !dry_run { Exit::Unavailable } else { Exit::Done };
    let document = Synced { dry_run, standing, entries, waiting, pending_files, fetched };
    let report = Report::new(exit, "orca.ledger-sync/v1", &document, human(&document));
    Ok(match (dry_run, is_none) {
        (true, _) => report.next("orca ledger sync"),
        (false, true) => report
            .next("orca -C FOLDER ledger sync, in the repository of the service")
            .next("orca release tag --rc writes its first entry"),
        (false, false) => report,
    })
}

fn human(done: &Synced) -> String {
    let Synced { entries, waiting, pending_files, fetched, .. } = done;
    let files = match pending_files {
        0 => String::new(),
        count => format!("; {count} that waited in files"),
    };
    match (done.dry_run, done.standing) {
        (true, "no_ledger") => "there is no ledger here yet; sync asks the remote\n".to_owned(),
        (false, "no_ledger") => {
            "there is no ledger, here or at a remote: nothing was synced\n".to_owned()
        }
        (true, _) => format!("would share {waiting} of {entries} entries{files}\n"),
        (false, "no_remote") => {
            format!("there is no remote to share with; {entries} entries are here{files}\n")
        }
        (false, _) => {
            format!("synced: {entries} entries, {fetched} fetched, {waiting} shared{files}\n")
        }
    }
}
