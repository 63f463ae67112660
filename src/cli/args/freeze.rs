//! `orca freeze [status]` and `orca unfreeze`: releases stop, or may go on. Rollbacks never wait.

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;

use super::force::parse_until;
use crate::base::ids::ReleaseName;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet};
use crate::ledger::fold::Freeze;
use crate::verbs::freeze;

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    /// Why; without it the freeze that holds is shown
    #[arg(long, value_name = "TEXT", requires = "until")]
    reason: Option<String>,

    /// Until when: a time like 2026-11-30T12:00:00Z, a day, or a duration like 24h
    #[arg(long, value_name = "TIME", requires = "reason")]
    until: Option<String>,

    /// Admit candidates of this release's version: fixes for it
    #[arg(long, value_name = "RELEASE", requires = "reason")]
    admit: Option<ReleaseName>,

    /// Say what would be done, and change nothing
    #[arg(long, requires = "reason")]
    dry_run: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show whether releases are frozen; exit code 1 when they are
    Status,
}

#[derive(Debug, clap::Args)]
pub(crate) struct UnfreezeArgs {
    /// Why; kept in the ledger
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Whether releases are frozen, and since when.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct FreezeDocument {
    frozen: bool,
    /// The release whose candidates are admitted; `by-hand` admits none.
    release: Option<String>,
    until: Option<String>,
    reason: Option<String>,
    /// Who froze them, when, in which entry.
    by: Option<String>,
    /// Whether this run changed it.
    changed: bool,
    dry_run: bool,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let book = wire_fleet::book(context, &config)?;
    let now = context.clock.now();
    let (Some(reason), Some(until), None) = (&args.reason, &args.until, &args.verb) else {
        let held = freeze::standing(book.as_ref(), now).await?;
        return Ok(shown(held.as_ref()));
    };
    let until = parse_until(until, now).map_err(|text| usage(&text))?;
    if until <= now {
        return Err(usage(&format!("{} is past; a freeze ends later", until.rfc3339())));
    }
    if reason.trim().is_empty() {
        return Err(usage("a freeze needs a reason"));
    }
    if !args.dry_run {
        let asked = (until, context.redactor.text(reason).into_owned());
        let environment = &config.environment.value;
        freeze::freeze(book.as_ref(), environment, args.admit.clone(), asked).await?;
    }
    let held = freeze::standing(book.as_ref(), now).await?;
    let document =
        FreezeDocument { changed: !args.dry_run, dry_run: args.dry_run, ..document(held.as_ref()) };
    let human = if args.dry_run {
        format!("would freeze releases until {}: {reason}\n", until.rfc3339())
    } else {
        sentence(held.as_ref())
    };
    Ok(Report::new(Exit::Done, "orca.freeze/v1", &document, human).next("orca unfreeze --reason R"))
}

pub(crate) async fn unfreeze(args: &UnfreezeArgs, context: &Context) -> Result<Report, Failure> {
    if args.reason.trim().is_empty() {
        return Err(usage("lifting a freeze needs a reason"));
    }
    let config = wire::load_config_or_default(context)?;
    let book = wire_fleet::book(context, &config)?;
    let held = freeze::standing(book.as_ref(), context.clock.now()).await?;
    let lifts = held.is_some() && !args.dry_run;
    if let (Some(held), true) = (&held, lifts) {
        let reason = context.redactor.text(&args.reason).into_owned();
        freeze::unfreeze(book.as_ref(), &config.environment.value, held, reason).await?;
    }
    let left = held.as_ref().filter(|_| args.dry_run);
    let document = FreezeDocument { changed: lifts, dry_run: args.dry_run, ..document(left) };
    let human = match &held {
        None => "nothing was frozen\n".to_owned(),
        Some(held) if lifts => format!("lifted: {}", sentence(Some(held))),
        Some(held) => format!("would lift: {}", sentence(Some(held))),
    };
    Ok(Report::new(Exit::Done, "orca.freeze/v1", &document, human).next("orca release status"))
}

fn shown(held: Option<&Freeze>) -> Report {
    let exit = if held.is_some() { Exit::Closed } else { Exit::Done };
    let frozen = held.is_some().to_string();
    let report = Report::new(exit, "orca.freeze/v1", &document(held), sentence(held))
        .output("frozen", frozen);
    if held.is_some() { report.next("orca unfreeze --reason R") } else { report }
}

fn document(held: Option<&Freeze>) -> FreezeDocument {
    FreezeDocument {
        frozen: held.is_some(),
        release: held.map(|f| f.release.to_string()),
        until: held.map(|f| f.until.rfc3339()),
        reason: held.map(|f| f.reason.clone()),
        by: held.map(|f| f.by.to_string()),
        ..FreezeDocument::default()
    }
}

fn sentence(held: Option<&Freeze>) -> String {
    match held {
        None => "not frozen\n".to_owned(),
        Some(f) => format!(
            "frozen for {} until {}: {}\nby {}\nrollbacks are never stopped by it\n",
            f.release,
            f.until.rfc3339(),
            f.reason,
            f.by
        ),
    }
}

fn usage(text: &str) -> Failure {
    Failure::new(Code::Usage, Exit::Usage, text)
        .hint("orca freeze --reason \"board meeting\" --until 24h")
}
