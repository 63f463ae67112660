//! `orca canary start`: shifts real traffic stage by stage, or brings it back.

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_detach::{self, Ticks};
use super::canary_tick;
use super::force::Force;
use super::place::set_project;
use super::rollback::noted;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::cli::config::resolve::Config;
use crate::cli::config::tracks;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_canary, wire_fleet, wire_gates, wire_trust};
use crate::ledger::entry::RolloutEnd;
use crate::ledger::fold::State;
use crate::rollout::machine::ExitKind;
use crate::rollout::plan::{DecideBy, OnFail, RolloutPlan, Stage};
use crate::rollout::ports::{Capabilities, Change};
use crate::verbs::canary::drive::Ending;
use crate::verbs::canary::once::Rest;
use crate::verbs::canary::start::{Canary, Candidate, refuse_unfit};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the new version runs, such as <http://127.0.0.1:3001>
    #[arg(long, value_name = "URL")]
    deployment_url: DeploymentId,

    /// The candidate; the newest in the ledger unless given
    #[arg(long, value_name = "RELEASE")]
    rc: Option<ReleaseName>,

    /// The project on Vercel, unless orca.yaml or `VERCEL_PROJECT_ID` names it
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,

    /// Start although a stage cannot be decided with this traffic: it will hold, and be withdrawn
    #[arg(long)]
    allow_undecidable: bool,

    /// Ramp up as this track of orca.yaml says: standard, high-risk, hotfix or one of your own
    #[arg(long, value_name = "NAME")]
    track: Option<String>,

    #[command(flatten)]
    ticks: Ticks,

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
    pub(super) release: String,
    commit: String,
    deployment: String,
    /// `complete`, `rolled_back`, `withdrawn`, `aborted`, `grant_ended`; absent when it goes on.
    end: Option<String>,
    pub(super) reason: String,
    /// The track that the stages are of, where one was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<String>,
    /// What brings users back by itself in the middle of a stage.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    triggers: Vec<String>,
    stages: Vec<StageDocument>,
    /// The calls to the platform that it would make; on a dry run only, where the platform lists them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    calls: Vec<String>,
    /// What protects users should orca die; on a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    when_orca_dies: Option<String>,
    /// What people must know of the platform once users went back.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct StageDocument {
    weight_bp: u16,
    bake_us: u64,
    max_hold_us: u64,
    /// `users` or `paired`.
    decide_by: &'static str,
    /// What happens to users when it fails: `rollback` or `hold`.
    on_fail: &'static str,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let mut config = wire::load_config(context)?;
    set_project(&mut config, args.project.as_ref());
    follow_track(&mut config, args.track.as_deref())?;
    let config = if args.ticks.detach { canary_tick::brief(config) } else { config };
    let repository = wire_fleet::repository(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let state = fleet.ship.book.synced().await?;
    let (release, commit) = candidate(&state, args.rc.as_ref())?;
    let candidate = Candidate {
        release,
        commit,
        digest: wire_canary::told_by(context, args.deployment_url.as_str()).await.digest,
        deployment: fleet.platform.resolve(&args.deployment_url).await?.deployment,
    };
    let platform = fleet.platform.capabilities();
    let plan = args.ticks.plan(wire_canary::plan(context, &config)?, &platform)?;
    let judging = wire_canary::judging(context, &config)?;
    if args.dry_run {
        refuse_unfit(&plan, &platform, &judging)?;
        let calls = [Change::Stage, Change::Raise, Change::Back]
            .map(|change| fleet.platform.calls_of(change))
            .concat();
        return Ok(planned(&candidate, (&plan, &platform), calls));
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
    let after = |ending: &Ending| fleet.platform.after_back().filter(|_| went_back(ending));
    if args.ticks.detach {
        return match canary.detach().await? {
            Rest::Ended(ending) => {
                let note = after(&ending);
                Ok(report(&candidate, &ending, &plan, note))
            }
            Rest::GoesOn(stands) => {
                let document = document(&candidate, &plan);
                Ok(canary_detach::report(document, &stands, &plan))
            }
        };
    }
    let ending = canary.run().await?;
    let note = after(&ending);
    Ok(report(&candidate, &ending, &plan, note))
}

/// The stages of `track` instead of those in the file.
pub(crate) fn follow_track(config: &mut Config, track: Option<&str>) -> Result<(), Failure> {
    let Some(name) = track else { return Ok(()) };
    let (name, track) = tracks::named(&config.tracks, name).map_err(|text| {
        Failure::new(Code::Track, Exit::Usage, text)
            .hint(format!("--track with one of {}", tracks::names(&config.tracks)))
            .hint(format!("or write tracks.{name}.stages in orca.yaml"))
    })?;
    config.canary.follow(name, track);
    Ok(())
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

fn stages(plan: &RolloutPlan) -> Vec<StageDocument> {
    let stage = |stage: &Stage| StageDocument {
        weight_bp: stage.weight.basis_points(),
        bake_us: stage.bake.0,
        max_hold_us: stage.max_hold.0,
        decide_by: match stage.decide_by {
            DecideBy::Paired => "paired",
            DecideBy::Users => "users",
        },
        on_fail: match stage.on_fail {
            OnFail::Rollback => "rollback",
            OnFail::Hold => "hold",
        },
    };
    plan.stages.iter().map(stage).collect()
}

fn planned(
    candidate: &Candidate,
    (plan, platform): (&RolloutPlan, &Capabilities),
    calls: Vec<String>,
) -> Report {
    let mut human = format!("would ship {} to {}\n", candidate.release, candidate.deployment);
    if let Some(track) = &plan.track {
        human.push_str(&format!("on the track {track}\n"));
    }
    human.push('\n');
    for (number, stage) in (1..).zip(&plan.stages) {
        let failed = match stage.on_fail {
            OnFail::Rollback => "users go back at once",
            OnFail::Hold => "it holds for a person",
        };
        human.push_str(&format!(
            "{number}. raise to {} with a clearance, bake {} (hold at most {})\n   back: {}\n   \
             a failure: {failed}\n",
            stage.weight, stage.bake, stage.max_hold, platform.abort_cost
        ));
    }
    for call in &calls {
        human.push_str(&format!("   call: {call}\n"));
    }
    let triggers = plan.triggers.sentences();
    if !triggers.is_empty() {
        human.push_str("\nat any time users go back by themselves when\n");
    }
    for trigger in &triggers {
        human.push_str(&format!("- {trigger}\n"));
    }
    let when_orca_dies = platform.when_orca_dies(plan.grant);
    human.push_str(&format!(
        "\nthe split is kept by {}; users stay on one version by {}\nif orca dies: {}\n",
        platform.state_holder, platform.stickiness, when_orca_dies
    ));
    let document = CanaryDocument {
        dry_run: true,
        reason: "dry run".to_owned(),
        when_orca_dies: Some(when_orca_dies),
        calls,
        ..document(candidate, plan)
    };
    Report::new(Exit::Done, "orca.canary/v1", &document, human)
}

/// A canary that goes on.
fn document(candidate: &Candidate, plan: &RolloutPlan) -> CanaryDocument {
    CanaryDocument {
        dry_run: false,
        release: candidate.release.to_string(),
        commit: candidate.commit.to_string(),
        deployment: candidate.deployment.to_string(),
        end: None,
        reason: String::new(),
        track: plan.track.clone(),
        triggers: plan.triggers.sentences(),
        stages: stages(plan),
        when_orca_dies: None,
        calls: Vec::new(),
        note: None,
    }
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

/// Whether users were sent away from a canary that they had.
pub(super) fn went_back(ending: &Ending) -> bool {
    matches!(ending.exit, ExitKind::BackOnBase | ExitKind::Undecided)
}

fn report(
    candidate: &Candidate,
    ending: &Ending,
    plan: &RolloutPlan,
    note: Option<String>,
) -> Report {
    let exit = exit_of(ending.exit);
    let end = ending.end.map(end_word);
    let human = format!(
        "{}: {}\n{}\n{}",
        candidate.release,
        end.as_deref().unwrap_or("goes on").replace('_', " "),
        ending.reason,
        noted(note.as_ref())
    );
    let document = CanaryDocument {
        end: end.clone(),
        reason: ending.reason.clone(),
        note,
        ..document(candidate, plan)
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
