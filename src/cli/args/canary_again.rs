//! `orca canary resume` and `orca canary abort`.

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_start::{end_word, exit_of};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{render, wire, wire_canary, wire_fleet, wire_platform};
use crate::ledger::entry::TrafficProof;
use crate::verbs::canary::abort::Abort;
use crate::verbs::canary::again::{self, AgainError};

#[derive(Debug, clap::Args)]
pub(crate) struct ResumeArgs {}

#[derive(Debug, clap::Args)]
pub(crate) struct AbortArgs {
    /// Why; kept in the ledger
    #[arg(long, value_name = "TEXT", default_value = "aborted by hand")]
    reason: String,
}

/// How a canary was ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CanaryEnd {
    end: Option<String>,
    reason: String,
}

pub(crate) async fn resume(_args: &ResumeArgs, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let judging = wire_canary::judging(context, &config)?;
    let ending = again::resume(&fleet, judging).await.map_err(failure)?;
    let document = CanaryEnd { end: ending.end.map(end_word), reason: ending.reason.clone() };
    let end = document.end.clone().unwrap_or_else(|| "goes on".to_owned()).replace('_', " ");
    let human = format!("{end}: {}", ending.reason);
    Ok(Report::new(exit_of(ending.exit), "orca.canary-end/v1", &document, human)
        .next("orca release status"))
}

pub(crate) async fn abort(args: &AbortArgs, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let abort = Abort {
        platform: wire_platform::platform(context, &config)?,
        book: wire_fleet::book_if_any(context, &config),
        environment: config.environment.value.clone(),
        reason: context.redactor.text(&args.reason).into_owned(),
        tell: wire_fleet::tell(context),
    };
    let aborted = abort.run().await?;
    let exit = match aborted.seen.proof {
        TrafficProof::Verified => Exit::Done,
        TrafficProof::Requested | TrafficProof::Failed => Exit::TrafficWrong,
    };
    let document = CanaryEnd {
        end: Some("aborted".to_owned()),
        reason: format!("{}; {}", args.reason, aborted.seen.headline),
    };
    let human =
        format!("aborted: {}\n{}", aborted.seen.headline, render::ledger::line(&aborted.ledger));
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
