//! `orca canary pause`: holds the canary at its weight. A person's decision, kept in the ledger.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::units::Micros;
use crate::cli::config::raw::RawAfterPause;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet};
use crate::ledger::entry::AfterPause;
use crate::verbs::canary::pause;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Why; kept in the ledger
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// How long at most, such as 2h; `canary.pause.for` unless given
    #[arg(long = "for", value_name = "SPAN")]
    span: Option<Micros>,

    /// What happens when nobody resumes it in time; `canary.pause.then` unless given
    #[arg(long, value_enum)]
    then: Option<RawAfterPause>,

    /// Print what would be written and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A pause as it holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PauseDocument {
    dry_run: bool,
    release: String,
    until: String,
    /// `resume` or `withdraw`.
    then: &'static str,
    reason: String,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config(context)?;
    let ship = wire_fleet::ship(context, &config)?;
    let state = ship.book.synced().await?;
    let known = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
    let rollout = known.ok_or_else(|| {
        let text = format!("no canary is under way in {}", ship.environment);
        Failure::new(Code::UnknownRelease, Exit::Closed, text).hint("orca canary status")
    })?;
    let span = args.span.unwrap_or(config.canary.pause_for);
    if span.0 == 0 {
        let text = "a pause of no time holds nothing";
        return Err(Failure::new(Code::Usage, Exit::Usage, text).hint("--for 1h"));
    }
    let then = args.then.unwrap_or(config.canary.pause_then);
    let (then, word) = match then {
        RawAfterPause::Resume => (AfterPause::Resume, "resume"),
        RawAfterPause::Withdraw => (AfterPause::Withdraw, "withdraw"),
    };
    let until = context.clock.now().plus_us(span.as_i64());
    let reason = context.redactor.text(&args.reason).into_owned();
    if !args.dry_run {
        pause::pause(&ship, &rollout.started.rollout, (until, then), &reason).await?;
    }
    let release = rollout.started.release.to_string();
    let ends = match then {
        AfterPause::Resume => "it goes on by itself",
        AfterPause::Withdraw => "users go back to base",
    };
    let would = if args.dry_run { "would pause" } else { "paused" };
    let human = format!(
        "{would} the canary of {release}: nothing is raised; a breach still goes back\nunless it is \
         resumed until {}, {ends}\n",
        until.rfc3339()
    );
    let document = PauseDocument {
        dry_run: args.dry_run,
        release,
        until: until.rfc3339(),
        then: word,
        reason,
    };
    Ok(Report::new(Exit::Done, "orca.canary.pause/v1", &document, human)
        .next("orca canary resume")
        .next("orca canary status"))
}
