//! `orca rollback --reason R`: traffic goes back now. Works without repository, ledger or lease.

use schemars::JsonSchema;
use serde::Serialize;

use super::place::Place;
use super::reason::lossy;
use super::rollback_smoke::{self, Validation};
use crate::base::call_made::CallMade;
use crate::base::clock;
use crate::base::ids::DeploymentId;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::plan::PlanStep;
use crate::cli::report::Report;
use crate::cli::{render, wire_back, wire_fleet};
use crate::gate::verdict::Verdict;
use crate::ledger::entry::TrafficProof;
use crate::rollout::ports::Platform;
use crate::verbs::book::Sync;
use crate::verbs::rollback::{Back, Rollback, Target, planned};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Why; kept in the ledger
    #[arg(long, value_name = "TEXT", value_parser = lossy())]
    reason: String,

    /// A deployment that once served here; the version before this one unless given
    #[arg(long, value_name = "DEPLOYMENT")]
    to: Option<DeploymentId>,

    #[command(flatten)]
    place: Place,

    /// Move traffic and validate it, and do nothing beside that: the ledger is shared later
    #[arg(long)]
    emergency: bool,

    /// Print the plan that would run, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A rollback, as it was made or would be.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RollbackDocument {
    dry_run: bool,
    from: Option<String>,
    to: String,
    /// The release that is taken back, and its commit, condemned from here on.
    release: Option<String>,
    condemned: Option<String>,
    /// The plan: what would run, or what ran.
    steps: Vec<PlanStep>,
    /// `verified`, `requested` or `failed`; absent on a dry run.
    traffic: Option<&'static str>,
    headline: String,
    /// Why there, where something else could have been meant: a canary that was taken back a moment
    /// ago, or the base; or a rollback that was made before.
    because: Option<String>,
    /// The deployment that `--to` leads to where that other thing is meant.
    or_to: Option<String>,
    /// From the command to the platform's answer.
    moved_us: Option<u64>,
    /// From the command to real requests showing it.
    verified_us: Option<u64>,
    /// False when the platform serves it and could not store it: a restart would undo it.
    stored: bool,
    /// `synced`, `no remote` or `pending: ...`.
    ledger: Option<String>,
    /// The calls to the platform's own interface, or the commands that were run for it, in their
    /// order; requests of the front door are not among them. Empty where nobody keeps a record.
    calls: Vec<CallMade>,
    /// What people must know of the platform once users went back.
    note: Option<String>,
    /// What the critical smoke tests of `synthetics/*.http` say once traffic is verified; absent
    /// where there are none, or users are not verified to be back.
    validation: Option<Validation>,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let since = clock::monotonic();
    if args.reason.trim().is_empty() {
        let text = "a rollback needs a reason".to_owned();
        return Err(Failure::new(Code::Usage, Exit::Usage, text)
            .hint("orca rollback --reason \"checkout is down\""));
    }
    let known = wire_back::known(&args.place, context)?;
    let config = known.config();
    let rollback = Rollback {
        platform: known.platform(context)?,
        book: known.book(context),
        environment: config.environment.value.clone(),
        reason: context.redactor.text(&args.reason).into_owned(),
        to: args.to.clone(),
        emergency: args.emergency,
        fails: None,
        since,
        now: context.clock.now(),
        tell: wire_fleet::tell(context),
    };
    let target = rollback.target().await?;
    if args.dry_run {
        return Ok(would(&rollback, &target, context));
    }
    let back = rollback.run(target).await?;
    let platform = rollback.platform.as_ref();
    let validation = match back.proof {
        TrafficProof::Verified => rollback_smoke::validate(context, config, platform).await,
        TrafficProof::Requested | TrafficProof::Failed => None,
    };
    Ok(made(&back, platform, validation))
}

fn document(target: &Target, steps: Vec<PlanStep>, headline: String) -> RollbackDocument {
    RollbackDocument {
        dry_run: true,
        from: target.from.as_ref().map(ToString::to_string),
        to: target.deployment.to_string(),
        release: target.release.as_ref().map(ToString::to_string),
        condemned: target.condemned.as_ref().map(ToString::to_string),
        steps,
        traffic: None,
        headline,
        because: target.because.clone(),
        or_to: target.or_to.as_ref().map(ToString::to_string),
        moved_us: None,
        verified_us: None,
        stored: true,
        ledger: None,
        calls: Vec::new(),
        note: None,
        validation: None,
    }
}

fn would(rollback: &Rollback, target: &Target, context: &Context) -> Report {
    let mut plan = planned(rollback, target);
    plan.extend(rollback_smoke::planned(context));
    let steps = render::plan::steps(&plan);
    let headline = format!("would go back to {}", target.deployment);
    let human = format!("{headline}\n{}\n{}", explained(target), render::plan::human(&steps));
    let document = document(target, steps, headline);
    let report = Report::new(Exit::Done, "orca.rollback/v1", &document, human);
    otherwise(report.next("orca rollback --reason R"), target)
}

/// What was decided, where something else could have been meant.
fn explained(target: &Target) -> String {
    target.because.as_ref().map(|why| format!("why there: {why}\n")).unwrap_or_default()
}

/// The one command that does the other thing.
fn otherwise(report: Report, target: &Target) -> Report {
    match (&target.or_to, &target.from) {
        (Some(other), Some(_)) => report.next(format!(
            "orca rollback --to {other} --reason R, where {other} should serve after all"
        )),
        (Some(other), None) => report.next(format!(
            "orca rollback --to {other} --reason R, where {} itself is what fails",
            target.deployment
        )),
        (None, _) => report,
    }
}

/// How many calls it took, changing ones first; nothing where the platform keeps no record.
fn called(calls: &[CallMade]) -> String {
    if calls.is_empty() {
        return String::new();
    }
    let changes = calls.iter().filter(|call| call.is_change()).count();
    let reads = calls.len() - changes;
    let s = |count| if count == 1 { "" } else { "s" };
    format!("platform calls: {changes} change{}, {reads} read{}\n", s(changes), s(reads))
}

/// A line about the platform, where there is something to know.
pub(super) fn noted(note: Option<&String>) -> String {
    note.map(|text| format!("note: {text}\n")).unwrap_or_default()
}

/// The exit, the word of a document, and the words of a sentence.
fn outcome(back: &Back, validation: Option<&Validation>) -> (Exit, &'static str, &'static str) {
    let is_sound = validation.is_none_or(|seen| seen.verdict == Verdict::Pass);
    // What waits in a file comes in with the next entry; what was kept nowhere condemns nothing.
    let is_kept =
        back.unstored.is_none() && !matches!(back.ledger, Sync::Unwritten(_) | Sync::NoLedger);
    match back.proof {
        TrafficProof::Verified if is_sound && is_kept => (Exit::Done, "verified", "verified"),
        TrafficProof::Verified => (Exit::PartDone, "verified", "verified"),
        TrafficProof::Requested => {
            (Exit::TrafficWrong, "requested", "requested, NOT verified: page a human")
        }
        TrafficProof::Failed => (Exit::TrafficWrong, "failed", "FAILED: page a human"),
    }
}

fn made(back: &Back, platform: &dyn Platform, validation: Option<Validation>) -> Report {
    let (calls, note) = (platform.calls(), platform.after_back());
    let (exit, traffic, sentence) = outcome(back, validation.as_ref());
    let is_sound = validation.as_ref().is_none_or(|seen| seen.verdict == Verdict::Pass);
    let target = &back.target;
    let stayed = target.is_no_move() && back.proof == TrafficProof::Verified;
    let (first, what, headline) = if stayed {
        let text = format!("nothing moved: users were on {} already", target.deployment);
        (text.clone(), "the platform answered", format!("{text}; {}", back.headline))
    } else {
        (format!("back on {}", target.deployment), "traffic moved", back.headline.clone())
    };
    let moved = Micros(back.moved_us);
    let verified = back.verified_us.map(|us| format!(", verified after {}", Micros(us)));
    let human = format!(
        "{first}: {sentence}\n{}{}\n{what} after {moved}{}\n{}{}{}{}{}",
        explained(target),
        back.headline,
        verified.unwrap_or_default(),
        called(&calls),
        back.unstored.map(|text| format!("warning: {text}\n")).unwrap_or_default(),
        noted(note.as_ref()),
        render::ledger::line(&back.ledger),
        validation.as_ref().map(Validation::told).unwrap_or_default(),
    );
    let document = RollbackDocument {
        dry_run: false,
        traffic: Some(traffic),
        moved_us: Some(back.moved_us),
        verified_us: back.verified_us,
        stored: back.unstored.is_none(),
        ledger: Some(render::ledger::word(&back.ledger)),
        calls,
        note,
        validation,
        ..document(target, render::plan::steps(&back.plan), headline)
    };
    let report = otherwise(Report::new(exit, "orca.rollback/v1", &document, human), target);
    let unnamed = stayed && target.or_to.is_none();
    advised(report, exit, (is_sound, unnamed))
}

/// What to type next.
fn advised(report: Report, exit: Exit, (is_sound, unnamed): (bool, bool)) -> Report {
    match exit {
        Exit::Done if unnamed => report
            .next("orca rollback --to DEPLOYMENT --reason R, for an older release")
            .next("orca release status lists what served here"),
        Exit::Done => report.next("orca release status"),
        Exit::PartDone if is_sound => report
            .next("make room where it could not be written, then orca rollback --reason R again")
            .next("orca explain ORCA-1606"),
        Exit::PartDone => report
            .next("orca smoke --critical --target URL, and look at what failed")
            .next("orca explain ORCA-1606"),
        _ => {
            report.next("orca rollback --reason R (safe to repeat)").next("orca explain ORCA-1604")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_where_somebody_keeps_them() {
        let call = |method: &str| CallMade {
            method: method.to_owned(),
            url: String::new(),
            status: None,
            failure: None,
            took_us: 0,
            request_id: None,
        };
        assert_eq!(called(&[]), "", "nobody says that nothing was called");
        let calls = [call("READ"), call("RUN"), call("READ")];
        assert_eq!(called(&calls), "platform calls: 1 change, 2 reads\n");
    }
}
