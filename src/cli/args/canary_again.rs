//! `orca canary resume` and `orca canary abort`.

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_start::{end_word, exit_of, went_back};
use super::place::Place;
use super::reason::lossy;
use super::rollback::noted;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{render, wire, wire_back, wire_canary, wire_fleet};
use crate::ledger::entry::TrafficProof;
use crate::verbs::book::BookError;
use crate::verbs::canary::abort::Abort;
use crate::verbs::canary::again::{self, AgainError};
use crate::verbs::canary::pause;
use crate::verbs::ship::Ship;

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {
    /// Why; kept in the ledger where it lifts a pause
    #[arg(long, value_name = "TEXT", default_value = "resumed by hand")]
    reason: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct AbortArgs {
    /// Why; kept in the ledger
    #[arg(long, value_name = "TEXT", default_value = "aborted by hand", value_parser = lossy())]
    reason: String,

    #[command(flatten)]
    place: Place,
}

/// How a canary was ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CanaryEnd {
    end: Option<String>,
    reason: String,
}

pub(crate) async fn resume(args: &ResumeArgs, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let reason = context.redactor.text(&args.reason).into_owned();
    if let Some(report) = lift(&fleet.ship, &reason).await? {
        return Ok(report);
    }
    let judging = wire_canary::judging(context, &config)?;
    let ending = again::resume(&fleet, judging).await.map_err(failure)?;
    let document = CanaryEnd { end: ending.end.map(end_word), reason: ending.reason.clone() };
    let end = document.end.clone().unwrap_or_else(|| "goes on".to_owned()).replace('_', " ");
    let note = fleet.platform.after_back().filter(|_| went_back(&ending));
    let human = format!("{end}: {}\n{}", ending.reason, noted(note.as_ref()));
    Ok(Report::new(exit_of(ending.exit), "orca.canary-end/v1", &document, human)
        .next("orca release status"))
}

/// A pause in force is lifted, and that is all: whoever drives the canary goes on.
async fn lift(ship: &Ship, reason: &str) -> Result<Option<Report>, Failure> {
    let state = match ship.book.synced().await {
        Ok(state) => state,
        // What became of a canary is recorded without the remote too.
        Err(BookError::Unsynced(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let running = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
    let Some(rollout) = running else { return Ok(None) };
    if !pause::lift(ship, rollout, reason).await? {
        return Ok(None);
    }
    let text = format!("the canary of {} goes on: {reason}", rollout.started.release);
    let document = CanaryEnd { end: None, reason: text.clone() };
    Ok(Some(
        Report::new(Exit::Done, "orca.canary-end/v1", &document, text).next("orca canary status"),
    ))
}

pub(crate) async fn abort(args: &AbortArgs, context: &Context) -> Result<Report, Failure> {
    let known = wire_back::known(&args.place, context)?;
    let abort = Abort {
        platform: known.platform(context)?,
        book: known.book(context),
        environment: known.config().environment.value.clone(),
        reason: context.redactor.text(&args.reason).into_owned(),
        tell: wire_fleet::tell(context),
    };
    let note = abort.platform.after_back();
    let aborted = abort.run().await?;
    let exit = match aborted.seen.proof {
        TrafficProof::Verified => Exit::Done,
        TrafficProof::Requested | TrafficProof::Failed => Exit::TrafficWrong,
    };
    let document = CanaryEnd {
        end: Some("aborted".to_owned()),
        reason: format!("{}; {}", args.reason, aborted.seen.headline),
    };
    let human = format!(
        "aborted: {}\n{}{}",
        aborted.seen.headline,
        noted(note.as_ref()),
        render::ledger::line(&aborted.ledger)
    );
    Ok(Report::new(exit, "orca.canary-end/v1", &document, human).next("orca release status"))
}

fn failure(error: AgainError) -> Failure {
    let text = error.to_string();
    match error {
        AgainError::Book(error) => error.into(),
        AgainError::Platform(error) => error.into(),
        AgainError::Detached(error) => error.into(),
        AgainError::NoneRunning(_) => {
            Failure::new(Code::UnknownRelease, Exit::Closed, text).hint("orca release status")
        }
        AgainError::Plan(..) => Failure::new(Code::LedgerCorrupt, Exit::Closed, text)
            .hint("orca rollback --reason R brings users back to base"),
    }
}
