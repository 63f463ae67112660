//! `orca deploy blue-green`: build, judge without users, switch, read back, drain.

use schemars::JsonSchema;
use serde::Serialize;

use super::force::role;
use super::place::set_project;
use super::typed::typed;
use crate::base::call_made::CallMade;
use crate::base::ids::ReleaseName;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::gates::{self, GateDocument, WaiverDocument};
use crate::cli::render::plan::{self, PlanStep};
use crate::cli::render::{ledger, table};
use crate::cli::report::Report;
use crate::cli::{wire, wire_fleet, wire_gates, wire_standby, wire_trust};
use crate::gate::verdict::Verdict;
use crate::gate::waiver::{Role, Waiver, WaiverError};
use crate::ledger::entry::TrafficProof;
use crate::ledger::fold::{State, Tagged};
use crate::rollout::criteria::Row;
use crate::rollout::ports::Platform;
use crate::verbs::blue_green::{BlueGreen, Ended, Forced, Judged, Settings, planned};
use crate::verbs::book::Sync;
use crate::verbs::promote;
use crate::verbs::waive::WaiveError;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The project on Vercel, unless orca.yaml or `VERCEL_PROJECT_ID` names it
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,

    /// The candidate, by its tag or its commit; the newest in the ledger unless given
    #[arg(long = "ref", visible_alias = "rc", value_name = "SHA")]
    reference: Option<String>,

    /// Build anew although a standby of this candidate is there
    #[arg(long)]
    rebuild: bool,

    /// Tolerate what the criteria find, as bad as it is now, for one hour; the ledger keeps who and why
    #[arg(long, requires = "reason", help_heading = "Waiver")]
    force: bool,

    /// Why it is tolerable
    #[arg(long, value_name = "TEXT", requires = "force", help_heading = "Waiver")]
    reason: Option<String>,

    /// As whom: engineering, product or ops [default: `ORCA_ROLE`; else engineering, in CI ci]
    #[arg(long, value_name = "ROLE", requires = "force", help_heading = "Waiver")]
    role: Option<Role>,

    /// Print the plan with every call, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A blue/green deployment, as it went or would go.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct BlueGreenDocument {
    dry_run: bool,
    /// The candidate, and what it becomes.
    rc: String,
    release: String,
    commit: String,
    /// Absent on a dry run.
    deployment: Option<String>,
    /// Who served before: where a rollback leads.
    previous: Option<String>,
    /// The plan; on a dry run only.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    steps: Vec<PlanStep>,
    /// The seven criteria; none where an earlier run had switched already.
    criteria: Vec<CriterionDocument>,
    verdict: Option<Verdict>,
    gates: Vec<GateDocument>,
    /// The waivers that the gates rest on.
    waivers: Vec<WaiverDocument>,
    /// Whether everybody is on the new version: by this run, or by an earlier one.
    switched: bool,
    /// `verified`, `requested` or `failed`; absent when nobody was sent there.
    traffic: Option<&'static str>,
    headline: String,
    /// How long the version before was left to end its open requests.
    drained_us: Option<u64>,
    /// The calls to the platform's own interface, in their order.
    calls: Vec<CallMade>,
    /// `synced`, `no remote` or `pending: ...`.
    ledger: Option<String>,
}

/// One criterion.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CriterionDocument {
    criterion: &'static str,
    asked: String,
    verdict: Verdict,
    why: String,
}

impl From<&Row> for CriterionDocument {
    fn from(row: &Row) -> Self {
        Self {
            criterion: row.name,
            asked: row.measure.asked.clone(),
            verdict: row.measure.verdict,
            why: row.why.clone(),
        }
    }
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let mut config = wire::load_config(context)?;
    set_project(&mut config, args.project.as_ref());
    let repository = wire_fleet::repository(context)?;
    let fleet = wire_fleet::fleet(context, &config)?;
    let state = fleet.ship.book.synced().await?;
    let tagged = candidate(&state, args.reference.as_deref())?;
    let version = promote::final_name(&tagged.release).ok_or_else(|| {
        let text = format!("{} is not a release candidate", tagged.release);
        Failure::new(Code::UnknownRelease, Exit::Usage, text).hint("name one like v1.4.0-rc.1")
    })?;
    let preflight = wire_gates::before_deploy(context, &config, &repository).await?;
    let standby = wire_standby::standby(context, &config)?;
    let verb = BlueGreen {
        fleet: &fleet,
        release: tagged.release.clone(),
        version,
        commit: tagged.commit.clone(),
        preflight: &preflight,
        standby: &standby,
        settings: Settings {
            criteria: wire_standby::criteria(context, &config)?,
            build_within: config.deploy.build_within,
            drain: config.deploy.drain,
            rebuild: args.rebuild,
        },
        forced: forced(args, context)?,
    };
    if args.dry_run {
        return would(&verb, args);
    }
    wire_trust::refuse_change(&fleet.ship, &verb.commit).await?;
    let ended = verb.run().await?;
    // It has happened: what cannot be read of the ledger now takes nothing from the report.
    let waivers = fleet.ship.waivers(&verb.commit).await.unwrap_or_else(|error| {
        fleet.ship.say(format!("ledger: {error}; waivers are not listed"));
        Vec::new()
    });
    Ok(report(&verb, &ended, (&waivers, context.columns)))
}

fn forced(args: &Args, context: &Context) -> Result<Option<Forced>, Failure> {
    let Some(reason) = args.reason.as_ref().filter(|_| args.force) else { return Ok(None) };
    let role = role(args.role, context)?;
    // Before anything is built: nobody's waiver would let it go on.
    if role == Role::Ci {
        return Err(WaiveError::from(WaiverError::Role).into());
    }
    if reason.trim().is_empty() {
        return Err(WaiveError::from(WaiverError::NoReason).into());
    }
    Ok(Some(Forced { reason: reason.clone(), by: context.env.actor(), role }))
}

/// The candidate that is meant: by its tag, by its commit or the commit's beginning, or the newest.
fn candidate<'a>(state: &'a State, wanted: Option<&str>) -> Result<&'a Tagged, Failure> {
    let newest = |of: &mut dyn Iterator<Item = &'a Tagged>| of.max_by_key(|tagged| tagged.by.at);
    let found = match wanted {
        None => newest(&mut state.rcs.values()),
        Some(text) => {
            let named = ReleaseName::new(text).ok().and_then(|name| state.rcs.get(&name));
            let is_commit = text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let begins = |tagged: &&Tagged| is_commit && tagged.commit.as_str().starts_with(text);
            named.or_else(|| newest(&mut state.rcs.values().filter(begins)))
        }
    };
    found.ok_or_else(|| {
        let text = match wanted {
            Some(text) => format!("the ledger knows no release candidate of {text}"),
            None => "the ledger knows no release candidate".to_owned(),
        };
        Failure::new(Code::UnknownRelease, Exit::Usage, text)
            .hint("orca release tag --rc makes HEAD one")
    })
}

fn document(verb: &BlueGreen<'_>, headline: String) -> BlueGreenDocument {
    BlueGreenDocument {
        dry_run: true,
        rc: verb.release.to_string(),
        release: verb.version.to_string(),
        commit: verb.commit.to_string(),
        deployment: None,
        previous: None,
        steps: Vec::new(),
        criteria: Vec::new(),
        verdict: None,
        gates: Vec::new(),
        waivers: Vec::new(),
        switched: false,
        traffic: None,
        headline,
        drained_us: None,
        calls: Vec::new(),
        ledger: None,
    }
}

/// The same without `--dry-run`, of the candidate that was found.
fn command(verb: &BlueGreen<'_>, args: &Args) -> String {
    let mut words = format!("orca deploy blue-green --ref {}", verb.release);
    let role = args.role.map(Role::as_str);
    let given = [
        ("--project", args.project.as_deref()),
        ("--reason", args.reason.as_deref()),
        ("--role", role),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            words.push_str(&format!(" {name} {}", typed(value)));
        }
    }
    for (name, is_given) in [("--rebuild", args.rebuild), ("--force", args.force)] {
        if is_given {
            words.push_str(&format!(" {name}"));
        }
    }
    words
}

fn would(verb: &BlueGreen<'_>, args: &Args) -> Result<Report, Failure> {
    let steps = plan::steps(&planned(verb)?);
    let headline = format!("would send everybody to a standby of {}", verb.release);
    let human = format!("{headline}\n\n{}", plan::human(&steps));
    let document = BlueGreenDocument { steps, ..document(verb, headline) };
    Ok(Report::new(Exit::Done, "orca.deploy/v1", &document, human).next(command(verb, args)))
}

fn exit_of(ended: &Ended) -> Exit {
    match (&ended.traffic, &ended.judged) {
        (Some(traffic), _) => exit_of_traffic(traffic.seen.proof, &ended.ledger),
        (None, Some(judged)) => Exit::from(judged.verdict),
        (None, None) => Exit::Inconclusive,
    }
}

/// Users are where they should be; that nobody wrote it down is left to do.
const fn exit_of_traffic(proof: TrafficProof, ledger: &Sync) -> Exit {
    match (proof, ledger) {
        (TrafficProof::Verified, Sync::Unwritten(_)) => Exit::PartDone,
        (TrafficProof::Verified, _) => Exit::Done,
        (TrafficProof::Requested | TrafficProof::Failed, _) => Exit::TrafficWrong,
    }
}

fn criteria(judged: &Judged, columns: usize) -> String {
    let rows: Vec<Vec<String>> = judged
        .rows
        .iter()
        .map(|row| {
            let verdict = row.measure.verdict.label().to_owned();
            vec![row.name.to_owned(), verdict, row.measure.asked.clone(), row.why.clone()]
        })
        .collect();
    table::table(&["criterion", "verdict", "asked", "why"], &rows, columns)
}

fn report(verb: &BlueGreen<'_>, ended: &Ended, (waivers, columns): (&[Waiver], usize)) -> Report {
    let exit = exit_of(ended);
    let gates: Vec<GateDocument> =
        ended.judged.iter().flat_map(|judged| &judged.gates).map(gates::document).collect();
    let headline = match (&ended.traffic, &ended.judged) {
        (Some(traffic), _) => traffic.seen.headline.clone(),
        (None, Some(judged)) => judged.headline.clone(),
        (None, None) => String::new(),
    };
    let mut human = sentence(verb, ended, &headline);
    if let Some(judged) = &ended.judged {
        human.push_str(&format!("\n{}", criteria(judged, columns)));
        for record in judged.gates.iter().filter(|record| record.verdict == Verdict::Waived) {
            human.push_str(&format!("\n{}: {}\n", record.gate, record.headline));
        }
    }
    human.push_str(&told(ended));
    human.push_str(&ledger::line(&ended.ledger));
    let platform: &dyn Platform = verb.fleet.platform.as_ref();
    let annotations = gates::annotations(&gates);
    let judged = ended.judged.as_ref();
    let document = BlueGreenDocument {
        dry_run: false,
        deployment: Some(ended.deployment.to_string()),
        previous: ended.previous.as_ref().map(ToString::to_string),
        criteria: judged.map(|j| j.rows.iter().map(Into::into).collect()).unwrap_or_default(),
        verdict: judged.map(|judged| judged.verdict),
        waivers: gates::waivers(&gates, waivers),
        gates,
        switched: ended.traffic.is_some(),
        traffic: ended.traffic.as_ref().map(|traffic| match traffic.seen.proof {
            TrafficProof::Verified => "verified",
            TrafficProof::Requested => "requested",
            TrafficProof::Failed => "failed",
        }),
        drained_us: ended.traffic.as_ref().and_then(|t| t.drain.as_ref()).map(|d| d.took.0),
        calls: platform.calls(),
        ledger: Some(ledger::word(&ended.ledger)),
        ..document(verb, headline)
    };
    let mut report = Report::new(exit, "orca.deploy/v1", &document, human)
        .output("deployment", ended.deployment.to_string());
    report.annotations = annotations;
    next(report, verb, exit)
}

fn sentence(verb: &BlueGreen<'_>, ended: &Ended, headline: &str) -> String {
    let deployment = &ended.deployment;
    match &ended.traffic {
        None => {
            format!("nobody was sent to {deployment}: {headline}\nit stays there without users\n")
        }
        Some(traffic) => {
            let (does, how) = match (traffic.seen.proof, traffic.moved) {
                (TrafficProof::Verified, true) => ("serves", "verified"),
                (TrafficProof::Verified, false) => ("serves", "already so, verified"),
                _ => ("was to serve", "NOT verified: page a human"),
            };
            format!("{} {does} everybody on {deployment}: {how}\n{headline}\n", verb.release)
        }
    }
}

/// The drain and the way back.
fn told(ended: &Ended) -> String {
    let mut text = String::new();
    let drain = ended.traffic.as_ref().and_then(|traffic| traffic.drain.as_ref());
    if let Some(drain) = drain {
        let cut = if drain.cut { ", cut short by a signal" } else { "" };
        text.push_str(&format!(
            "\ndrained for {}{cut}: open requests of the version before end where they are\n",
            drain.took
        ));
    }
    if let (Some(previous), true) = (&ended.previous, ended.traffic.is_some()) {
        text.push_str(&format!(
            "the way back is {previous}, kept ready: orca rollback --reason R\n"
        ));
    }
    text
}

fn next(report: Report, verb: &BlueGreen<'_>, exit: Exit) -> Report {
    match exit {
        Exit::Done => report
            .next(format!("orca promote --rc {} writes the final tag", verb.release))
            .next("orca rollback --reason R undoes it"),
        Exit::Closed => report
            .next("orca explain ORCA-1885")
            .next("mend it and tag another candidate: orca release tag --rc"),
        Exit::PartDone => report
            .next(format!("orca deploy blue-green --ref {} writes it down", verb.release))
            .next("orca rollback --reason R undoes it"),
        Exit::TrafficWrong => {
            report.next("orca rollback --reason R").next("orca explain ORCA-1604")
        }
        _ => report
            .next("orca explain ORCA-1885")
            .next(format!("orca deploy blue-green --ref {}", verb.release)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_says_where_users_are_before_what_the_ledger_took() {
        use TrafficProof::{Failed, Requested, Verified};
        let unwritten = || Sync::Unwritten("disk full".to_owned());
        let pending = || Sync::Pending("no answer".to_owned());
        for (proof, ledger, expected) in [
            (Verified, Sync::Synced, Exit::Done),
            (Verified, Sync::NoRemote, Exit::Done),
            (Verified, pending(), Exit::Done),
            (Verified, unwritten(), Exit::PartDone),
            (Requested, Sync::Synced, Exit::TrafficWrong),
            (Failed, unwritten(), Exit::TrafficWrong),
        ] {
            assert_eq!(exit_of_traffic(proof, &ledger), expected, "{proof:?} {ledger:?}");
        }
    }
}
