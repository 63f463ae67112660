//! `orca release status`: what serves, what is on its way, what is condemned, and whether the
//! platform agrees with the ledger.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::place::Place;
use super::release_served::{self, ServedBefore};
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_back::{self, Known};
use crate::cli::wire_fleet;
use crate::cli::wire_trust::TaggedTrust;
use crate::ledger::environment::{EnvironmentState, Reached};
use crate::ledger::fold::State;
use crate::rollout::ports::PlatformState;
use crate::verbs::book::Book;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Where an environment stands.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub(crate) struct Status {
    environment: String,
    /// What is wrong in orca.yaml: it was left out, and nothing is raised until it is corrected.
    faults: Vec<String>,
    #[serde(skip)]
    is_unread: bool,
    /// What the ledger says is the base.
    base: Option<Served>,
    /// The last ten versions that served everybody, newest first: what `orca rollback --to` takes.
    served: Vec<ServedBefore>,
    canary: Option<Canary>,
    /// The newest candidate.
    candidate: Option<String>,
    freeze: Option<String>,
    /// Where trust is read from, and what it is: `trust: first release` before the first final tag.
    trust: String,
    condemned: Vec<String>,
    /// A canary that nobody renews, and steps whose outcome nobody wrote: a process died there.
    unattended: Vec<String>,
    /// What the platform says; absent when it was not asked or did not answer.
    platform: Option<Live>,
    /// Where platform and ledger differ.
    drift: Vec<String>,
    /// The command to type next.
    next: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Served {
    deployment: String,
    release: Option<String>,
    commit: Option<String>,
    since: String,
    /// Since when and by whom it is stable: its watch ended quietly.
    stable: Option<String>,
    #[serde(skip)]
    promoted: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Canary {
    rollout: String,
    release: String,
    deployment: String,
    /// Basis points of traffic, as the ledger has it.
    weight_bp: u16,
    stages_decided: usize,
    complete: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Live {
    base: String,
    canary: Option<String>,
    weight_bp: u16,
    generation: u64,
    epoch: u64,
    grant_until: Option<String>,
}

pub(crate) async fn run(_args: &Args, context: &Context) -> Result<Report, Failure> {
    let file = wire_back::known(&Place::default(), context)?;
    let (config, faults) = (file.config(), file.faults());
    let book = if faults.is_empty() {
        wire_fleet::book(context, config)?
    } else {
        let Some(book) = file.book(context) else {
            return Ok(platform_alone(&file, context).await);
        };
        book
    };
    let state = book.state().await?;
    let live = looked(&file, context).await;
    let environment = &config.environment.value;
    let known = state.environment(environment).cloned().unwrap_or_default();
    let mut status = of_ledger(&state, &known, context);
    status.environment = environment.to_string();
    status.faults = faults;
    status.trust = trust(&state, context, (config, &book)).await;
    if let Some((live, granted)) = &live {
        status.drift = drift(&known, live, *granted);
        status.unattended.extend(ungranted(&known, live).filter(|_| *granted));
        status.platform = Some(of_platform(live));
    }
    let newest = state.rcs.values().max_by_key(|tagged| tagged.by.at);
    let is_spent = newest.is_some_and(|tagged| {
        let promoted = state.finals.values().any(|done| done.commit == tagged.commit);
        promoted || known.condemned.contains_key(&tagged.commit)
    });
    status.next = if status.faults.is_empty() { next(&status, is_spent) } else { mend() };
    let human = human(&status) + &release_served::human(&status.served, context.columns);
    let next = status.next.clone();
    let report = Report::new(Exit::Done, "orca.release-status/v1", &status, human);
    Ok(next.into_iter().fold(report, Report::next))
}

/// What serves, and whether the platform takes a weight back by itself.
async fn looked(file: &Known, context: &Context) -> Option<(PlatformState, bool)> {
    let platform = match file.platform(context) {
        Ok(platform) => platform,
        Err(failure) => {
            if !file.faults().is_empty() {
                context.warn(failure.message);
            }
            return None;
        }
    };
    match platform.look().await {
        Ok(live) => Some((live, platform.capabilities().holds_grant)),
        Err(error) => {
            context.warn(error.to_string());
            None
        }
    }
}

/// Of a broken file and no ledger: where nobody can read which environment this is, no part of it is
/// taken for its own.
async fn platform_alone(file: &Known, context: &Context) -> Report {
    let live = looked(file, context).await;
    let environment =
        (!file.lost_environment()).then(|| file.config().environment.value.to_string());
    let status = Status {
        environment: environment.unwrap_or_else(|| "unknown".to_owned()),
        is_unread: true,
        faults: file.faults(),
        platform: live.as_ref().map(|(live, _)| of_platform(live)),
        next: mend(),
        ..Status::default()
    };
    let report = Report::new(Exit::Done, "orca.release-status/v1", &status, human(&status));
    status.next.iter().cloned().fold(report, Report::next)
}

/// Nothing is raised before.
fn mend() -> Vec<String> {
    vec!["git diff HEAD -- orca.yaml".to_owned()]
}

/// Trust as it counts for the newest candidate, or for the next where that one is final.
async fn trust(
    state: &State,
    context: &Context,
    (config, book): (&Config, &Arc<dyn Book>),
) -> String {
    let newest = state.rcs.values().max_by_key(|tagged| tagged.by.at).map(|newest| &newest.commit);
    let open = newest.filter(|commit| state.finals.values().all(|done| done.commit != **commit));
    let root = TaggedTrust::new(context, Arc::clone(book), config);
    match root.root_for(open).await {
        Ok(root) => {
            let changes = !root.seen.differences.is_empty();
            let changed = changes.then(|| "orca.yaml changes it".to_owned());
            let told = [root.seen.told()].into_iter().chain(changed).chain(root.doubts);
            told.collect::<Vec<_>>().join("; ")
        }
        Err(why) => why.to_string(),
    }
}

fn of_ledger(state: &State, known: &EnvironmentState, context: &Context) -> Status {
    let newest = state.rcs.values().max_by_key(|tagged| tagged.by.at);
    Status {
        base: known.base.as_ref().map(|base| Served {
            deployment: base.deployment.to_string(),
            release: base.release.as_ref().map(ToString::to_string),
            commit: base.commit.as_ref().map(ToString::to_string),
            since: base.by.at.rfc3339(),
            stable: base.release.as_ref().and_then(|release| {
                let (_, by) = known.stable.get(release)?;
                Some(format!("since {}, watched by {}", by.at.rfc3339(), by.name))
            }),
            promoted: matches!(base.reached, Reached::Promoted { .. }),
        }),
        served: release_served::served(known),
        canary: known.rollout.as_ref().map(|rollout| Canary {
            rollout: rollout.started.rollout.to_string(),
            release: rollout.started.release.to_string(),
            deployment: rollout.started.canary.to_string(),
            weight_bp: rollout.weight.basis_points(),
            stages_decided: rollout.stages.len(),
            complete: rollout.complete,
        }),
        candidate: newest.map(|tagged| tagged.release.to_string()),
        freeze: state.freezes_at(context.clock.now()).next_back().map(|freeze| {
            format!("{} until {}, by {}", freeze.release, freeze.until.rfc3339(), freeze.by)
        }),
        condemned: known
            .condemned
            .iter()
            .map(|(commit, why)| format!("{}: {}", commit.short(), why.reason))
            .collect(),
        unattended: state
            .dangling
            .values()
            .map(|dangling| format!("{} begun by {}", dangling.intent.kind(), dangling.by))
            .collect(),
        ..Status::default()
    }
}

fn of_platform(live: &PlatformState) -> Live {
    Live {
        base: live.base.to_string(),
        canary: live.canary.as_ref().map(|known| known.deployment.to_string()),
        weight_bp: live.weight.basis_points(),
        generation: live.generation,
        epoch: live.epoch,
        grant_until: live.grant_until.map(crate::base::clock::Timestamp::rfc3339),
    }
}

/// A canary that should have traffic and has none any more: its process is gone.
fn ungranted(known: &EnvironmentState, live: &PlatformState) -> Option<String> {
    let running = known.rollout.as_ref().filter(|running| !running.complete)?;
    let started = &running.started;
    (live.weight < running.weight).then(|| {
        format!(
            "the canary of {}: nobody renewed its grant, begun by {}",
            started.release, running.by
        )
    })
}

fn drift(known: &EnvironmentState, live: &PlatformState, granted: bool) -> Vec<String> {
    let mut drift = Vec::new();
    if let Some(base) = known.base.as_ref().filter(|base| base.deployment != live.base) {
        drift.push(format!("the ledger's base is {}, {} serves", base.deployment, live.base));
    }
    let expected = known.rollout.as_ref().map_or(0, |rollout| rollout.weight.basis_points());
    let actual = live.weight.basis_points();
    if expected != actual {
        let unattended =
            if granted && actual < expected { ": nobody renews the grant" } else { "" };
        drift.push(format!(
            "the ledger gives the canary {} %, the platform {} %{unattended}",
            f64::from(expected) / 100.0,
            f64::from(actual) / 100.0
        ));
    }
    drift
}

/// A candidate that was promoted or rolled back is `spent`: only a new one ships.
fn next(status: &Status, is_spent: bool) -> Vec<String> {
    let mut next = Vec::new();
    match &status.canary {
        Some(canary) if canary.complete => {
            next.push(format!("orca promote --rc {}", canary.release));
        }
        Some(_) => next.push("orca canary resume".to_owned()),
        None => {
            if let Some(candidate) = status.candidate.as_ref().filter(|_| !is_spent) {
                next.push(format!("orca canary start --rc {candidate} --deployment-url URL"));
            } else {
                next.push("orca release tag --rc".to_owned());
            }
        }
    }
    next
}

fn human(status: &Status) -> String {
    let mut text = format!("environment: {}\n", status.environment);
    for fault in &status.faults {
        text.push_str(&format!("orca.yaml:   broken, nothing is raised: {fault}\n"));
    }
    match &status.base {
        None if status.is_unread => text.push_str("base:        the ledger was not read\n"),
        Some(base) => text.push_str(&format!(
            "base:        {} {} since {}\n",
            base.release.as_deref().unwrap_or("(release unknown)"),
            base.deployment,
            base.since
        )),
        None => text.push_str("base:        nothing was released through orca yet\n"),
    }
    if let Some(base) = status.base.as_ref().filter(|base| base.promoted) {
        let stable = base.stable.as_deref().unwrap_or("not yet: orca watch");
        text.push_str(&format!("stable:      {stable}\n"));
    }
    if let Some(canary) = &status.canary {
        let state = if canary.complete { "complete, not promoted" } else { "running" };
        text.push_str(&format!(
            "canary:      {} {} at {} %, {state}, {} stages decided\n",
            canary.release,
            canary.deployment,
            f64::from(canary.weight_bp) / 100.0,
            canary.stages_decided
        ));
    }
    for (label, value) in [("candidate", &status.candidate), ("freeze", &status.freeze)] {
        if let Some(value) = value {
            text.push_str(&format!("{:<12} {value}\n", format!("{label}:")));
        }
    }
    if !status.trust.is_empty() {
        let trust = status.trust.trim_start_matches("trust: ");
        text.push_str(&format!("{:<12} {trust}\n", "trust:"));
    }
    for condemned in &status.condemned {
        text.push_str(&format!("condemned:   {condemned}\n"));
    }
    for unattended in &status.unattended {
        text.push_str(&format!("unattended:  {unattended}\n"));
    }
    if let Some(live) = &status.platform {
        text.push_str(&format!(
            "platform:    {} serves, canary {} at {} %\n",
            live.base,
            live.canary.as_deref().unwrap_or("none"),
            f64::from(live.weight_bp) / 100.0
        ));
    }
    for drift in &status.drift {
        text.push_str(&format!("drift:       {drift}\n"));
    }
    text
}
