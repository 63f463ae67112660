//! What processes of orca do: the real verbs, with the exits that the command line gives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::audit::Verb;
use super::orca::Orca;
use super::repository::SimRepository;
use super::world::{commit_of, deployment};
use crate::base::clock;
use crate::base::ids::ReleaseName;
use crate::cli::args::canary_start::exit_of;
use crate::cli::args::canary_tick::{self, goes_on};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::ledger::entry::{AfterPause, TrafficProof};
use crate::ledger::environment::Rollout;
use crate::slo::compare::ComparisonPolicy;
use crate::slo::judge_objectives::ObjectivesPolicy;
use crate::verbs::book::Book;
use crate::verbs::canary::abort::Abort;
use crate::verbs::canary::advance;
use crate::verbs::canary::again::{self, AgainError};
use crate::verbs::canary::judging::Judging;
use crate::verbs::canary::once::Rest;
use crate::verbs::canary::pause;
use crate::verbs::canary::start::{Canary, Candidate};
use crate::verbs::canary::tick::{self, Tick, TickError, Ticked};
use crate::verbs::promote::{self, PromoteError, Promotion};
use crate::verbs::rollback::Rollback;
use crate::verbs::ship::{Fleet, Ship};

pub(super) fn judging() -> Judging {
    Judging {
        objectives: ObjectivesPolicy {
            objectives: vec!["errors < 5%".parse().expect("a constant objective")],
            confidence_bp: 9_500,
            min_samples: 50,
        },
        comparison: ComparisonPolicy {
            min_samples: 50,
            error_increase_bp_max: 1_000,
            p95_ratio_max_pct: 300,
            ..ComparisonPolicy::default()
        },
        looks: None,
        paired: None,
        ask: None,
    }
}

/// `b` is `v1.1.0-rc.1` of the commit `bbb...`, deployed at `http://b`; `c` is the next one.
pub(super) fn candidate(letter: char) -> Candidate {
    let name = format!("http://{letter}");
    Candidate {
        release: release(letter),
        commit: commit_of(&name).expect("a constant deployment"),
        digest: None,
        deployment: deployment(&name),
    }
}

pub(super) fn release(letter: char) -> ReleaseName {
    let minor = u32::from(letter) - u32::from('a');
    ReleaseName::new(format!("v1.{minor}.0-rc.1")).expect("a constant name")
}

/// Runs a verb until it ends, and holds its exit against what happened; nothing when it died.
pub(super) async fn process(
    orca: &Orca,
    verb: Verb,
    runs: impl Future<Output = Exit>,
) -> Option<Exit> {
    let exit = until_dead(orca, runs).await;
    let mut world = orca.lock();
    let text = exit.map_or("died".to_owned(), |exit| format!("exits {}", exit.code()));
    world.tell(&orca.name, &format!("{verb:?} {text}"));
    if let Some(exit) = exit {
        world.pass();
        let (router, git) = (world.router.clone(), &world.git);
        let tags = if git.has_remote { &git.remote_tags } else { &git.clones[orca.clone].tags };
        let tags = tags.clone();
        world.audit.finished(&orca.name, &verb, exit, &router, &tags);
    }
    exit
}

/// What it comes to, unless the process dies before.
fn until_dead<T>(orca: &Orca, runs: impl Future<Output = T>) -> impl Future<Output = Option<T>> {
    let runs = Box::pin(runs);
    async move {
        tokio::select! {
            biased;
            () = orca.dead.cancelled() => None,
            ended = runs => Some(ended),
        }
    }
}

/// The canary under way, as a person's command finds it.
async fn under_way(orca: &Orca) -> Option<(Ship, Rollout)> {
    let ship = orca.fleet().ship;
    let state = ship.book.synced().await.ok()?;
    let rollout = state.environment(&ship.environment)?.rollout.clone()?;
    Some((ship, rollout))
}

pub(super) async fn canary(orca: &Orca, letter: char) -> Option<Exit> {
    let runs = async {
        let (fleet, gates) = (orca.fleet(), orca.gates());
        let plan = orca.lock().plan.clone();
        let canary = Canary {
            fleet: &fleet,
            plan: &plan,
            candidate: candidate(letter),
            gates: &gates,
            judging: judging(),
            force_undecidable: true,
        };
        match Box::pin(canary.run()).await {
            Ok(ending) => exit_of(ending.exit),
            Err(error) => {
                orca.lock().tell(&orca.name, &format!("not started: {error}"));
                Failure::from(error).exit
            }
        }
    };
    process(orca, Verb::Canary, runs).await
}

pub(super) async fn resume(orca: &Orca, fleet: &Fleet) -> Option<Exit> {
    let runs = async {
        match again::resume(fleet, judging()).await {
            Ok(ending) => exit_of(ending.exit),
            Err(AgainError::Book(error)) => Failure::from(error).exit,
            Err(AgainError::Platform(error)) => Failure::from(error).exit,
            Err(AgainError::NoneRunning(_) | AgainError::Detached(_) | AgainError::Plan(..)) => {
                Exit::Closed
            }
        }
    };
    process(orca, Verb::Resume, runs).await
}

pub(super) async fn promote(orca: &Orca, letter: char) -> Option<Exit> {
    let to = candidate(letter).deployment.to_string();
    let tag = promote::final_name(&release(letter)).expect("a candidate's name");
    let verb = Verb::Promote { to, tag: tag.to_string() };
    let runs = async {
        match promoted(orca, letter, tag).await {
            Ok(exit) => exit,
            Err(error) => {
                orca.lock().tell(&orca.name, &format!("not promoted: {error}"));
                Failure::from(error).exit
            }
        }
    };
    process(orca, verb, runs).await
}

async fn promoted(orca: &Orca, letter: char, tag: ReleaseName) -> Result<Exit, PromoteError> {
    let (fleet, gates) = (orca.fleet(), orca.gates());
    let state = fleet.ship.book.synced().await?;
    let rc = release(letter);
    if let Some(text) = promote::condemned(&state, &fleet, &rc).await? {
        return Err(PromoteError::Condemned(text));
    }
    let candidate = promote::rolled_out(&state, &fleet, &rc)
        .ok_or_else(|| PromoteError::NotComplete(rc, fleet.ship.environment.to_string()))?;
    let promotion = Promotion {
        fleet: &fleet,
        candidate,
        gates: &gates,
        repository: Arc::new(Mutex::new(SimRepository { orca: orca.clone() })),
        tag,
        remote: "origin".to_owned(),
        notes: String::new(),
    };
    let done = promotion.run().await?;
    Ok(match (done.seen.proof, &done.tagged) {
        (TrafficProof::Verified, Ok(())) => Exit::Done,
        (TrafficProof::Verified, Err(_)) => Exit::PartDone,
        (TrafficProof::Requested | TrafficProof::Failed, _) => Exit::TrafficWrong,
    })
}

pub(super) async fn rollback(orca: &Orca, book: Option<Arc<dyn Book>>) -> Option<Exit> {
    let aim = Arc::new(Mutex::new(None));
    let aimed = Arc::clone(&aim);
    let runs = async move {
        let told = orca.clone();
        let rollback = Rollback {
            platform: orca.platform(),
            book,
            environment: Orca::environment(),
            reason: "checkout is down".to_owned(),
            to: None,
            emergency: false,
            fails: None,
            since: clock::monotonic(),
            now: orca.clock().now(),
            tell: Arc::new(move |text: &str| told.lock().tell(&told.name, text)),
        };
        let target = match rollback.target().await {
            Ok(target) => target,
            Err(error) => {
                orca.lock().tell(&orca.name, &format!("no way back: {error}"));
                return Failure::from(error).exit;
            }
        };
        *aimed.lock().expect("one thread") = Some(target.deployment.to_string());
        match rollback.run(target).await {
            Ok(back) if back.proof == TrafficProof::Verified => Exit::Done,
            Ok(_) => Exit::TrafficWrong,
            Err(error) => Failure::from(error).exit,
        }
    };
    let exit = until_dead(orca, runs).await;
    let to = aim.lock().expect("one thread").clone();
    let ended = async { exit.unwrap_or(Exit::Bug) };
    process(orca, Verb::Rollback { to }, ended).await
}

pub(super) async fn abort(orca: &Orca) -> Option<Exit> {
    let runs = async {
        let told = orca.clone();
        let abort = Abort {
            platform: orca.platform(),
            book: Some(orca.book()),
            environment: Orca::environment(),
            reason: "asked".to_owned(),
            tell: Arc::new(move |text: &str| told.lock().tell(&told.name, text)),
        };
        match abort.run().await {
            Ok(aborted) if aborted.seen.proof == TrafficProof::Verified => Exit::Done,
            Ok(_) => Exit::TrafficWrong,
            Err(error) => Failure::from(error).exit,
        }
    };
    process(orca, Verb::Abort, runs).await
}

/// The first stage, and no process stays.
pub(super) async fn detach(orca: &Orca, letter: char) -> Option<Exit> {
    let runs = async {
        let (fleet, gates) = (orca.fleet(), orca.gates());
        let plan = orca.lock().plan.clone();
        let canary = Canary {
            fleet: &fleet,
            plan: &plan,
            candidate: candidate(letter),
            gates: &gates,
            judging: judging(),
            force_undecidable: true,
        };
        match Box::pin(canary.detach()).await {
            Ok(Rest::Ended(ending)) => exit_of(ending.exit),
            Ok(Rest::GoesOn(stands)) => goes_on(&stands, &plan, None).0,
            Err(error) => {
                orca.lock().tell(&orca.name, &format!("not started: {error}"));
                Failure::from(error).exit
            }
        }
    };
    Box::pin(process(orca, Verb::Tick, runs)).await
}

/// One look, one act; and whether another one may find something to do.
pub(super) async fn tick(orca: &Orca) -> (Option<Exit>, bool) {
    let more = Arc::new(Mutex::new(true));
    let told = Arc::clone(&more);
    let runs = async move {
        match Box::pin(ticked(orca)).await {
            Ok((exit, goes_on)) => {
                *told.lock().expect("one thread") = goes_on;
                exit
            }
            Err(error) => Failure::from(error).exit,
        }
    };
    let exit = Box::pin(process(orca, Verb::Tick, runs)).await;
    let more = *more.lock().expect("one thread");
    (exit, more)
}

async fn ticked(orca: &Orca) -> Result<(Exit, bool), TickError> {
    let (fleet, gates) = (orca.fleet(), orca.gates());
    let (state, blind) = tick::ledger(&fleet).await?;
    let Some(rollout) = tick::running(&state, &fleet) else {
        return Ok((Exit::Done, blind.is_some()));
    };
    let tick = Tick { fleet: &fleet, gates: &gates, judging: judging(), blind };
    let found = tick.run(&rollout).await?;
    let goes_on = matches!(found, Ticked::Attended { .. } | Ticked::GoesOn { .. });
    Ok((canary_tick::report(&rollout, &found, fleet.ship.now()).exit, goes_on))
}

/// Holds the canary under way for a while.
pub(super) async fn pause(orca: &Orca) {
    let pauses = async {
        let (ship, rollout) = under_way(orca).await?;
        let (secs, resumes) = {
            let world = orca.lock();
            let of = |what: &str, bound| world.dice.below(&format!("{}.{what}", orca.name), bound);
            (1 + of("for", 30), of("then", 2) == 0)
        };
        let then = if resumes { AfterPause::Resume } else { AfterPause::Withdraw };
        let until = ship.now().plus(Duration::from_secs(secs));
        let asked = pause::pause(&ship, &rollout.started.rollout, (until, then), "odd").await;
        orca.lock().tell(&orca.name, &format!("{secs} s, then {then:?}: {asked:?}"));
        Some(())
    };
    until_dead(orca, pauses).await;
}

pub(super) async fn lift(orca: &Orca) {
    let lifts = async {
        let (ship, rollout) = under_way(orca).await?;
        let lifted = pause::lift(&ship, &rollout, "fine").await;
        orca.lock().tell(&orca.name, &format!("lifts: {lifted:?}"));
        Some(())
    };
    until_dead(orca, lifts).await;
}

/// Lets the stage at hand go on, where it holds undecided.
pub(super) async fn advance(orca: &Orca) {
    let advances = async {
        let (ship, running) = under_way(orca).await?;
        let said = match advance::advance(&ship, &running, "we know this service").await {
            Ok((stage, _)) => format!("stage {stage} may go on"),
            Err(error) => format!("not advanced: {error}"),
        };
        orca.lock().tell(&orca.name, &said);
        Some(())
    };
    until_dead(orca, advances).await;
}

/// Judges preflight and load again, as a CI job does.
pub(super) async fn judge(orca: &Orca, letter: char) {
    let judges = async {
        let (fleet, gates) = (orca.fleet(), orca.gates());
        let subject = candidate(letter).subject(&fleet.ship.environment);
        let _ = fleet.ship.judge(&gates, &subject).await;
        fleet.ship.book.share().await
    };
    until_dead(orca, judges).await;
}
