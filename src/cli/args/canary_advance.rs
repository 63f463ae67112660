//! `orca canary advance`: lets a stage go on that the data could not decide. A person's decision,
//! kept in the ledger with who and why.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet};
use crate::verbs::canary::advance::{self, AdvanceError, GoesOn};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Why it may go on although the data cannot say; kept in the ledger
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Print what would be written and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A stage that somebody let go on.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AdvanceDocument {
    dry_run: bool,
    release: String,
    /// From 1.
    stage: u32,
    reason: String,
    /// Who raises next: the holder of the lease, or `tick`.
    goes_on: String,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    if args.reason.trim().is_empty() {
        let text = "letting a stage go on undecided needs a reason";
        return Err(Failure::new(Code::Usage, Exit::Usage, text).hint(
            "orca canary advance --reason \"nobody shops at night; smoke tests are green\"",
        ));
    }
    let config = wire::load_config(context)?;
    let ship = wire_fleet::ship(context, &config)?;
    let state = ship.book.synced().await?;
    let running = state.environment(&ship.environment).and_then(|e| e.rollout.as_ref());
    let running = running.ok_or_else(|| {
        let text = format!("no canary is under way in {}", ship.environment);
        Failure::new(Code::NoAdvance, Exit::Closed, text).hint("orca canary status")
    })?;
    let reason = context.redactor.text(&args.reason).into_owned();
    let (stage, by) = if args.dry_run {
        advance::standing(&ship, running).await?
    } else {
        advance::advance(&ship, running, &reason).await?
    };
    let release = running.started.release.to_string();
    let would = if args.dry_run { "would let" } else { "let" };
    let (goes_on, then) = match &by {
        GoesOn::Driver(holder) => (holder.clone(), format!("{holder} goes on from it")),
        GoesOn::Tick => ("tick".to_owned(), "the next orca canary tick goes on from it".to_owned()),
    };
    let human = format!(
        "{would} stage {stage} of {release} go on undecided: {reason}\n{then}; every other proof is \
         still asked for, and a breach still goes back\n"
    );
    let document = AdvanceDocument { dry_run: args.dry_run, release, stage, reason, goes_on };
    let next = if by == GoesOn::Tick { "orca canary tick" } else { "orca canary status" };
    Ok(Report::new(Exit::Done, "orca.canary.advance/v1", &document, human).next(next))
}

impl From<AdvanceError> for Failure {
    fn from(error: AdvanceError) -> Self {
        let text = error.to_string();
        match error {
            AdvanceError::Book(error) => error.into(),
            AdvanceError::NoAdvance(_) => Self::new(Code::NoAdvance, Exit::Closed, text)
                .hint("orca canary status shows how the stage stands"),
            AdvanceError::Untrusted(_) => Self::new(Code::NoPerson, Exit::Closed, text)
                .hint("sign it with a person's key: ORCA_SIGNING_KEY=ana.key orca canary advance")
                .hint("orca explain ORCA-1898"),
            AdvanceError::Undriven(_) => {
                Self::new(Code::Undriven, Exit::Closed, text).hint("orca canary resume")
            }
        }
    }
}
