//! `orca ship --rc R`: a release on its track to the end. Each step is the verb itself, as one would
//! type it; the ledger says which are behind, so the same command goes on where it stopped.

use clap::Parser as _;
use schemars::JsonSchema;
use serde::Serialize;

use super::canary_start::{candidate, follow_track};
use crate::base::ids::{DeploymentId, ReleaseName};
use crate::cli::command::Cli;
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_canary, wire_fleet, wire_gates};
use crate::gate::phase::Phase;
use crate::gate::ruling::Subject;
use crate::ledger::fold::State;
use crate::verbs::promote::final_name;
use crate::verbs::ship::Fleet;
use crate::verbs::standing;
use crate::verbs::tag_rc::{SharedRepository, on_repository};
use crate::verbs::track::{Reach, Shipment, Step, reach};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The candidate to ship, such as v1.4.0-rc.1
    #[arg(long, value_name = "RELEASE")]
    rc: ReleaseName,

    /// Where the new version runs
    #[arg(long, value_name = "URL")]
    deployment_url: DeploymentId,

    /// The track; `canary.track` of orca.yaml unless given
    #[arg(long, value_name = "NAME")]
    track: Option<String>,

    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A release on its track.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ShipDocument {
    dry_run: bool,
    release: String,
    commit: String,
    track: Option<String>,
    steps: Vec<StepDocument>,
    /// The step that ended it, where one did.
    stopped_at: Option<&'static str>,
    /// What that step printed with `--json`.
    stopped: Option<serde_json::Value>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct StepDocument {
    step: &'static str,
    /// What one would type.
    command: String,
    /// `behind` (the ledger has it), `would`, `ran`, `stopped` or `ahead`.
    state: &'static str,
    exit: Option<u8>,
}

struct Plan {
    shipment: Shipment,
    track: Option<String>,
    /// Each step with its words, and whether it is behind.
    steps: Vec<(Step, Vec<String>, bool)>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let plan = plan(args, context).await?;
    let mut steps: Vec<StepDocument> = plan.steps.iter().map(document).collect();
    let planned = listed(&plan, &steps);
    if args.dry_run {
        return Ok(report(args, &plan, steps, None, planned));
    }
    context.say(planned);
    for (index, (step, words, is_behind)) in plan.steps.iter().enumerate() {
        if *is_behind {
            continue;
        }
        context.say(format!("ship: {}", typed(words)));
        let command = Cli::try_parse_from(words).expect("orca's own words").command;
        let ended = Box::pin(command.run(context)).await.map_err(|failure| {
            failure.hint(format!("{} goes on from {}", again(args), step.name()))
        })?;
        steps[index].exit = Some(ended.exit.code());
        if ended.exit != Exit::Done {
            steps[index].state = "stopped";
            let human = format!("{}\n{}", ended.human, listed(&plan, &steps));
            return Ok(report(args, &plan, steps, Some((*step, ended)), human));
        }
        steps[index].state = "ran";
        context.say(ended.human.trim_end());
    }
    let human = listed(&plan, &steps);
    Ok(report(args, &plan, steps, None, human))
}

async fn plan(args: &Args, context: &Context) -> Result<Plan, Failure> {
    let mut config = wire::load_config(context)?;
    follow_track(&mut config, args.track.as_deref())?;
    // Asked for at the end: better said before anything moves.
    if wire_fleet::signing_key(context, &config)?.is_none() {
        let text = "no signing key is configured, and an unsigned pack proves nothing";
        return Err(Failure::new(Code::Key, Exit::Usage, text)
            .hint("name it: export ORCA_SIGNING_KEY=orca.key, or trust.signing_key in orca.yaml"));
    }
    let repository = wire_fleet::repository(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let state = fleet.ship.book.synced().await?;
    let (rc, commit) = candidate(&state, Some(&args.rc))?;
    let tag = final_name(&rc).ok_or_else(|| {
        let text = format!("{rc} is not a release candidate");
        Failure::new(Code::UnknownRelease, Exit::Usage, text).hint("name one like v1.4.0-rc.1")
    })?;
    if let Some(text) = standing::condemned(&state, &fleet.ship.environment, &commit) {
        return Err(Failure::new(Code::Condemned, Exit::Closed, text).hint("orca release tag --rc"));
    }
    let shipment = Shipment { rc, commit, tag, deployment: args.deployment_url.clone() };
    let reach = reach(&state, &fleet.ship.environment, &shipment);
    if let Reach::UnderWay { release } = &reach {
        let text = format!("a canary of {release} is under way");
        return Err(Failure::new(Code::ShipUnderWay, Exit::Closed, text)
            .hint("orca canary status shows who drives it")
            .hint("orca canary resume, where its process is gone"));
    }
    let open = open(context, (&config, &fleet), (&state, &repository), &shipment).await?;
    let track = config.canary.track.clone();
    let watch = track.as_ref().and_then(|name| config.tracks.get(name)?.watch);
    let mut steps = Vec::new();
    for step in Step::ALL.into_iter().filter(|step| *step != Step::Watch || watch.is_some()) {
        let is_open = |phase| open.contains(&phase);
        let is_behind = reach.is_past(step)
            || (step == Step::Preflight && is_open(Phase::Preflight))
            || (step == Step::Load && is_open(Phase::Load));
        steps.push((step, words(step, args, &shipment), is_behind));
    }
    let judges =
        |(step, _, behind): &(Step, Vec<String>, bool)| *step == Step::Preflight && !behind;
    if steps.iter().any(judges) {
        refuse_other_commit(&repository, &shipment).await?;
    }
    Ok(Plan { shipment, track, steps })
}

/// Preflight judges what is checked out.
async fn refuse_other_commit(
    repository: &SharedRepository,
    shipment: &Shipment,
) -> Result<(), Failure> {
    let head = on_repository(repository, |found| found.head()).await?;
    if head.commit == shipment.commit {
        return Ok(());
    }
    let text = format!(
        "preflight judges what is checked out, and that is {}, not {} of {}",
        head.commit.short(),
        shipment.commit.short(),
        shipment.rc
    );
    Err(Failure::new(Code::ShipElsewhere, Exit::Usage, text)
        .hint(format!("git checkout {}", shipment.rc)))
}

/// The phases before the canary whose rulings hold now.
async fn open(
    context: &Context,
    (config, fleet): (&Config, &Fleet),
    (state, repository): (&State, &SharedRepository),
    shipment: &Shipment,
) -> Result<Vec<Phase>, Failure> {
    let ship = &fleet.ship;
    let address = shipment.deployment.as_str();
    let gates = wire_gates::configured(context, config, repository, address).await?;
    let subject = Subject {
        commit: shipment.commit.clone(),
        digest: wire_canary::digest_of(context, address).await,
        environment: ship.environment.clone(),
    };
    let rulings = ship.recall(state, &subject).await?;
    let before = standing::applied_before(state, &ship.environment);
    let requirements: Vec<_> =
        gates.iter().map(crate::verbs::ship::PhaseGate::requirement).collect();
    let is_open = |phase: &Phase| {
        ship.phase((*phase, &subject), &requirements, &rulings, &before).verdict().opens()
    };
    Ok([Phase::Preflight, Phase::Load].into_iter().filter(is_open).collect())
}

fn words(step: Step, args: &Args, shipment: &Shipment) -> Vec<String> {
    let (rc, url) = (shipment.rc.as_str(), shipment.deployment.as_str());
    let words: Vec<&str> = match step {
        Step::Preflight => vec!["preflight"],
        Step::Load => vec!["load", "--rc", rc, "--target", url],
        Step::Canary => {
            let mut words = vec!["canary", "start", "--rc", rc, "--deployment-url", url];
            if let Some(track) = &args.track {
                words.extend(["--track", track]);
            }
            words
        }
        Step::Promote => vec!["promote", "--rc", rc],
        Step::Watch => vec!["watch", "--rc", rc],
        Step::Evidence => vec!["evidence", "generate", "--tag", shipment.tag.as_str()],
    };
    ["orca"].into_iter().chain(words).map(str::to_owned).collect()
}

fn typed(words: &[String]) -> String {
    words.join(" ")
}

fn again(args: &Args) -> String {
    let track = args.track.as_ref().map(|name| format!(" --track {name}")).unwrap_or_default();
    format!("orca ship --rc {} --deployment-url {}{track}", args.rc, args.deployment_url)
}

fn document((step, words, is_behind): &(Step, Vec<String>, bool)) -> StepDocument {
    let state = if *is_behind { "behind" } else { "ahead" };
    StepDocument { step: step.name(), command: typed(words), state, exit: None }
}

fn listed(plan: &Plan, steps: &[StepDocument]) -> String {
    let track = plan.track.as_ref().map_or_else(String::new, |name| format!(" on track {name}"));
    let mut text = format!("{}{track}\n", plan.shipment.rc);
    for (number, step) in (1..).zip(steps) {
        text.push_str(&format!("{number}. {:<8} {}\n", step.state, step.command));
    }
    text
}

fn report(
    args: &Args,
    plan: &Plan,
    mut steps: Vec<StepDocument>,
    stopped: Option<(Step, Report)>,
    human: String,
) -> Report {
    if args.dry_run {
        let ahead = steps.iter_mut().filter(|step| step.state == "ahead");
        ahead.for_each(|step| step.state = "would");
    }
    let document = ShipDocument {
        dry_run: args.dry_run,
        release: plan.shipment.rc.to_string(),
        commit: plan.shipment.commit.to_string(),
        track: plan.track.clone(),
        steps,
        stopped_at: stopped.as_ref().map(|(step, _)| step.name()),
        stopped: stopped.as_ref().map(|(_, ended)| ended.json.clone()),
    };
    let exit = stopped.as_ref().map_or(Exit::Done, |(_, ended)| ended.exit);
    let mut report = Report::new(exit, "orca.ship/v1", &document, human);
    match stopped {
        Some((_, ended)) => {
            report.next = ended.next;
            report.annotations = ended.annotations;
            report
        }
        None if args.dry_run => report.next(again(args)),
        None => report.next("orca release status"),
    }
}
