//! `orca preflight`: every gate before anything is deployed, judged and kept in the ledger.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use super::db_gate::DbGate;
use super::db_look::no_migrations;
use super::force::Force;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::render::gates::{self, GateDocument, WaiverDocument};
use crate::cli::render::{ledger, sarif};
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet, wire_gates};
use crate::gate::engine::Ruled;
use crate::gate::phase::Phase;
use crate::gate::ruling::{Ruling, Subject};
use crate::gate::verdict::Verdict;
use crate::verbs::gates as gates_of_verbs;
use crate::verbs::ship::PhaseGate;
use crate::verbs::tag_rc::on_repository;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only this gate; may be given several times
    #[arg(long, value_name = "GATE")]
    only: Vec<String>,

    /// Leave this gate out; it then has no ruling, and nothing ships without one
    #[arg(long, value_name = "GATE", conflicts_with = "only")]
    skip: Vec<String>,

    #[command(flatten)]
    db: DbGate,

    /// Also write the findings to this file as SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,

    #[command(flatten)]
    force: Force,
}

/// What the gates before a deployment decided.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Preflight {
    /// The commit that was judged.
    commit: String,
    verdict: Verdict,
    headline: String,
    gates: Vec<GateDocument>,
    /// The waivers that the gates rest on.
    waivers: Vec<WaiverDocument>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let repository = wire_fleet::repository(context)?;
    let ship = wire_fleet::ship(context, &config)?;
    let head = on_repository(&repository, |found| found.head()).await?;
    let subject = Subject {
        commit: head.commit.clone(),
        digest: None,
        environment: ship.environment.clone(),
    };
    args.force.write(&ship, &subject.commit, context).await?;
    let mut all = wire_gates::preflight(&repository, &config).await?;
    all.extend(wire_gates::budget(context, &config)?);
    all.extend(args.db.gate(context, &config, &repository).await?);
    if args.only.iter().any(|name| name == "db") && !all.iter().any(|g| g.gate.name == "db") {
        return Err(no_migrations());
    }
    let mut chosen: Vec<PhaseGate> =
        all.iter().filter(|g| args.chooses(&g.gate.name)).cloned().collect();
    chosen.extend(gates_of_verbs::calendar(&ship).filter(|g| args.chooses(&g.gate.name)));
    chosen.push(gates_of_verbs::trust(&ship, &subject.commit));
    let ruled = ship.judge(&chosen, &subject).await?;
    let state = ship.book.state().await?;
    let before = state.applied_before(&ship.environment, None);
    // Unchanged trust opens nothing by itself; a change closes the phase.
    let counts = |(gate, item): &(&PhaseGate, &Ruled)| {
        gate.gate.name != "trust" || !item.ruling.verdict().opens()
    };
    let requirements: Vec<_> =
        chosen.iter().zip(&ruled).filter(counts).map(|(gate, _)| gate.requirement()).collect();
    let rulings: Vec<Ruling> = ruled.iter().map(|r| r.ruling.clone()).collect();
    let phase = ship.phase((Phase::Preflight, &subject), &requirements, &rulings, &before);
    let documents: Vec<GateDocument> =
        rulings.iter().map(|ruling| gates::document(ruling.record())).collect();
    let sync = ship.book.share().await;
    let human = format!(
        "{}: {}\n\n{}{}",
        phase.verdict().label(),
        phase.headline(),
        gates::human(&documents, context.columns),
        ledger::line(&sync),
    );
    let annotations = gates::annotations(&documents);
    if let Some(file) = &args.sarif {
        sarif::write(&context.folder.join(file), &sarif::of_gates(&documents))?;
    }
    let document = Preflight {
        commit: head.commit.to_string(),
        verdict: phase.verdict(),
        headline: phase.headline().to_owned(),
        waivers: gates::waivers(&documents, &ship.waivers(&subject.commit).await?),
        gates: documents,
    };
    let exit = Exit::from(phase.verdict());
    let mut report = Report::new(exit, "orca.preflight/v1", &document, human)
        .output("verdict", phase.verdict().as_str());
    report.annotations = annotations;
    Ok(if exit == Exit::Done { report.next("orca load") } else { report })
}

impl Args {
    fn chooses(&self, gate: &str) -> bool {
        let named = |list: &[String]| list.iter().any(|name| name == gate);
        (self.only.is_empty() || named(&self.only)) && !named(&self.skip)
    }
}
