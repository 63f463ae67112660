//! `orca canary status`: the canary under way on one screen of 60 columns. Exit 4 says that the
//! platform was not seen; what the ledger knows is shown all the same.

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_status_text;
use crate::base::clock::Timestamp;
use crate::base::ids::ReleaseName;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::{wire, wire_canary, wire_fleet, wire_platform};
use crate::ledger::advance::LetGo;
use crate::ledger::environment::{EnvironmentState, Rollout};
use crate::ledger::sentence::end_word;
use crate::rollout::decision::Decision;
use crate::rollout::plan::DecideBy;
use crate::rollout::ports::PlatformState;
use crate::rollout::samples::{ArmSeen, StageSeen};
use crate::verbs::canary::status::{Asked, Known, Measured, Seen, StageNow, look};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Where the canary of an environment stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StatusDocument {
    pub(super) environment: String,
    pub(super) now: String,
    /// The canary under way, or complete and not promoted.
    pub(super) rollout: Option<RolloutDocument>,
    pub(super) stage: Option<StageDocument>,
    /// Who holds the lease: the process that drives it.
    pub(super) driver: Option<DriverDocument>,
    pub(super) platform: PlatformDocument,
    pub(super) ledger: LedgerDocument,
    /// How the canary before ended, where none is under way.
    pub(super) last: Option<String>,
    /// Commands to type next.
    pub(super) next: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct RolloutDocument {
    pub(super) id: String,
    pub(super) release: String,
    pub(super) commit: String,
    pub(super) deployment: String,
    pub(super) base: String,
    pub(super) started_at: String,
    pub(super) started_by: String,
    /// Basis points that the ledger gives it.
    pub(super) weight_bp: u16,
    pub(super) complete: bool,
    /// Until when, why and by whom it is paused.
    pub(super) paused: Option<String>,
    /// Stages that somebody let go on undecided: which, who and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) advanced: Vec<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct StageDocument {
    /// From 1.
    pub(super) number: usize,
    pub(super) of: usize,
    pub(super) weight_bp: u16,
    /// When it got its weight; absent while it waits for it.
    pub(super) since: Option<String>,
    pub(super) bake_us: u64,
    /// How often `orca canary tick` was announced, where it carries the canary on.
    pub(super) every_us: Option<u64>,
    /// Until it is decided; zero when that is due, absent before it has its weight.
    pub(super) bake_left_us: Option<u64>,
    pub(super) max_hold_us: u64,
    /// `users` or `paired`.
    pub(super) decide_by: &'static str,
    /// What was decided of this stage last.
    pub(super) decided: Option<String>,
    pub(super) users: Option<ArmsDocument>,
    pub(super) probes: Option<ArmsDocument>,
    /// Whether users come as the weight says, where `throughput_pct` is set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) throughput: Option<String>,
    pub(super) verdict: Option<VerdictDocument>,
    /// Why samples or verdict are missing.
    pub(super) unknown: Option<String>,
}

/// What both arms answered since the stage began.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ArmsDocument {
    pub(super) base: CountDocument,
    pub(super) canary: CountDocument,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct CountDocument {
    pub(super) requests: u64,
    pub(super) errors: u64,
    pub(super) sticky_keys: u64,
}

/// How the stage would be judged now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct VerdictDocument {
    pub(super) users: String,
    pub(super) probes: Option<String>,
    /// `go_on`, `hold` or `go_back`, were it decided now.
    pub(super) would: &'static str,
    pub(super) headline: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct DriverDocument {
    pub(super) holder: Option<String>,
    pub(super) epoch: u64,
    pub(super) until: String,
    /// Whether the lease is held now.
    pub(super) attends: bool,
}

#[derive(Debug, Default, Serialize, JsonSchema)]
pub(super) struct PlatformDocument {
    /// Why it was not seen.
    pub(super) unseen: Option<String>,
    pub(super) base: Option<String>,
    pub(super) canary: Option<String>,
    pub(super) weight_bp: Option<u16>,
    pub(super) grant_until: Option<String>,
    pub(super) grant_left_us: Option<u64>,
}

#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LedgerDocument {
    /// Why nothing is known.
    pub(super) unread: Option<String>,
    /// Why what is known may be old.
    pub(super) stale: Option<String>,
}

pub(crate) async fn run(_args: &Args, context: &Context) -> Result<Report, Failure> {
    let config = wire::load_config_or_default(context)?;
    let environment = config.environment.value.clone();
    let asked = Asked {
        book: wire_fleet::book(context, &config).map_err(|failure| failure.message),
        platform: wire_platform::platform(context, &config).map_err(|failure| failure.message),
        judging: wire_canary::judging(context, &config).map_err(|failure| failure.message),
        environment: environment.clone(),
        now: context.clock.now(),
    };
    let seen = look(&asked).await;
    let mut document = document(&seen, asked.now);
    document.environment = environment.to_string();
    let known = seen.ledger.as_ref().ok().and_then(|l| l.state.environment(&environment));
    document.next = next(&seen, known, asked.now);
    let exit = match (&seen.platform, &seen.ledger) {
        (Err(_), _) => Exit::Unavailable,
        (Ok(_), _) => Exit::Done,
    };
    let human = canary_status_text::text(&document);
    let stage = document.stage.as_ref().map_or_else(String::new, |s| s.number.to_string());
    let next = document.next.clone();
    let report = Report::new(exit, "orca.canary.status/v1", &document, human)
        .output("stage", stage)
        .output("release", document.rollout.as_ref().map_or("", |r| r.release.as_str()));
    Ok(next.into_iter().fold(report, Report::next))
}

fn document(seen: &Seen, now: Timestamp) -> StatusDocument {
    let known = seen.ledger.as_ref().ok();
    let rollout = known.and_then(|known| known.rollout.as_ref());
    StatusDocument {
        environment: String::new(),
        now: now.rfc3339(),
        rollout: rollout.map(|rollout| of_rollout(rollout, now)),
        stage: seen.stage.as_ref().map(|stage| of_stage(stage, now)),
        driver: known.and_then(|known| known.lease.as_ref()).map(|lease| DriverDocument {
            holder: lease.holder.clone(),
            epoch: lease.epoch,
            until: lease.expires_at.rfc3339(),
            attends: lease.is_live(now),
        }),
        platform: match &seen.platform {
            Ok(live) => of_platform(live, now),
            Err(why) => {
                PlatformDocument { unseen: Some(why.clone()), ..PlatformDocument::default() }
            }
        },
        ledger: LedgerDocument {
            unread: seen.ledger.as_ref().err().cloned(),
            stale: known.and_then(|known| known.stale.clone()),
        },
        last: known.filter(|known| known.rollout.is_none()).and_then(last),
        next: Vec::new(),
    }
}

fn last(known: &Known) -> Option<String> {
    let ended = known.ended.as_ref()?;
    let (release, at) = (&ended.rollout.started.release, ended.by.at.rfc3339());
    Some(format!("{release} {} at {at}: {}", end_word(ended.end), ended.reason))
}

fn of_rollout(rollout: &Rollout, now: Timestamp) -> RolloutDocument {
    let started = &rollout.started;
    let paused = rollout.paused.as_ref().filter(|pause| pause.is_in_force(now));
    RolloutDocument {
        id: started.rollout.to_string(),
        release: started.release.to_string(),
        commit: started.commit.to_string(),
        deployment: started.canary.to_string(),
        base: started.base.to_string(),
        started_at: rollout.by.at.rfc3339(),
        started_by: rollout.by.name.clone(),
        weight_bp: rollout.weight.basis_points(),
        complete: rollout.complete,
        advanced: rollout.advanced.iter().map(advance_text).collect(),
        paused: paused.map(|pause| {
            format!("until {} by {}: {}", pause.until.rfc3339(), pause.by.name, pause.reason)
        }),
    }
}

fn of_stage(stage: &StageNow, now: Timestamp) -> StageDocument {
    let left = |since: Timestamp| {
        let gone = u64::try_from(now.since_us(since)).unwrap_or(0);
        stage.bake.0.saturating_sub(gone)
    };
    let measured = stage.measured.as_ref().ok();
    let judged = measured.and_then(|measured| measured.judged.as_ref().ok());
    let unknown = match &stage.measured {
        Err(why) | Ok(Measured { judged: Err(why), .. }) => Some(why.clone()),
        Ok(_) => None,
    };
    StageDocument {
        number: stage.number,
        of: stage.of,
        weight_bp: stage.weight.basis_points(),
        since: stage.since.map(Timestamp::rfc3339),
        bake_us: stage.bake.0,
        every_us: stage.every.map(|every| every.0),
        bake_left_us: stage.since.map(left),
        max_hold_us: stage.max_hold.0,
        decide_by: match stage.decide_by {
            DecideBy::Users => "users",
            DecideBy::Paired => "paired",
        },
        decided: stage
            .decided
            .as_ref()
            .map(|(verdict, headline)| format!("{}: {headline}", verdict.label())),
        users: measured.map(|measured| arms(&measured.users)),
        probes: measured.map(|measured| arms(&measured.probes)),
        throughput: measured.and_then(|measured| measured.throughput.clone()),
        verdict: judged.map(|(judgement, decision)| VerdictDocument {
            users: judgement.users.as_str().to_owned(),
            probes: judgement.probes.map(|verdict| verdict.as_str().to_owned()),
            would: match decision {
                Decision::Proceed => "go_on",
                Decision::Hold => "hold",
                Decision::Back => "go_back",
            },
            headline: judgement.headline.clone(),
        }),
        unknown,
    }
}

fn arms(seen: &StageSeen) -> ArmsDocument {
    let count = |arm: &ArmSeen| CountDocument {
        requests: arm.requests,
        errors: arm.errors,
        sticky_keys: arm.sticky_keys,
    };
    ArmsDocument { base: count(&seen.base), canary: count(&seen.canary) }
}

fn of_platform(live: &PlatformState, now: Timestamp) -> PlatformDocument {
    PlatformDocument {
        unseen: None,
        base: Some(live.base.to_string()),
        canary: live.canary.as_ref().map(|known| known.deployment.to_string()),
        weight_bp: Some(live.weight.basis_points()),
        grant_until: live.grant_until.map(Timestamp::rfc3339),
        grant_left_us: live.grant_until.map(|at| u64::try_from(at.since_us(now)).unwrap_or(0)),
    }
}

/// The command that goes on from here.
fn next(seen: &Seen, known: Option<&EnvironmentState>, now: Timestamp) -> Vec<String> {
    let Ok(ledger) = &seen.ledger else {
        return vec!["orca release status".to_owned()];
    };
    let Some(rollout) = &ledger.rollout else {
        return vec![start_or_tag(ledger, known)];
    };
    if rollout.complete {
        return vec![format!("orca promote --rc {}", rollout.started.release)];
    }
    if rollout.paused.as_ref().is_some_and(|pause| pause.is_in_force(now)) {
        return vec!["orca canary resume".to_owned(), "orca canary abort --reason R".to_owned()];
    }
    if ledger.lease.as_ref().is_some_and(|lease| lease.is_live(now)) {
        return vec!["orca canary abort --reason R".to_owned()];
    }
    if seen.stage.as_ref().is_some_and(|stage| stage.every.is_some()) {
        return vec!["orca canary tick".to_owned(), "orca canary abort --reason R".to_owned()];
    }
    vec!["orca canary resume".to_owned()]
}

/// A candidate that neither is final nor was rolled back here may start.
fn start_or_tag(ledger: &Known, known: Option<&EnvironmentState>) -> String {
    let newest = ledger.state.rcs.values().max_by_key(|tagged| tagged.by.at);
    let open = newest.filter(|tagged| {
        let is_final = ledger.state.finals.values().any(|done| done.commit == tagged.commit);
        !is_final && !known.is_some_and(|e| e.condemned.contains_key(&tagged.commit))
    });
    let start =
        |release: &ReleaseName| format!("orca canary start --rc {release} --deployment-url URL");
    open.map_or_else(|| "orca release tag --rc".to_owned(), |tagged| start(&tagged.release))
}

fn advance_text(let_go: &LetGo) -> String {
    format!("stage {} by {}: {}", let_go.stage, let_go.by.name, let_go.reason)
}
