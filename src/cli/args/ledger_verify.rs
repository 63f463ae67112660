//! `orca ledger verify`: reads every entry and exhibit again, and says what was checked.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::evidence_verify::read_key;
use crate::base::dsse::{Envelope, PublicKey};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet};
use crate::gate::verdict::Verdict;
use crate::ledger::chain::speaks_for;
use crate::ledger::ports::Stored;
use crate::ledger::restore::Verified;
use crate::ledger::sign::PAYLOAD_TYPE;
use crate::ledger::store::{Kin, Ledger};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A public key whose signatures count, as SPKI PEM; may be given more than once
    #[arg(long, value_name = "FILE")]
    key: Vec<PathBuf>,
}

/// What was checked, and what came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    verdict: Verdict,
    headline: String,
    entries: u64,
    /// SHA-256 of the newest `entry.json`.
    head: Option<String>,
    steps: Vec<Step>,
    /// Exhibits whose bytes are not here: entry and file name.
    missing: Vec<Missing>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Step {
    name: &'static str,
    verdict: Verdict,
    detail: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Missing {
    entry: String,
    name: String,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let keys = args.key.iter().map(|file| read_key(&context.folder.join(file)));
    let keys: Vec<PublicKey> = keys.collect::<Result<_, _>>()?;
    let book = wire_fleet::ledger(context, &config)?;
    let (seen, kin) = book.on_thread(Ledger::verify).await?;
    let steps = vec![chain(&seen), signatures(&seen, &kin, &keys), exhibits(&seen), heads(&seen)];
    let worst = steps.iter().max_by_key(|step| step.verdict).expect("there are four steps");
    let document = Checked {
        verdict: worst.verdict,
        headline: match worst.verdict {
            Verdict::Pass | Verdict::NotApplicable => {
                format!("{} entries are whole", seen.entries)
            }
            _ => worst.detail.clone(),
        },
        entries: seen.entries,
        head: seen.head.map(|digest| digest.hex()),
        steps,
        missing: missing(&seen),
    };
    let exit = Exit::from(document.verdict);
    let human = human(&document, context.columns);
    let report = Report::new(exit, "orca.ledger-verify/v1", &document, human)
        .output("verdict", document.verdict.as_str());
    Ok(if seen.pending > 0 { report.next("orca ledger sync") } else { report })
}

fn chain(seen: &Verified) -> Step {
    let (verdict, more) = match seen.unknown {
        0 => (Verdict::Pass, String::new()),
        count => {
            let text = format!("; {count} of a newer orca are chained and not understood");
            (Verdict::Inconclusive, text)
        }
    };
    let waiting = match seen.pending {
        0 => String::new(),
        count => format!("; {count} more wait in files"),
    };
    let detail = format!("{} entries, every link and digest{more}{waiting}", seen.entries);
    Step { name: "chain", verdict, detail }
}

/// Each envelope must hold the entry's own bytes, and one of the keys must have signed it. A fact
/// inside a carrier is held to its author's signature, the carrier to its own where it has one.
fn signatures(seen: &Verified, kin: &[Kin], keys: &[PublicKey]) -> Step {
    let name = "signatures";
    let (mut signed, mut verified) = (0_u64, 0_u64);
    for one in kin {
        let Stored { entry, dsse, .. } = &one.stored;
        let (bytes, inner) = speaks_for(entry, dsse.as_deref());
        let outer = dsse.as_ref().filter(|_| bytes != *entry);
        let looked = outer.map_or(Ok(Signed::ByKey), |dsse| look(entry, dsse, keys));
        let looked = looked.and_then(|outer| {
            let inner = inner.map_or(Ok(Signed::No), |dsse| look(&bytes, &dsse, keys))?;
            Ok((outer, inner))
        });
        match looked {
            Err(why) => {
                let detail = format!("the signature of entry {} {why}", one.record.id());
                return Step { name, verdict: Verdict::Fail, detail };
            }
            Ok((_, Signed::No)) => {}
            Ok((outer, inner)) => {
                signed += 1;
                verified += u64::from((outer, inner) == (Signed::ByKey, Signed::ByKey));
            }
        }
    }
    let entries = seen.entries;
    let some = format!("{signed} of {entries} entries are signed");
    let (verdict, detail) = match (signed, keys.len()) {
        (0, 0) => (Verdict::NotApplicable, format!("none of {entries} entries is signed")),
        (_, 0) => (Verdict::NotApplicable, format!("{some}; give --key to check who")),
        (_, count) if verified == entries => {
            (Verdict::Pass, format!("{some}, all by {count} keys given"))
        }
        _ if verified < signed => {
            let foreign = signed - verified;
            let text = format!("{foreign} of {signed} signed by none of the keys given");
            (Verdict::Inconclusive, text)
        }
        _ => {
            let text = format!("{} of {entries} entries are unsigned", entries - signed);
            (Verdict::Inconclusive, text)
        }
    };
    Step { name, verdict, detail }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signed {
    No,
    /// By a key that was not given.
    ByOther,
    ByKey,
}

/// Whose signature it is, or why it is none.
fn look(entry: &[u8], dsse: &[u8], keys: &[PublicKey]) -> Result<Signed, String> {
    let envelope = Envelope::parse(dsse).map_err(|error| format!("cannot be read: {error}"))?;
    if envelope.claimed_payload().ok().as_deref() != Some(entry) {
        return Err("is of other bytes".to_owned());
    }
    let mut found = Signed::ByOther;
    for key in keys {
        let id = key.key_id();
        if envelope.signatures.iter().any(|signature| signature.keyid == id) {
            let verified = envelope.verify(PAYLOAD_TYPE, key);
            verified.map_err(|error| format!("by key {id} is wrong: {error}"))?;
            found = Signed::ByKey;
        }
    }
    Ok(found)
}

fn exhibits(seen: &Verified) -> Step {
    let (verdict, detail) = match (seen.exhibits, seen.missing.first()) {
        (0, _) => (Verdict::NotApplicable, "no entry has one".to_owned()),
        (count, None) => (Verdict::Pass, format!("{count} are here, every digest holds")),
        (count, Some((entry, name))) => {
            let lost = seen.missing.len();
            let text =
                format!("{lost} of {count} are missing or changed, such as {name} of {entry}");
            (Verdict::Inconclusive, text)
        }
    };
    Step { name: "exhibits", verdict, detail }
}

/// A head that is not here is of a ledger that was rewound, or that nobody fetched yet.
fn heads(seen: &Verified) -> Step {
    let (verdict, detail) = match (seen.tags, seen.strange_tags.first()) {
        (_, Some(tag)) => {
            let text = format!("tag {tag} names an entry that is not here: orca ledger sync");
            (Verdict::Inconclusive, text)
        }
        (0, None) => (Verdict::NotApplicable, "no tag here names a ledger head".to_owned()),
        (count, None) => {
            (Verdict::Pass, format!("the heads that {count} tags name are in the chain"))
        }
    };
    Step { name: "tags", verdict, detail }
}

fn missing(seen: &Verified) -> Vec<Missing> {
    let of = |(entry, name): &(crate::base::ids::OrcaId, String)| Missing {
        entry: entry.to_string(),
        name: name.clone(),
    };
    seen.missing.iter().map(of).collect()
}

fn human(checked: &Checked, columns: usize) -> String {
    let rows: Vec<Vec<String>> = checked
        .steps
        .iter()
        .map(|s| vec![s.name.to_owned(), s.verdict.label().to_owned(), s.detail.clone()])
        .collect();
    let rows = table(&["what", "verdict", "detail"], &rows, columns);
    format!("{}: {}\n\n{rows}", checked.verdict.label(), checked.headline)
}
