//! `orca ledger log`: what was decided and what happened, newest first, on one screen.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::ids::ReleaseName;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet};
use crate::ledger::chain::{Record, Said};
use crate::ledger::entry::Entry;
use crate::ledger::sentence::sentence;
use crate::ledger::store::Kin;
use crate::ledger::story;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many entries, the newest first; 0 shows all
    #[arg(short, long, value_name = "COUNT", default_value_t = 15)]
    number: usize,

    /// Only what is about this release
    #[arg(long, value_name = "RELEASE")]
    release: Option<ReleaseName>,
}

/// The newest entries.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Log {
    /// How many entries there are, or are about the release.
    total: usize,
    /// Newest first.
    entries: Vec<LogEntry>,
}

/// One entry of the ledger.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LogEntry {
    /// 1-based place in the chain.
    pub(crate) position: u64,
    pub(crate) id: String,
    /// When it was written.
    pub(crate) at: String,
    /// Who wrote it; `null` when a newer orca did, whose words this one does not know.
    pub(crate) who: Option<String>,
    /// Whether it carries a signature. `orca ledger verify --key` checks it.
    pub(crate) signed: bool,
    pub(crate) environment: Option<String>,
    pub(crate) kind: String,
    /// In one sentence.
    pub(crate) text: String,
    /// SHA-256 of its `entry.json`.
    pub(crate) sha256: String,
    /// The entry that carries it, where it lost a race.
    pub(crate) carried_by: Option<String>,
    /// The entry's body, as it is stored.
    pub(crate) body: Option<serde_json::Value>,
}

impl LogEntry {
    pub(crate) fn of(kin: &Kin) -> Self {
        let record = &kin.record;
        let (entry, carrier) = match &record.said {
            Said::Known(entry) => (Some(entry), None),
            Said::Reconciled { carrier, original } => (Some(original), Some(carrier)),
            Said::Unknown(_) => (None, None),
        };
        let (kind, at, text) = match (&record.said, entry) {
            (Said::Unknown(unknown), _) => {
                let text = format!("written by a newer orca ({}): not understood", unknown.schema);
                (unknown.kind.clone(), unknown.at, text)
            }
            (_, Some(entry)) => (entry.body.kind().to_owned(), entry.at, sentence(&entry.body)),
            (_, None) => unreachable!("only an unknown entry says nothing"),
        };
        let body = |entry: &Entry| serde_json::to_value(&entry.body).expect("plain data");
        Self {
            position: record.position,
            id: record.id().to_string(),
            at: at.rfc3339(),
            who: entry.map(|entry| entry.actor.name.clone()),
            signed: kin.stored.dsse.is_some(),
            environment: entry.and_then(|e| e.environment.as_ref()).map(ToString::to_string),
            kind,
            text,
            sha256: record.digest.hex(),
            carried_by: carrier.map(|carrier| carrier.id.to_string()),
            body: entry.map(|entry| body(entry)),
        }
    }
}

/// The entries about `release`, oldest first, or all of them.
pub(crate) fn entries_of(
    kin: Vec<Kin>,
    release: Option<&ReleaseName>,
) -> Result<Vec<Kin>, Failure> {
    let Some(release) = release else { return Ok(kin) };
    let records: Vec<Record> = kin.iter().map(|one| one.record.clone()).collect();
    let about: std::collections::BTreeSet<u64> =
        story::about(&records, release).iter().map(|record| record.position).collect();
    if about.is_empty() {
        let text = format!("the ledger knows nothing of a release {release}");
        return Err(Failure::new(Code::UnknownRelease, Exit::Usage, text)
            .hint("orca ledger log shows what it knows")
            .hint("orca ledger sync fetches what others wrote"));
    }
    Ok(kin.into_iter().filter(|one| about.contains(&one.record.position)).collect())
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let book = wire_fleet::ledger(context, &config)?;
    let all = book.on_thread(|ledger| ledger.entries()).await?;
    let chosen = entries_of(all, args.release.as_ref())?;
    let shown = if args.number == 0 { chosen.len() } else { args.number };
    let log = Log {
        total: chosen.len(),
        entries: chosen.iter().rev().take(shown).map(LogEntry::of).collect(),
    };
    let human = human(&log, context.columns);
    let report = Report::new(Exit::Done, "orca.ledger-log/v1", &log, human);
    let candidate = args.release.as_ref().map(ToString::to_string);
    Ok(match candidate {
        Some(release) => report.next(format!("orca why {release}")),
        None if log.total > log.entries.len() => report.next("orca ledger log -n 0"),
        None => report,
    })
}

fn human(log: &Log, columns: usize) -> String {
    if log.entries.is_empty() {
        return "the ledger is empty\n".to_owned();
    }
    let rows: Vec<Vec<String>> = log
        .entries
        .iter()
        .map(|entry| {
            let who = entry.who.clone().unwrap_or_else(|| "?".to_owned());
            vec![short(&entry.at), who, entry.id.clone(), entry.text.clone()]
        })
        .collect();
    let rows = table(&["when (UTC)", "who", "entry", "what"], &rows, columns);
    format!("{} of {} entries, newest first\n\n{rows}", log.entries.len(), log.total)
}

/// `2026-01-05T09:00:12Z` as a table shows it.
pub(crate) fn short(rfc3339: &str) -> String {
    rfc3339.get(5..19).unwrap_or(rfc3339).replace('T', " ")
}
