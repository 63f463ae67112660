//! `orca why RELEASE`: the chain of decisions that led to where a release is, on one screen.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::ledger_log::{LogEntry, entries_of, short};
use crate::base::ids::ReleaseName;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet};
use crate::gate::ruling::{CheckRecord, RulingRecord};
use crate::gate::verdict::Measure;
use crate::ledger::entry::{Body, RolloutEnd};
use crate::ledger::fold::State;
use crate::ledger::sentence::{end_word, sentence};
use crate::ledger::store::Kin;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A candidate or a final release, such as v1.4.0-rc.1 or v1.4.0
    #[arg(value_name = "RELEASE")]
    release: ReleaseName,
}

/// Where a release is, and every decision that led there.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Why {
    release: String,
    /// In one sentence: where it is, who brought it there, why.
    headline: String,
    /// Oldest first. A gate that was ruled more than once stands with its newest ruling.
    decisions: Vec<Decision>,
}

/// One decision or fact.
#[derive(Debug, Serialize, JsonSchema)]
struct Decision {
    at: String,
    who: Option<String>,
    entry: String,
    kind: String,
    what: String,
    /// What was asked, what was seen, and the limit, for a gate.
    limits: Vec<String>,
    /// How often the gate was ruled.
    times: u32,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let book = wire_fleet::ledger(context, &config)?;
    let read = book.on_thread(|ledger| Ok((ledger.entries()?, ledger.state()?)));
    let (all, state) = read.await?;
    let about = entries_of(all, Some(&args.release))?;
    let why = Why {
        release: args.release.to_string(),
        headline: headline(&about),
        decisions: decisions(&about, &state),
    };
    let human = human(&why, context.columns);
    let report = Report::new(Exit::Done, "orca.why/v1", &why, human);
    Ok(report.next(format!("orca ledger log --release {}", args.release)))
}

/// The newest entry that says where the release is.
fn headline(about: &[Kin]) -> String {
    let place = |kin: &Kin| {
        let entry = kin.record.entry()?;
        let by = format!("by {} at {}", entry.actor.name, entry.at.rfc3339());
        match &entry.body {
            Body::RolledBack(back) => Some(format!("rolled back {by}: {}", back.reason)),
            Body::Promoted(promoted) => Some(format!("promoted as {} {by}", promoted.release)),
            Body::Stable { .. } => Some(format!("stable, its watch ended {by}")),
            Body::RolloutEnded { end: RolloutEnd::Complete, .. } => {
                Some(format!("its canary is complete {by}; not promoted yet"))
            }
            Body::RolloutEnded { end, reason, .. } => {
                Some(format!("canary {} {by}: {reason}", end_word(*end)))
            }
            Body::RolloutStarted(_) => Some(format!("in its canary, started {by}")),
            Body::RcTagged(rc) => Some(format!("tagged {by}, not rolled out yet: {}", rc.reason)),
            _ => None,
        }
    };
    about.iter().rev().find_map(place).unwrap_or_else(|| "nothing happened to it yet".to_owned())
}

fn decisions(about: &[Kin], state: &State) -> Vec<Decision> {
    let mut rulings: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut newest_first = Vec::new();
    for kin in about.iter().rev() {
        let Some(entry) = kin.record.entry() else { continue };
        match &entry.body {
            // How things were done, not what was decided.
            Body::StepIntended { .. } | Body::StepEnded { .. } | Body::Cleared { .. } => continue,
            Body::Ruled { phase, ruling } => {
                let times = rulings.entry((phase.as_str(), &ruling.gate)).or_default();
                *times += 1;
                if *times > 1 {
                    continue;
                }
            }
            _ => {}
        }
        newest_first.push((kin, entry));
    }
    let decision = |(kin, entry): (&Kin, &crate::ledger::entry::Entry)| {
        let said = LogEntry::of(kin);
        let (limits, times) = match &entry.body {
            Body::Ruled { phase, ruling } => {
                let times = rulings.get(&(phase.as_str(), ruling.gate.as_str())).copied();
                (limits(ruling, state), times.unwrap_or(1))
            }
            _ => (Vec::new(), 1),
        };
        let what = sentence(&entry.body);
        let (at, who, id) = (said.at, said.who, said.id);
        Decision { at, who, entry: id, kind: said.kind, what, limits, times }
    };
    newest_first.into_iter().rev().map(decision).collect()
}

/// What decided a gate: each measured number against its limit, and the waivers that it used.
fn limits(ruling: &RulingRecord, state: &State) -> Vec<String> {
    let measured = |check: &CheckRecord| {
        let measures = check.judgement.measures.iter().map(measure).collect::<Vec<_>>();
        let waived = check.waivers.iter().map(|id| {
            let known = state.waivers.iter().find(|(waiver, _)| waiver.id == *id);
            known.map_or_else(
                || format!("waiver {id}"),
                |(waiver, by)| format!("waived by {}: {}", by.name, waiver.reason),
            )
        });
        measures.into_iter().chain(waived).collect::<Vec<_>>()
    };
    ruling.checks.iter().filter(|check| check.required).flat_map(measured).collect()
}

fn measure(measure: &Measure) -> String {
    let seen = measure.seen.map_or_else(|| "no data".to_owned(), |seen| measure.unit.show(seen));
    format!("{}: {seen} of {} samples", measure.asked, measure.samples)
}

/// How many measures of a gate stand in the table; the document has all.
const SHOWN: usize = 2;

fn human(why: &Why, columns: usize) -> String {
    let rows: Vec<Vec<String>> = why
        .decisions
        .iter()
        .map(|decision| {
            let times = match decision.times {
                0 | 1 => String::new(),
                times => format!(" (ruled {times} times)"),
            };
            let shown: Vec<&str> = decision.limits.iter().take(SHOWN).map(String::as_str).collect();
            let more = match decision.limits.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(", {more} more"),
            };
            let limits = match shown.join(", ") {
                none if none.is_empty() => none,
                some => format!(" [{some}{more}]"),
            };
            let who = decision.who.clone().unwrap_or_else(|| "?".to_owned());
            vec![short(&decision.at), who, format!("{}{times}{limits}", decision.what)]
        })
        .collect();
    let rows = table(&["when (UTC)", "who", "what"], &rows, columns);
    format!("{}: {}\n\n{rows}", why.release, why.headline)
}
