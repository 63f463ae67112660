//! `orca maintenance [on | off]`: the kill switch. Works without repository, ledger or lease.

use clap::Subcommand;
use schemars::JsonSchema;
use serde::Serialize;

use super::place::Place;
use super::reason::lossy;
use super::rollback::noted;
use crate::base::clock;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{render, wire_back, wire_fleet};
use crate::rollout::closing::Manner;
use crate::verbs::maintenance::{Maintenance, Standing, sentence};

const SCHEMA: &str = "orca.maintenance/v1";
const UNSTORED: &str = "warning: the platform could not store it, so a restart undoes it: make room on \
                        its disk and run this again\n";

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Option<Verb>,

    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Close the service: users get a page and no version
    On(Switch),
    /// Open the service again
    Off(Switch),
    /// Show whether the service is closed; the same as no verb
    Status(StatusArgs),
}

#[derive(Debug, clap::Args)]
struct StatusArgs {
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, clap::Args)]
struct Switch {
    /// Why; kept in the ledger
    #[arg(long, value_name = "TEXT", value_parser = lossy())]
    reason: String,

    #[command(flatten)]
    place: Place,

    /// Print the call that would be made and what users would get, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// Whether the service is closed for users, and what was done.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct MaintenanceDocument {
    /// As it is, or as it would be on a dry run.
    closed: bool,
    dry_run: bool,
    /// The status that the front door answers with; absent without an answer, and on a dry run.
    front_status: Option<u16>,
    /// Whether platform and front door both show it; absent on a dry run.
    verified: Option<bool>,
    /// From the command to that.
    verified_us: Option<u64>,
    /// False when the platform could not store it: a restart would undo it.
    stored: bool,
    /// What users get, and how soon.
    users: String,
    /// The one call that changes it.
    call: String,
    /// `synced`, `no remote` or `pending: ...`; absent where nothing was changed.
    ledger: Option<String>,
    /// What people must know of the platform afterwards.
    note: Option<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    match &args.verb {
        None => status(&args.place, context).await,
        Some(Verb::Status(status_args)) => status(&status_args.place, context).await,
        Some(Verb::On(switch)) => set(true, switch, context).await,
        Some(Verb::Off(switch)) => set(false, switch, context).await,
    }
}

async fn status(place: &Place, context: &Context) -> Result<Report, Failure> {
    let maintenance = maintenance(place, "", context)?;
    let standing = maintenance.look().await?;
    let manner = maintenance.closing()?.manner(standing.closed);
    let mut human = sentence(standing.closed, standing.front);
    if !standing.is_shown {
        human.push_str(", which is not what its platform says");
    }
    let document = MaintenanceDocument {
        front_status: standing.front,
        verified: Some(standing.is_shown),
        note: None,
        ..document(standing.closed, manner)
    };
    let report = Report::new(Exit::Done, SCHEMA, &document, format!("{human}\n"))
        .output("closed", standing.closed.to_string());
    Ok(if standing.closed { report.next("orca maintenance off --reason R") } else { report })
}

async fn set(closed: bool, switch: &Switch, context: &Context) -> Result<Report, Failure> {
    if switch.reason.trim().is_empty() {
        let text = "closing or opening a service needs a reason";
        return Err(Failure::new(Code::Usage, Exit::Usage, text)
            .hint("orca maintenance on --reason \"orders are charged twice\""));
    }
    let maintenance = maintenance(&switch.place, &switch.reason, context)?;
    let manner = maintenance.closing()?.manner(closed);
    if switch.dry_run {
        let (call, users) = (&manner.call, &manner.users);
        let verb = if closed { "close" } else { "open" };
        let human = format!("would {verb} the service: {call}\nusers would get {users}\n");
        let document = MaintenanceDocument { dry_run: true, ..document(closed, manner) };
        return Ok(Report::new(Exit::Done, SCHEMA, &document, human));
    }
    Ok(done(&maintenance.set(closed).await?, manner))
}

fn maintenance(place: &Place, reason: &str, context: &Context) -> Result<Maintenance, Failure> {
    let since = clock::monotonic();
    let known = wire_back::known(place, context)?;
    Ok(Maintenance {
        platform: known.platform(context)?,
        book: known.book(context),
        environment: known.config().environment.value.clone(),
        reason: context.redactor.text(reason).into_owned(),
        since,
        tell: wire_fleet::tell(context),
    })
}

fn document(closed: bool, manner: Manner) -> MaintenanceDocument {
    MaintenanceDocument {
        closed,
        dry_run: false,
        front_status: None,
        verified: None,
        verified_us: None,
        stored: true,
        users: manner.users,
        call: manner.call,
        ledger: None,
        note: manner.note,
    }
}

fn verified(us: u64) -> String {
    format!("verified after {}", Micros(us))
}

fn done(standing: &Standing, manner: Manner) -> Report {
    let closed = standing.closed;
    let (exit, proof) = match standing.shown_us {
        // The next run stores it, once there is room.
        Some(us) if !standing.is_stored => (Exit::PartDone, verified(us)),
        Some(us) => (Exit::Done, verified(us)),
        None => (Exit::TrafficWrong, "NOT verified: page a human".to_owned()),
    };
    let unstored = if standing.is_stored { "" } else { UNSTORED };
    let users = if standing.is_shown { "users get" } else { "users should get" };
    let human = format!(
        "{}: {proof}\n{unstored}{users} {}\n{}{}",
        sentence(closed, standing.front),
        manner.users,
        noted(manner.note.as_ref()),
        render::ledger::line(&standing.ledger),
    );
    let document = MaintenanceDocument {
        front_status: standing.front,
        verified: Some(standing.is_shown),
        verified_us: standing.shown_us,
        stored: standing.is_stored,
        ledger: Some(render::ledger::word(&standing.ledger)),
        ..document(closed, manner)
    };
    let report = Report::new(exit, SCHEMA, &document, human).output("closed", closed.to_string());
    match (exit, closed) {
        (Exit::Done, true) => {
            report.next("orca rollback --reason R").next("orca maintenance off --reason R")
        }
        (Exit::Done, false) => report.next("orca release status"),
        (Exit::PartDone, _) => report.next("run it again: it is safe to repeat"),
        _ => report.next("orca maintenance status").next("orca explain ORCA-1604"),
    }
}
