//! `orca load --rc NAME`: the load gate of `orca.yaml`, judged and kept in the ledger.

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_start::candidate;
use super::force::Force;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::cli::config::resolve::Config;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::gates::{self, GateDocument, WaiverDocument};
use crate::cli::render::ledger;
use crate::cli::report::Report;
use crate::cli::{wire, wire_canary, wire_fleet, wire_gates, wire_platform, wire_smoke};
use crate::gate::ruling::Subject;
use crate::gate::verdict::Verdict;

/// What the load gate decided about a candidate.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LoadGate {
    release: String,
    commit: String,
    target: String,
    verdict: Verdict,
    headline: String,
    gates: Vec<GateDocument>,
    /// The waivers that the gate rests on.
    waivers: Vec<WaiverDocument>,
}

/// The digest that the target tells. What another version bears says nothing of this one.
async fn on_candidate(
    context: &Context,
    config: &Config,
    (release, commit): (&ReleaseName, &CommitId),
    target: &str,
) -> Result<Option<Digest>, Failure> {
    let told = wire_canary::told_by(context, target).await;
    let serves = match told.commit {
        Some(serves) => Ok(serves),
        None => by_platform(context, config, target).await,
    };
    match serves {
        Ok(serves) if serves != *commit => {
            let (serves, wanted) = (serves.short(), commit.short());
            let text = format!("{target} runs commit {serves}, not {wanted} of {release}");
            return Err(Failure::new(Code::LoadElsewhere, Exit::Closed, text)
                .hint(format!("deploy {release} there, or give --target where it runs")));
        }
        Ok(_) => {}
        Err(why) => context.warn(format!(
            "{target} does not say which commit it runs (GET /version){why}: it is taken to be \
             {release}"
        )),
    }
    Ok(told.digest)
}

/// The commit of the deployment at `target`, where the platform knows its deployments; else why not.
async fn by_platform(context: &Context, config: &Config, target: &str) -> Result<CommitId, String> {
    let named = DeploymentId::new(target).map_err(|_| String::new())?;
    let asked = match wire_platform::platform(context, config) {
        Ok(platform) => platform.resolve(&named).await.map_err(|error| error.to_string()),
        Err(failure) => Err(failure.message),
    };
    match asked {
        Ok(known) => known.commit.ok_or_else(String::new),
        Err(why) => Err(format!(", nor does the platform ({why})")),
    }
}

pub(crate) async fn run(
    rc: Option<&ReleaseName>,
    target: Option<&str>,
    force: &Force,
    context: &Context,
) -> Result<Report, Failure> {
    let config = wire::load_config(context)?;
    let target = target.or(config.load.target.as_deref()).ok_or_else(|| {
        let text = "the load gate has no target".to_owned();
        Failure::new(Code::Input, Exit::Usage, text)
            .hint("orca load --rc NAME --target URL, or set gates.load.target in orca.yaml")
    })?;
    let ship = wire_fleet::ship(context, &config)?;
    let state = ship.book.state().await?;
    let (release, commit) = candidate(&state, rc)?;
    let digest = on_candidate(context, &config, (&release, &commit), target).await?;
    let subject = Subject { commit: commit.clone(), digest, environment: ship.environment.clone() };
    force.write(&ship, &commit, context).await?;
    let load = wire_gates::load(context, &config, target)?;
    let smoke: Vec<_> = wire_smoke::gate_of(context, &config, target).into_iter().collect();
    let mut ruled = ship.judge(&smoke, &subject).await?;
    if ruled.iter().all(|item| item.ruling.verdict().opens()) {
        ruled.extend(ship.judge(std::slice::from_ref(&load), &subject).await?);
    } else {
        context.say("no load was sent: the smoke tests do not pass");
    }
    let sync = ship.book.share().await;
    let documents: Vec<GateDocument> =
        ruled.iter().map(|item| gates::document(item.ruling.record())).collect();
    let worst = documents.iter().max_by_key(|document| document.verdict);
    let verdict = worst.map_or(Verdict::Inconclusive, |document| document.verdict);
    let headline = worst.map(|document| document.headline.clone()).unwrap_or_default();
    let human = format!(
        "{}: {headline}\n\n{}{}",
        verdict.label(),
        gates::human(&documents, context.columns),
        ledger::line(&sync)
    );
    let annotations = gates::annotations(&documents);
    let document = LoadGate {
        release: release.to_string(),
        commit: commit.to_string(),
        target: target.to_owned(),
        verdict,
        headline,
        waivers: gates::waivers(&documents, &ship.waivers(&commit).await?),
        gates: documents,
    };
    let exit = Exit::from(verdict);
    let mut report = Report::new(exit, "orca.load-gate/v1", &document, human)
        .output("verdict", verdict.as_str());
    report.annotations = annotations;
    Ok(match exit {
        Exit::Done => {
            report.next(format!("orca canary start --rc {release} --deployment-url {target}"))
        }
        Exit::Closed => report.next("orca explain ORCA-1301"),
        _ => report.next("orca explain ORCA-1302"),
    })
}
