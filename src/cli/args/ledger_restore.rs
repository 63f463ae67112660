//! `orca ledger restore`: heals a ledger that was deleted, forced back or replaced.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet};
use crate::ledger::restore::{NotRestored, RemoteHealed, Restored};
use crate::verbs::ledger_book;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Another clone, by its path, or a remote, by its name or URL
    #[arg(long, value_name = "REMOTE_OR_PATH")]
    from: Option<String>,

    /// Say what would stand, and change nothing but what is fetched
    #[arg(long)]
    dry_run: bool,
}

/// What was healed, or would be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RestoredDocument {
    dry_run: bool,
    /// Where the chain that stands was found: a ref, a remote or a path.
    from: String,
    /// Entries of the ledger here before and after.
    before: u64,
    entries: u64,
    /// Entries of other chains that were put onto it.
    carried: Vec<String>,
    /// Decisions that it makes wrong, and why; their chains stay below `refs/orca/lost`.
    refused: Vec<String>,
    /// Chains that were not taken, and why; they stay below `refs/orca/lost` where they read.
    set_aside: Vec<String>,
    /// `none`, `same`, `pushed`, or why the remote is not healed yet.
    remote: String,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let book = wire_fleet::ledger(context, &config)?;
    // git runs in the repository's folder; a path is meant from here.
    let from = args.from.as_ref().map(|from| {
        let path = context.folder.join(from);
        path.canonicalize().map_or_else(|_| from.clone(), |path| path.display().to_string())
    });
    let dry_run = args.dry_run;
    let done = book.on_thread(move |ledger| Ok(ledger.restore(from.as_deref(), dry_run))).await?;
    let restored = done.map_err(failure)?;
    let document = document(&restored, dry_run);
    let healed = !matches!(restored.remote, RemoteHealed::Lost | RemoteHealed::Unreachable(_));
    let exit = if healed || dry_run { Exit::Done } else { Exit::PartDone };
    let report = Report::new(exit, "orca.ledger-restore/v1", &document, human(&document));
    Ok(match (dry_run, healed) {
        (true, _) => report.next("orca ledger restore"),
        (false, false) => report.next("orca ledger restore (safe to repeat)"),
        (false, true) => report.next("orca ledger verify").next("orca release status"),
    })
}

fn failure(error: NotRestored) -> Failure {
    let text = error.to_string();
    match error {
        NotRestored::NoChain | NotRestored::Missing { .. } => {
            Failure::new(Code::LedgerRewound, Exit::Closed, text)
                .hint("orca ledger restore --from CLONE, of whoever released last")
        }
        NotRestored::Ledger(error) => ledger_book::named(&error).into(),
    }
}

fn document(restored: &Restored, dry_run: bool) -> RestoredDocument {
    RestoredDocument {
        dry_run,
        from: restored.from.clone(),
        before: restored.before,
        entries: restored.entries,
        carried: restored.carried.iter().map(ToString::to_string).collect(),
        refused: restored.refused.iter().map(|(id, why)| format!("{id}: {why}")).collect(),
        set_aside: restored.set_aside.iter().map(|(at, why)| format!("{at}: {why}")).collect(),
        remote: match &restored.remote {
            RemoteHealed::None => "none".to_owned(),
            RemoteHealed::Same => "same".to_owned(),
            RemoteHealed::Pushed => "pushed".to_owned(),
            RemoteHealed::Lost => "somebody wrote to it meanwhile".to_owned(),
            RemoteHealed::Unreachable(why) => why.clone(),
        },
    }
}

fn human(done: &RestoredDocument) -> String {
    let verb = if done.dry_run { "would restore" } else { "restored" };
    let mut text = format!(
        "{verb} the ledger from {}: {} entries, there were {} here\n",
        done.from, done.entries, done.before
    );
    if !done.carried.is_empty() {
        text.push_str(&format!("put onto it: {}\n", done.carried.join(", ")));
    }
    for (title, lines) in [("not put onto it", &done.refused), ("set aside", &done.set_aside)] {
        for line in lines {
            text.push_str(&format!("{title}: {line}\n"));
        }
    }
    text.push_str(&format!("remote: {}\n", done.remote));
    text
}
