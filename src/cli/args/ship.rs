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
use crate::verbs::track::{Reach, Shipment, Step, complete_on, reach};

#[derive(Debug, Clone, clap::Args)]
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
        let ended = Box::pin(parsed(words)?.command.run(context)).await.map_err(|failure| {
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
    if let Some(text) = standing::condemned(&state, &fleet, &commit).await? {
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
    if let Some(canary) = complete_on(&state, &fleet.ship.environment, &shipment) {
        refuse_other_deployment(&fleet, args, canary).await?;
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
        let words = words(step, (args, &shipment), config.load.target.is_some());
        // Better said before anything moves.
        parsed(&words)?;
        steps.push((step, words, is_behind));
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

/// The canary is complete on a deployment: that one is promoted, whatever is given here.
async fn refuse_other_deployment(
    fleet: &Fleet,
    args: &Args,
    canary: &DeploymentId,
) -> Result<(), Failure> {
    let given = &args.deployment_url;
    if given == canary || fleet.platform.resolve(given).await?.deployment == *canary {
        return Ok(());
    }
    let text = format!("the canary of {} is complete on {canary}, not on {given}", args.rc);
    let there = Args { deployment_url: canary.clone(), ..args.clone() };
    Err(Failure::new(Code::ShipOther, Exit::Usage, text)
        .hint(again(&there))
        .hint("orca canary abort --reason R brings users back, where that is not the one to ship"))
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
        digest: wire_canary::told_by(context, address).await.digest,
        environment: ship.environment.clone(),
    };
    let rulings = ship.recall(state, &subject).await?;
    let before = state.applied_before(&ship.environment, None);
    let requirements: Vec<_> =
        gates.iter().map(crate::verbs::ship::PhaseGate::requirement).collect();
    let is_open = |phase: &Phase| {
        ship.phase((*phase, &subject), &requirements, &rulings, &before).verdict().opens()
    };
    Ok([Phase::Preflight, Phase::Load].into_iter().filter(is_open).collect())
}

/// What one would type. A value stands behind its flag's `=`, so that it is a value whatever it
/// begins with. Load goes where `gates.load.target` of orca.yaml says, where it says so.
fn words(step: Step, (args, shipment): (&Args, &Shipment), has_target: bool) -> Vec<String> {
    let (rc, url) = (format!("--rc={}", shipment.rc), shipment.deployment.as_str());
    let word = |text: &str| text.to_owned();
    let words = match step {
        Step::Preflight => vec![word("preflight")],
        Step::Load if has_target => vec![word("load"), rc],
        Step::Load => vec![word("load"), rc, format!("--target={url}")],
        Step::Canary => {
            let track = args.track.as_ref().map(|track| format!("--track={track}"));
            let start = [word("canary"), word("start"), rc, format!("--deployment-url={url}")];
            start.into_iter().chain(track).collect()
        }
        Step::Promote => vec![word("promote"), rc],
        Step::Watch => vec![word("watch"), rc],
        Step::Evidence => {
            vec![word("evidence"), word("generate"), format!("--tag={}", shipment.tag)]
        }
    };
    [word("orca")].into_iter().chain(words).collect()
}

/// The command of a step; what was given here may be no value there.
fn parsed(words: &[String]) -> Result<Cli, Failure> {
    Cli::try_parse_from(words).map_err(|error| {
        let said = error.to_string();
        let why = said.lines().next().unwrap_or_default().trim_start_matches("error: ");
        let text = format!("{} cannot be run: {why}", typed(words));
        Failure::new(Code::Usage, Exit::Usage, text).hint("orca ship --help")
    })
}

fn typed(words: &[String]) -> String {
    words.join(" ")
}

fn again(args: &Args) -> String {
    let track = args.track.as_ref().map(|name| format!(" --track={name}")).unwrap_or_default();
    format!("orca ship --rc={} --deployment-url={}{track}", args.rc, args.deployment_url)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Typed {
        #[command(flatten)]
        args: Args,
    }

    /// Whatever a value begins with, it stays a value; and the load gate goes where it is told to.
    #[test]
    fn every_step_can_be_typed() {
        let text = |words: &[String]| words[1..].join(" ");
        for (url, track, has_target, load, start) in [
            (
                "http://10.0.0.7:8080",
                "quick",
                false,
                "load --rc=v1.4.0-rc.1 --target=http://10.0.0.7:8080",
                "canary start --rc=v1.4.0-rc.1 --deployment-url=http://10.0.0.7:8080 --track=quick",
            ),
            (
                "-x",
                "-y",
                true,
                "load --rc=v1.4.0-rc.1",
                "canary start --rc=v1.4.0-rc.1 --deployment-url=-x --track=-y",
            ),
        ] {
            let words_given = [
                "ship".to_owned(),
                "--rc=v1.4.0-rc.1".to_owned(),
                format!("--deployment-url={url}"),
                format!("--track={track}"),
            ];
            let args = Typed::try_parse_from(words_given).unwrap().args;
            let shipment = Shipment {
                rc: args.rc.clone(),
                commit: crate::base::ids::CommitId::new("4".repeat(40)).unwrap(),
                tag: final_name(&args.rc).unwrap(),
                deployment: args.deployment_url.clone(),
            };
            let of = |step| words(step, (&args, &shipment), has_target);
            assert_eq!(text(&of(Step::Load)), load);
            assert_eq!(text(&of(Step::Canary)), start);
            for step in Step::ALL {
                parsed(&of(step)).unwrap_or_else(|failure| panic!("{step:?}: {failure:?}"));
            }
        }
        let wrong = ["orca".to_owned(), "promote".to_owned(), "--rc=".to_owned()];
        let refused = parsed(&wrong).map(|_| ()).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
    }
}
