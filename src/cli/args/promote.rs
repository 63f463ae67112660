//! `orca promote --rc NAME`: what was tested becomes the base, and gets its final tag.

use schemars::JsonSchema;
use serde::Serialize;

use super::force::Force;
use crate::base::ids::ReleaseName;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet, wire_gates, wire_trust};
use crate::ledger::entry::TrafficProof;
use crate::rollout::ports::Change;
use crate::verbs::promote::{self, Done, PromoteError, Promotion};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The candidate whose canary is complete, such as v1.4.0-rc.1
    #[arg(long, value_name = "RELEASE")]
    rc: ReleaseName,

    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,

    #[command(flatten)]
    force: Force,
}

/// A promotion.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PromoteDocument {
    dry_run: bool,
    rc: String,
    release: String,
    commit: String,
    deployment: String,
    /// Whether this run moved traffic, or found it moved.
    moved: bool,
    /// `verified`, `requested` or `failed`; absent on a dry run.
    traffic: Option<&'static str>,
    headline: String,
    /// The calls to the platform that it would make; on a dry run only, where the platform lists them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<String>,
    /// Why the final tag does not stand.
    tag_error: Option<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config(context)?;
    let repository = wire_fleet::repository(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let state = fleet.ship.book.synced().await?;
    let tag = promote::final_name(&args.rc).ok_or_else(|| {
        let text = format!("{} is not a release candidate", args.rc);
        Failure::new(Code::UnknownRelease, Exit::Usage, text).hint("name one like v1.4.0-rc.1")
    })?;
    if let Some(tagged) = state.rcs.get(&args.rc) {
        if !args.dry_run {
            args.force.write(&fleet.ship, &tagged.commit, context).await?;
        }
        wire_trust::refuse_change(&fleet.ship, &tagged.commit).await?;
    }
    let candidate = promote::rolled_out(&state, &fleet, &args.rc).ok_or_else(|| {
        let environment = fleet.ship.environment.to_string();
        Failure::from(PromoteError::NotComplete(args.rc.clone(), environment))
    });
    let candidate = match (candidate, promote::condemned(&state, &fleet, &args.rc).await?) {
        (_, Some(text)) => return Err(PromoteError::Condemned(text).into()),
        (candidate, None) => candidate?,
    };
    let address = fleet.platform.address(&candidate.deployment).await?;
    let gates = wire_gates::configured(context, &config, &repository, &address).await?;
    let promotion = Promotion {
        fleet: &fleet,
        candidate,
        gates: &gates,
        repository,
        notes: format!("final of {}", args.rc),
        tag,
        remote: wire_gates::remote(&config),
    };
    if args.dry_run {
        promotion.refuse_taken(&state).await?;
        return Ok(planned(args, &promotion));
    }
    let done = promotion.run().await?;
    Ok(report(args, &promotion, &done))
}

fn planned(args: &Args, promotion: &Promotion<'_>) -> Report {
    let (to, tag) = (&promotion.candidate.deployment, &promotion.tag);
    let calls = promotion.fleet.platform.calls_of(Change::Promote);
    let shown = calls.iter().map(|call| format!("   call: {call}\n")).collect::<Vec<_>>().concat();
    let human = format!(
        "would promote {} to {tag}\n\n1. take the lease, run the ready gate (about 1 s)\n\
         2. make {to} the base, one call (about 50 ms)\n{shown}   back: orca rollback --reason R\n\
         3. read traffic back with 200 keys (about 1 s)\n4. tag {tag} at commit {}, push it to {} \
         (about 3 s)\n   risk: others see the tag from here on; it is never moved\n",
        args.rc,
        promotion.candidate.commit.short(),
        promotion.remote
    );
    let document = PromoteDocument { calls, ..document(args, promotion, None) };
    Report::new(Exit::Done, "orca.promote/v1", &document, human)
        .next(format!("orca promote --rc {}", args.rc))
}

fn document(args: &Args, promotion: &Promotion<'_>, done: Option<&Done>) -> PromoteDocument {
    PromoteDocument {
        dry_run: done.is_none(),
        calls: Vec::new(),
        rc: args.rc.to_string(),
        release: promotion.tag.to_string(),
        commit: promotion.candidate.commit.to_string(),
        deployment: promotion.candidate.deployment.to_string(),
        moved: done.is_some_and(|d| d.moved),
        traffic: done.map(|d| match d.seen.proof {
            TrafficProof::Verified => "verified",
            TrafficProof::Requested => "requested",
            TrafficProof::Failed => "failed",
        }),
        headline: done.map_or_else(String::new, |d| d.seen.headline.clone()),
        tag_error: done.and_then(|d| d.tagged.clone().err()),
    }
}

fn report(args: &Args, promotion: &Promotion<'_>, done: &Done) -> Report {
    let exit = match (done.seen.proof, &done.tagged) {
        (TrafficProof::Verified, Ok(())) => Exit::Done,
        (TrafficProof::Verified, Err(_)) => Exit::PartDone,
        (TrafficProof::Requested | TrafficProof::Failed, _) => Exit::TrafficWrong,
    };
    let document = document(args, promotion, Some(done));
    let tagged = match &done.tagged {
        Ok(()) => {
            format!("{} stands at commit {}", promotion.tag, promotion.candidate.commit.short())
        }
        Err(why) => format!("the tag {} does not stand yet: {why}", promotion.tag),
    };
    let human = format!(
        "{} is the base: {}\n{}\n{tagged}\n",
        promotion.candidate.deployment,
        done.seen.headline,
        exit.text()
    );
    let report = Report::new(exit, "orca.promote/v1", &document, human)
        .output("release", promotion.tag.to_string());
    match exit {
        Exit::Done => report.next(format!("orca evidence generate --tag {}", promotion.tag)),
        Exit::PartDone => report.next(format!("orca promote --rc {}", args.rc)),
        _ => report.next("orca rollback --reason R").next("orca explain ORCA-1604"),
    }
}
