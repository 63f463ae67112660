//! `orca canary start`: shifts real traffic stage by stage, or brings it back.

use schemars::JsonSchema;
use serde::Serialize;

use super::force::Force;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::cli::config::resolve::{CanaryConfig, Config};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_canary, wire_fleet, wire_gates, wire_trust};
use crate::ledger::entry::RolloutEnd;
use crate::ledger::fold::State;
use crate::rollout::machine::ExitKind;
use crate::rollout::plan::RolloutPlan;
use crate::rollout::ports::Capabilities;
use crate::verbs::canary::drive::Ending;
use crate::verbs::canary::start::{Canary, Candidate, refuse_unfit};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the new version runs, such as <http://127.0.0.1:3001>
    #[arg(long, value_name = "URL")]
    deployment_url: DeploymentId,

    /// The candidate; the newest in the ledger unless given
    #[arg(long, value_name = "RELEASE")]
    rc: Option<ReleaseName>,

    /// Start although a stage cannot be decided with this traffic: it will hold, and be withdrawn
    #[arg(long)]
    allow_undecidable: bool,

    /// Ramp up as this track of orca.yaml says: standard, high-risk, hotfix or one of your own
    #[arg(long, value_name = "NAME")]
    track: Option<String>,

    #[command(flatten)]
    force: Force,

    /// Print the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// How a canary ended, or would run.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CanaryDocument {
    dry_run: bool,
    release: String,
    commit: String,
    deployment: String,
    /// `complete`, `rolled_back`, `withdrawn`, `aborted`, `grant_ended`; absent when it goes on.
    end: Option<String>,
    reason: String,
    /// The track that the stages are of, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<String>,
    stages: Vec<StageDocument>,
    /// What protects users should orca die; on a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    when_orca_dies: Option<String>,
}

/// How users come to meet the version.
struct Ramp {
    track: Option<String>,
    stages: Vec<StageDocument>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StageDocument {
    weight_bp: u16,
    bake_us: u64,
    max_hold_us: u64,
    /// `users` or `paired`.
    decide_by: &'static str,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = on_track(wire::load_config(context)?, args.track.as_deref())?;
    let repository = wire_fleet::repository(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let state = fleet.ship.book.synced().await?;
    let (release, commit) = candidate(&state, args.rc.as_ref())?;
    let candidate = Candidate {
        release,
        commit,
        digest: wire_canary::digest_of(context, args.deployment_url.as_str()).await,
        deployment: args.deployment_url.clone(),
    };
    let plan = wire_canary::plan(context, &config)?;
    let judging = wire_canary::judging(context, &config)?;
    let ramp = Ramp { track: config.canary.track.clone(), stages: stages(&config.canary) };
    let platform = fleet.platform.capabilities();
    if args.dry_run {
        refuse_unfit(&plan, &platform, &judging)?;
        return Ok(planned(&candidate, (&plan, &platform), ramp));
    }
    context.say(format!("if orca dies: {}", platform.when_orca_dies(plan.grant)));
    args.force.write(&fleet.ship, &candidate.commit, context).await?;
    wire_trust::refuse_change(&fleet.ship, &candidate.commit).await?;
    let gates =
        wire_gates::configured(context, &config, &repository, args.deployment_url.as_str()).await?;
    let canary = Canary {
        fleet: &fleet,
        plan: &plan,
        candidate: candidate.clone(),
        gates: &gates,
        judging,
        force_undecidable: args.allow_undecidable,
    };
    let ending = canary.run().await?;
    Ok(report(&candidate, &ending, ramp))
}

/// The configuration with the stages of `track`: a flag comes before the file.
fn on_track(mut config: Config, track: Option<&str>) -> Result<Config, Failure> {
    let Some(track) = track else { return Ok(config) };
    let Some(stages) = config.tracks.get(track) else {
        let known: Vec<&str> = config.tracks.keys().map(String::as_str).collect();
        let text = format!("there is no track {track}; there are {}", known.join(", "));
        return Err(Failure::new(Code::Input, Exit::Usage, text)
            .hint(format!("set tracks.{track}.stages in orca.yaml")));
    };
    config.canary.stages.clone_from(stages);
    config.canary.track = Some(track.to_owned());
    Ok(config)
}

/// The candidate that was asked for, or the newest one.
pub(crate) fn candidate(
    state: &State,
    wanted: Option<&ReleaseName>,
) -> Result<(ReleaseName, CommitId), Failure> {
    let unknown = |text: String| {
        Failure::new(Code::UnknownRelease, Exit::Usage, text).hint("orca release tag --rc")
    };
    let found = match wanted {
        Some(name) => state
            .rcs
            .get(name)
            .ok_or_else(|| unknown(format!("the ledger knows no candidate {name}")))?,
        None => state
            .rcs
            .values()
            .max_by_key(|tagged| tagged.by.at)
            .ok_or_else(|| unknown("the ledger knows no release candidate".to_owned()))?,
    };
    Ok((found.release.clone(), found.commit.clone()))
}

fn stages(config: &CanaryConfig) -> Vec<StageDocument> {
    config
        .stages
        .iter()
        .map(|stage| StageDocument {
            weight_bp: stage.weight.basis_points(),
            bake_us: stage.bake.0,
            max_hold_us: stage.max_hold.0,
            decide_by: if stage.paired.is_some() { "paired" } else { "users" },
        })
        .collect()
}

fn planned(
    candidate: &Candidate,
    (plan, platform): (&RolloutPlan, &Capabilities),
    ramp: Ramp,
) -> Report {
    let mut human = format!("would ship {} to {}\n", candidate.release, candidate.deployment);
    if let Some(track) = &ramp.track {
        human.push_str(&format!("on the track {track}\n"));
    }
    human.push('\n');
    for (number, stage) in (1..).zip(&plan.stages) {
        human.push_str(&format!(
            "{number}. raise to {} with a clearance, bake {} (hold at most {})\n   back: {}\n",
            stage.weight, stage.bake, stage.max_hold, platform.abort_cost
        ));
    }
    let when_orca_dies = platform.when_orca_dies(plan.grant);
    human.push_str(&format!(
        "\nthe split is kept by {}; users stay on one version by {}\nif orca dies: {}\n",
        platform.state_holder, platform.stickiness, when_orca_dies
    ));
    let document = CanaryDocument {
        dry_run: true,
        release: candidate.release.to_string(),
        commit: candidate.commit.to_string(),
        deployment: candidate.deployment.to_string(),
        end: None,
        reason: "dry run".to_owned(),
        track: ramp.track,
        stages: ramp.stages,
        when_orca_dies: Some(when_orca_dies),
    };
    Report::new(Exit::Done, "orca.canary/v1", &document, human)
}

/// The exit of every way a canary can end.
pub(crate) const fn exit_of(kind: ExitKind) -> Exit {
    match kind {
        ExitKind::Done => Exit::Done,
        ExitKind::Closed => Exit::Closed,
        ExitKind::Undecided => Exit::Inconclusive,
        ExitKind::Unavailable => Exit::Unavailable,
        ExitKind::PartDone => Exit::PartDone,
        ExitKind::BackOnBase => Exit::MovedBack,
        ExitKind::Unverified => Exit::TrafficWrong,
        ExitKind::Interrupted => Exit::Interrupted,
    }
}

/// The end as the ledger and documents spell it.
pub(crate) fn end_word(end: RolloutEnd) -> String {
    serde_json::to_value(end)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

fn report(candidate: &Candidate, ending: &Ending, ramp: Ramp) -> Report {
    let exit = exit_of(ending.exit);
    let end = ending.end.map(end_word);
    let human = format!(
        "{}: {}\n{}\n",
        candidate.release,
        end.as_deref().unwrap_or("goes on").replace('_', " "),
        ending.reason
    );
    let document = CanaryDocument {
        dry_run: false,
        release: candidate.release.to_string(),
        commit: candidate.commit.to_string(),
        deployment: candidate.deployment.to_string(),
        end: end.clone(),
        reason: ending.reason.clone(),
        track: ramp.track,
        stages: ramp.stages,
        when_orca_dies: None,
    };
    let report = Report::new(exit, "orca.canary/v1", &document, human)
        .output("end", end.unwrap_or_default());
    match ending.end {
        Some(RolloutEnd::Complete) => {
            report.next(format!("orca promote --rc {}", candidate.release))
        }
        Some(RolloutEnd::RolledBack) => report
            .next(format!("orca evidence generate --tag {}", candidate.release))
            .next("orca explain ORCA-1602"),
        Some(RolloutEnd::Withdrawn) => report.next("orca explain ORCA-1603"),
        _ if exit == Exit::TrafficWrong => {
            report.next("orca rollback --reason R").next("orca explain ORCA-1604")
        }
        _ => report.next("orca release status"),
    }
}
