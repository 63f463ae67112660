//! `orca watch`: the window after a promotion. A trigger brings users back; a quiet end makes the
//! release stable.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::ids::ReleaseName;
use crate::base::units::Micros;
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_canary, wire_fleet, wire_gates};
use crate::gate::phase::Phase;
use crate::ledger::entry::TrafficProof;
use crate::ledger::fold::State;
use crate::rollout::plan::RolloutPlan;
use crate::rollout::triggers::Triggers;
use crate::verbs::promote::final_name;
use crate::verbs::ship::{Fleet, PhaseGate};
use crate::verbs::watch::{self, Promoted, Watch, WatchError, Watched};

#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// How long, such as 24h; what the release's track says unless given, else 1h
    #[arg(long = "for", value_name = "SPAN")]
    span: Option<Micros>,

    /// The candidate that was promoted; whatever serves unless given
    #[arg(long, value_name = "RELEASE", conflicts_with = "tag")]
    rc: Option<ReleaseName>,

    /// The same, by its final tag
    #[arg(long, value_name = "RELEASE")]
    tag: Option<ReleaseName>,

    /// Tell of a trigger, and leave users where they are
    #[arg(long)]
    report_only: bool,

    /// Print what would be watched and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// How a watch ended, or would run.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct WatchDocument {
    dry_run: bool,
    release: String,
    commit: String,
    /// How long it is watched.
    span_us: u64,
    /// What brings users back by itself, beside the error limit.
    triggers: Vec<String>,
    /// `stable`, `undecided`, `breach`, `rolled_back`, `stuck`, `changed` or `stopped`; absent on a
    /// dry run.
    outcome: Option<&'static str>,
    headline: String,
    /// `verified`, `requested` or `failed`, where users were brought back.
    traffic: Option<&'static str>,
}

/// What is watched, and by what.
pub(crate) struct Wanted {
    pub(crate) promoted: Promoted,
    pub(crate) span: Micros,
    pub(crate) triggers: Triggers,
    pub(crate) report_only: bool,
}

const AN_HOUR: Micros = Micros::from_secs(3_600);

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    // What is here is enough to watch: a remote that is away must not leave a release alone.
    if let Err(error) = fleet.ship.book.synced().await {
        context.warn(format!("ledger: {error}; watching by what is known here"));
    }
    let state = fleet.ship.book.state().await?;
    let promoted = watch::serving(&state, &fleet)?;
    let named = args.tag.clone().or_else(|| args.rc.as_ref().and_then(final_name));
    if let Some(named) = named.filter(|named| *named != promoted.release) {
        let text = format!("{} serves, not {named}", promoted.release);
        return Err(WatchError::NotServing(text).into());
    }
    let plan = plan_of(&state, &fleet, &promoted);
    let span = args.span.or_else(|| span_of(&config, plan.as_ref())).unwrap_or(AN_HOUR);
    if span.0 == 0 {
        return Err(Failure::new(Code::Usage, Exit::Usage, "watching for no time sees nothing")
            .hint("--for 1h"));
    }
    let planned = plan.map(|plan| plan.triggers).unwrap_or_default();
    let triggers = config.canary.triggers.clone().or(&planned).after_promotion();
    let wanted = Wanted { promoted, span, triggers, report_only: args.report_only };
    if args.dry_run {
        return Ok(would(&wanted));
    }
    let watched = watched(context, (&config, &fleet), &wanted).await?;
    Ok(report(&wanted, &watched))
}

/// Watches it to its end.
pub(crate) async fn watched(
    context: &Context,
    (config, fleet): (&Config, &Fleet),
    wanted: &Wanted,
) -> Result<Watched, Failure> {
    let judging = wire_canary::judging(context, config)?;
    let budget = wire_gates::budget(context, config)?;
    let sources: Vec<PhaseGate> =
        budget.into_iter().map(|gate| PhaseGate { phase: Phase::Watch, ..gate }).collect();
    context.say(format!("{}: watched for {}", wanted.promoted.release, wanted.span));
    let watch = Watch {
        fleet,
        promoted: &wanted.promoted,
        judging: &judging,
        triggers: &wanted.triggers,
        sources: &sources,
        span: wanted.span,
        report_only: wanted.report_only,
    };
    Ok(watch.run().await?)
}

/// The plan by which the release came to its users.
pub(crate) fn plan_of(state: &State, fleet: &Fleet, promoted: &Promoted) -> Option<RolloutPlan> {
    let ended = state.environment(&fleet.ship.environment)?.ended.iter().rev();
    let mut started = ended.map(|ended| &ended.rollout.started);
    let ours = started.find(|started| started.canary == promoted.deployment)?;
    serde_json::from_value(ours.plan.clone()).ok()
}

/// How long the release's track wants it watched.
pub(crate) fn span_of(config: &Config, plan: Option<&RolloutPlan>) -> Option<Micros> {
    config.tracks.get(plan?.track.as_deref()?)?.watch
}

fn document(wanted: &Wanted) -> WatchDocument {
    WatchDocument {
        dry_run: true,
        release: wanted.promoted.release.to_string(),
        commit: wanted.promoted.commit.to_string(),
        span_us: wanted.span.0,
        triggers: wanted.triggers.sentences(),
        outcome: None,
        headline: String::new(),
        traffic: None,
    }
}

fn would(wanted: &Wanted) -> Report {
    let back = if wanted.report_only { "it is told" } else { "users go back by themselves" };
    let mut human = format!(
        "would watch {} on {} for {}\n\n{back} when\n- the error limit of the manifest is passed \
         beyond doubt\n",
        wanted.promoted.release, wanted.promoted.deployment, wanted.span
    );
    for trigger in wanted.triggers.sentences() {
        human.push_str(&format!("- {trigger}\n"));
    }
    human.push_str("\na quiet end makes it stable; missing data never does\n");
    Report::new(Exit::Done, "orca.watch/v1", &document(wanted), human)
}

/// The exit of every way a watch can end.
pub(crate) fn exit_of(watched: &Watched) -> Exit {
    match watched {
        Watched::Stable { .. } => Exit::Done,
        Watched::Undecided { .. } => Exit::Inconclusive,
        Watched::Breach { .. } | Watched::Changed { .. } => Exit::Closed,
        Watched::WentBack { back, .. } if back.proof == TrafficProof::Verified => Exit::MovedBack,
        Watched::WentBack { .. } | Watched::Stuck { .. } => Exit::TrafficWrong,
        Watched::Stopped { .. } => Exit::PartDone,
    }
}

pub(crate) fn report(wanted: &Wanted, watched: &Watched) -> Report {
    let release = &wanted.promoted.release;
    let (outcome, headline) = match watched {
        Watched::Stable { headline } => ("stable", headline.clone()),
        Watched::Undecided { headline } => ("undecided", headline.clone()),
        Watched::Breach { headline } => ("breach", headline.clone()),
        Watched::WentBack { headline, back } => {
            let because = back.target.because.as_ref();
            let because = because.map(|why| format!(": {why}")).unwrap_or_default();
            ("rolled_back", format!("{headline}; back on {}{because}", back.target.deployment))
        }
        Watched::Stuck { headline, why } => ("stuck", format!("{headline}; going back: {why}")),
        Watched::Changed { headline } => ("changed", headline.clone()),
        Watched::Stopped { after } => {
            let text = format!("stopped after {after} of {}; it is not stable", wanted.span);
            ("stopped", text)
        }
    };
    let traffic = watched.proof().map(|proof| match proof {
        TrafficProof::Verified => "verified",
        TrafficProof::Requested => "requested",
        TrafficProof::Failed => "failed",
    });
    let exit = exit_of(watched);
    let human = format!("{release}: {}: {headline}\n", outcome.replace('_', " "));
    let document = WatchDocument {
        dry_run: false,
        outcome: Some(outcome),
        headline,
        traffic,
        ..document(wanted)
    };
    let report = Report::new(exit, "orca.watch/v1", &document, human).output("outcome", outcome);
    match exit {
        Exit::Done => report.next(format!("orca evidence generate --tag {release}")),
        Exit::MovedBack => {
            report.next(format!("orca why {release}")).next("orca explain ORCA-1877")
        }
        Exit::TrafficWrong => {
            report.next("orca rollback --reason R").next("orca explain ORCA-1604")
        }
        Exit::Closed if outcome == "breach" => {
            report.next("orca rollback --reason R").next("orca explain ORCA-1877")
        }
        Exit::PartDone | Exit::Inconclusive => report.next(format!("orca watch --tag {release}")),
        _ => report.next("orca release status"),
    }
}

impl From<WatchError> for Failure {
    fn from(error: WatchError) -> Self {
        let text = error.to_string();
        match error {
            WatchError::Book(error) => error.into(),
            WatchError::Platform(error) => error.into(),
            WatchError::NotServing(_) => Self::new(Code::NotServing, Exit::Closed, text)
                .hint("orca release status shows what serves"),
            WatchError::Blind(_) => Self::new(Code::Unwatched, Exit::Unavailable, text)
                .hint("write budget: and sources: in the manifest; docs/guides/canary.md"),
        }
    }
}
