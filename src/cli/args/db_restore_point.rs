//! `orca db restore-point NAME`: marks a moment that the hosted project can be brought back to. orca
//! never brings it back: that is done in place, by a human.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::clock;
use crate::base::limits;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire_db_backup, wire_supabase};
use crate::db::hosted::ports::{Hosted, HostedError, RestorePoint};
use crate::ledger::entry::Outcome;
use crate::verbs::database_step::Done;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// At most 20 letters, digits and signs, such as before-1.4.0
    name: String,

    #[arg(long, value_name = "REF", help = "The project [env: SUPABASE_PROJECT_REF]")]
    project: Option<String>,

    /// Look whether there is one of that name, and make none
    #[arg(long)]
    dry_run: bool,
}

/// A restore point.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RestorePointDocument {
    name: String,
    /// `AVAILABLE`, or absent where there is none and none was made.
    status: Option<String>,
    /// Whether this run made it.
    made: bool,
    dry_run: bool,
    /// `recorded`, `pending` (kept here, not shared yet) or `none`.
    ledger: &'static str,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if args.name.is_empty() || args.name.len() > 20 || !args.name.chars().all(plain) {
        let text = format!("'{}' is no name of a restore point", args.name);
        return Err(Failure::new(Code::Usage, Exit::Usage, text)
            .hint("at most 20 letters, digits, dots, dashes and underscores"));
    }
    let hosted = wire_supabase::hosted(args.project.as_deref(), context)?;
    let found = hosted.restore_point(&args.name).await?;
    let mut document = RestorePointDocument {
        name: args.name.clone(),
        status: found.as_ref().map(|point| point.status.clone()),
        made: false,
        dry_run: args.dry_run,
        ledger: "none",
    };
    if args.dry_run {
        let human = match &found {
            Some(point) => format!("{} is there already: {}\n", point.name, point.status),
            None => format!("would make the restore point {}\n", args.name),
        };
        return Ok(Report::new(Exit::Done, "orca.db-restore-point/v1", &document, human));
    }
    if found.is_none() {
        make(hosted.as_ref(), &args.name).await?;
        document.made = true;
    }
    let point = available(hosted.as_ref(), &args.name, context).await?;
    document.status = Some(point.status);
    if document.made {
        let detail = BTreeMap::from([("name".to_owned(), args.name.clone())]);
        let says = format!("restore point {} is available", args.name);
        let done = Done { name: "db restore-point", detail, outcome: Outcome::Done, says };
        document.ledger = wire_db_backup::record(done, context).await;
    }
    let what = if document.made { "made" } else { "was there already" };
    let human = format!("restore point {} {what}, and is available\n", args.name);
    Ok(Report::new(Exit::Done, "orca.db-restore-point/v1", &document, human)
        .output("restore_point", args.name.clone()))
}

/// Asks for it once. Where the answer was lost, it is looked for before anything is said.
async fn make(hosted: &dyn Hosted, name: &str) -> Result<(), HostedError> {
    match hosted.create_restore_point(name).await {
        Ok(_) => Ok(()),
        Err(error @ (HostedError::Unavailable(_) | HostedError::Unreadable { .. })) => {
            match hosted.restore_point(name).await {
                Ok(Some(_)) => Ok(()),
                _ => Err(error),
            }
        }
        Err(error) => Err(error),
    }
}

async fn available(
    hosted: &dyn Hosted,
    name: &str,
    context: &Context,
) -> Result<RestorePoint, Failure> {
    let start = clock::monotonic();
    let mut wait = Duration::from_millis(250);
    let unusable = |status: &str| {
        let text = format!("the restore point {name} is {status}");
        Failure::new(Code::HostedRefused, Exit::Unavailable, text)
            .hint("make one of another name; the dashboard shows why")
    };
    loop {
        match hosted.restore_point(name).await? {
            Some(point) if point.status == "AVAILABLE" => return Ok(point),
            Some(point) if point.status != "PENDING" => return Err(unusable(&point.status)),
            seen if clock::since(start) > limits::RESTORE_POINT => {
                let status = seen.map_or("nowhere to be seen".to_owned(), |point| point.status);
                return Err(unusable(&format!("still {status}")));
            }
            _ => {}
        }
        context.say("waiting for the restore point");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(5));
    }
}
