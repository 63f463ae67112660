//! `orca canary tick`: one look, one act, exit; for a scheduled job.

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_start::{end_word, exit_of};
use super::canary_status;
use super::canary_status_text::span;
use crate::base::clock::Timestamp;
use crate::base::limits;
use crate::base::units::Micros;
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_canary, wire_fleet, wire_gates};
use crate::ledger::environment::Rollout;
use crate::rollout::plan::RolloutPlan;
use crate::verbs::canary::once::Stands;
use crate::verbs::canary::tick::{self, Tick, TickError, Ticked};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show how things stand, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What one look at the canary came to.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct TickDocument {
    /// `nothing`, `attended`, `baking`, `raised`, `held`, `paused`, `complete` or `ended`.
    did: &'static str,
    release: Option<String>,
    /// The stage at hand, from 1.
    stage: Option<usize>,
    of: Option<usize>,
    weight_bp: Option<u16>,
    /// How the canary ended: `complete`, `rolled_back`, `withdrawn`, `aborted`, `grant_ended`.
    end: Option<String>,
    reason: String,
    /// Until when the platform keeps the weight without another tick.
    grant_until: Option<String>,
    /// Until when another process is waited for; only with `attended`.
    lease_until: Option<String>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    if args.dry_run {
        return canary_status::run(&canary_status::Args {}, context).await;
    }
    let config = brief(wire::load_config(context)?);
    let repository = wire_fleet::repository(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let (state, blind) = tick::ledger(&fleet).await?;
    let Some(rollout) = tick::running(&state, &fleet) else { return Ok(nothing()) };
    let deployment = rollout.started.canary.as_str();
    let gates = wire_gates::configured(context, &config, &repository, deployment).await?;
    let judging = wire_canary::judging(context, &config)?;
    let tick = Tick { fleet: &fleet, gates: &gates, judging, blind };
    let ticked = tick.run(&rollout).await?;
    Ok(report(&rollout, &ticked, context.clock.now()))
}

impl TickDocument {
    pub(super) fn reason(&self) -> &str {
        &self.reason
    }
}

/// A look is over in a moment, so its lease is: whoever dies in it must not stop the next one.
pub(super) fn brief(mut config: Config) -> Config {
    let short = Micros(u64::try_from(limits::LEASE.as_micros()).unwrap_or(u64::MAX));
    config.canary.lease = config.canary.lease.min(short);
    config
}

fn nothing() -> Report {
    let text = "no canary is under way";
    let document =
        TickDocument { did: "nothing", reason: text.to_owned(), ..TickDocument::default() };
    Report::new(Exit::Done, "orca.canary.tick/v1", &document, text)
        .output("did", "nothing")
        .next("orca canary status")
}

pub(crate) fn report(rollout: &Rollout, ticked: &Ticked, now: Timestamp) -> Report {
    let release = rollout.started.release.to_string();
    let (exit, mut document) = match ticked {
        Ticked::Nothing => return nothing(),
        Ticked::Attended { by, until } => {
            let until = until.rfc3339();
            // A lease tells neither when it was prolonged last nor whether its holder lives.
            let reason = format!(
                "{by} drives it, or died within the lease, which ends at {until} unless prolonged; \
                 the first tick after that goes on"
            );
            let lease_until = Some(until);
            let attended =
                TickDocument { did: "attended", reason, lease_until, ..TickDocument::default() };
            (Exit::Done, attended)
        }
        Ticked::GoesOn { stands, plan, grant_until } => {
            goes_on(stands, plan, grant_until.map(|until| (until, now)))
        }
        Ticked::Complete { grant_until } => {
            let until = grant_until.map(Timestamp::rfc3339);
            let reason = "every stage was judged; it waits to be promoted".to_owned();
            let grant_until = until;
            let complete =
                TickDocument { did: "complete", reason, grant_until, ..TickDocument::default() };
            (Exit::Done, complete)
        }
        Ticked::Ended(ending) => {
            let end = ending.end.map(end_word);
            let did = if end.as_deref() == Some("complete") { "complete" } else { "ended" };
            let reason = ending.reason.clone();
            (exit_of(ending.exit), TickDocument { did, end, reason, ..TickDocument::default() })
        }
    };
    document.release = Some(release.clone());
    let human = format!("canary of {release}: {}: {}\n", document.did, document.reason);
    let next = match (document.did, exit) {
        ("complete", _) => format!("orca promote --rc {release}"),
        (_, Exit::TrafficWrong) => "orca rollback --reason R".to_owned(),
        ("ended", _) => format!("orca why {release}"),
        _ => "orca canary status".to_owned(),
    };
    let report = Report::new(exit, "orca.canary.tick/v1", &document, human)
        .output("did", document.did)
        .output("end", document.end.clone().unwrap_or_default());
    let report = report.next(next);
    match document.did {
        "attended" => report.next(
            "orca canary abort --reason R, where that process is known to be dead: it waits for no lease",
        ),
        _ => report,
    }
}

/// A canary that goes on: 0, or 3 where it holds undecided, or 1 where a breach holds for a person.
pub(crate) fn goes_on(
    stands: &Stands,
    plan: &RolloutPlan,
    grant: Option<(Timestamp, Timestamp)>,
) -> (Exit, TickDocument) {
    let weight = plan.stages[stands.stage].weight;
    let place = format!("stage {} of {} at {weight}", stands.stage + 1, plan.stages.len());
    let within = grant.map_or_else(String::new, |(until, now)| {
        let left = u64::try_from(until.since_us(now)).unwrap_or(0);
        format!("; the next tick is needed within {}", span(left))
    });
    let (did, exit, reason) = match &stands.held {
        _ if stands.paused.is_some() && !stands.breached => {
            let until = stands.paused.map_or_else(String::new, Timestamp::rfc3339);
            ("paused", Exit::Done, format!("{place} is paused until {until}{within}"))
        }
        Some(why) if stands.breached => {
            ("held", Exit::Closed, format!("{place} holds: {why}{within}"))
        }
        Some(why) => ("held", Exit::Inconclusive, format!("{place} holds: {why}{within}")),
        None if stands.raised => ("raised", Exit::Done, format!("{place} began{within}")),
        None => ("baking", Exit::Done, format!("{place} bakes{within}")),
    };
    let document = TickDocument {
        did,
        stage: Some(stands.stage + 1),
        of: Some(plan.stages.len()),
        weight_bp: Some(weight.basis_points()),
        reason,
        grant_until: grant.map(|(until, _)| until.rfc3339()),
        ..TickDocument::default()
    };
    (exit, document)
}

impl From<TickError> for Failure {
    fn from(error: TickError) -> Self {
        let text = error.to_string();
        match error {
            TickError::Book(error) => error.into(),
            TickError::Platform(error) => error.into(),
            TickError::Plan(..) => Self::new(Code::LedgerCorrupt, Exit::Closed, text)
                .hint("orca rollback --reason R brings users back to base"),
            TickError::NoRuling(_) => Self::new(Code::NotCleared, Exit::Inconclusive, text)
                .hint("orca canary abort, and start it anew"),
            TickError::Blind(_) => Self::new(Code::LedgerUnsynced, Exit::Unavailable, text)
                .hint("see whether the remote answers: git ls-remote")
                .hint("users go back to base when the grant ends: orca canary status"),
        }
    }
}
