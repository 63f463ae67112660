//! What a canary needs from configuration and manifest: its plan, and how its stages are judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_util::sync::CancellationToken;

use super::config::resolve::{CanaryConfig, Config};
use super::config::stages::StageConfig;
use super::context::Context;
use super::failure::Failure;
use crate::base::digest::Digest;
use crate::base::histogram::Histogram;
use crate::base::ids::CommitId;
use crate::base::limits;
use crate::base::units::{Micros, Rate};
use crate::gate::phase::Phase;
use crate::load::collector::{Progress, Watch};
use crate::load::from_manifest::{self, Around};
use crate::load::paired::{ArmDoor, Arms, Pace, run_paired};
use crate::load::plan::Endpoint;
use crate::providers::http::{Call, HttpClient};
use crate::rollout::plan::{DecideBy, OnFail, OnInterrupt, RolloutPlan, Stage};
use crate::rollout::ports::{Arm, Door, Platform, PlatformError, SourceSamples};
use crate::rollout::tally::Tally;
use crate::slo::compare::ComparisonPolicy;
use crate::slo::judge_objectives::ObjectivesPolicy;
use crate::slo::manifest::Manifest;
use crate::slo::raw::OnInconclusive;
use crate::verbs::canary::judging::Judging;
use crate::verbs::ports::{Ask, PairedLoad};

/// The plan as the machine runs it.
pub(crate) fn plan(context: &Context, config: &Config) -> Result<RolloutPlan, Failure> {
    let manifest = Manifest::read(&context.folder.join(&config.load.manifest))?;
    Ok(plan_of(&config.canary, manifest.on_inconclusive))
}

fn plan_of(config: &CanaryConfig, on_inconclusive: OnInconclusive) -> RolloutPlan {
    let stages = config.stages.iter().map(|stage| Stage {
        weight: stage.weight,
        bake: stage.bake,
        on_fail: if stage.hold_on_fail { OnFail::Hold } else { OnFail::Rollback },
        decide_by: if stage.paired.is_some() { DecideBy::Paired } else { DecideBy::Users },
        paired_rate: stage.paired,
        max_hold: max_hold(stage, on_inconclusive),
    });
    RolloutPlan {
        stages: stages.collect(),
        grant: config.grant,
        renewal: Micros(config.grant.0 / limits::GRANT_RENEWALS),
        every: None,
        track: config.track.clone(),
        triggers: config.triggers.clone(),
        on_interrupt: if config.hold_on_interrupt { OnInterrupt::Hold } else { OnInterrupt::Abort },
    }
}

/// A stage that withdraws when it cannot decide holds for no time at all; one that waits for a
/// person after a breach waits as long as it says.
fn max_hold(stage: &StageConfig, on_inconclusive: OnInconclusive) -> Micros {
    match on_inconclusive {
        OnInconclusive::Withdraw if !stage.hold_on_fail => Micros(1),
        OnInconclusive::Withdraw | OnInconclusive::Hold => stage.max_hold,
    }
}

/// By what the stages are judged: the manifest's objectives for the canary.
pub(crate) fn judging(context: &Context, config: &Config) -> Result<Judging, Failure> {
    let file = context.folder.join(&config.load.manifest);
    let manifest = Manifest::read(&file)?;
    let objectives = ObjectivesPolicy {
        objectives: manifest.overall_objectives(Phase::Canary),
        confidence_bp: manifest.confidence.0,
        min_samples: manifest.min_samples,
    };
    let comparison = ComparisonPolicy {
        min_samples: manifest.min_samples,
        p95_ratio_max_pct: config.canary.p95_ratio_max_pct,
        error_increase_bp_max: config.canary.error_increase_max.0,
        ..ComparisonPolicy::default()
    };
    let env = |name: &str| context.env.get(name).map(str::to_owned);
    let folder = file.parent().unwrap_or(&context.folder);
    let endpoints = from_manifest::endpoints(&manifest, "", Around { folder, env: &env })?;
    let paired: Arc<dyn PairedLoad> = Arc::new(DoorLoad { endpoints });
    let ask: Option<Arc<dyn Ask>> = HttpClient::new(context.entropy.clone())
        .ok()
        .map(|http| -> Arc<dyn Ask> { Arc::new(DoorAsk { http }) });
    Ok(Judging { objectives, comparison, looks: manifest.looks, paired: Some(paired), ask })
}

/// Paired load through the platform's doors.
struct DoorLoad {
    endpoints: Vec<Endpoint>,
}

#[async_trait]
impl PairedLoad for DoorLoad {
    fn lacks(&self) -> Option<String> {
        let safe = self.endpoints.iter().any(|endpoint| endpoint.safe);
        (!safe).then(|| "no endpoint of the manifest is marked safe: true".to_owned())
    }

    async fn run(
        &self,
        platform: &dyn Platform,
        (rate, duration): (Rate, Micros),
        tally: &Tally,
        cancel: CancellationToken,
    ) -> Result<(), String> {
        let said = |error: PlatformError| error.to_string();
        let arm = |door: Door, counted| {
            let (sender, inbox) = tokio::sync::mpsc::unbounded_channel();
            let watch = Watch { progress: Some(sender), ..Watch::default() };
            let counting = count(inbox, tally, counted);
            ((ArmDoor { url: door.url, headers: door.headers, proof: door.proof }, watch), counting)
        };
        let (base, base_counting) = arm(platform.door(Arm::Base).await.map_err(said)?, Arm::Base);
        let (canary, canary_counting) =
            arm(platform.door(Arm::Canary).await.map_err(said)?, Arm::Canary);
        let pace = Pace { rate, duration };
        let running = run_paired(Arms { base, canary }, &self.endpoints, pace, &cancel);
        let (pair, (), ()) = tokio::join!(running, base_counting, canary_counting);
        pair.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Asks a version through the platform's door.
struct DoorAsk {
    http: HttpClient,
}

#[async_trait]
impl Ask for DoorAsk {
    async fn get(&self, door: &Door, path: &str) -> Result<u16, String> {
        let mut call = Call::get(format!("{}{path}", door.url.trim_end_matches('/')));
        call.timeout = limits::HEALTH_ASK;
        call.headers = door.headers.clone();
        call.headers.push(("x-orca-probe".to_owned(), "health".to_owned()));
        // It must be asked however often it did not answer: that is what is asked for.
        call.urgent = true;
        let answer = self.http.send(&call).await.map_err(|error| error.to_string())?;
        Ok(answer.status)
    }
}

/// Counts one arm second by second, until its load ends.
async fn count(mut inbox: UnboundedReceiver<Progress>, tally: &Tally, arm: Arm) {
    let mut before = BTreeMap::new();
    while let Some(progress) = inbox.recv().await {
        let kinds = progress.errors_by_kind.iter().map(|(kind, count)| {
            let known = before.get(kind).copied().unwrap_or(0_u64);
            (kind.clone(), count.saturating_sub(known))
        });
        let latency = progress.second.histogram.as_ref();
        let more = SourceSamples {
            requests: progress.second.requests,
            errors_by_kind: kinds.filter(|(_, count)| *count > 0).collect(),
            latency: latency.and_then(|own| Histogram::try_from(own).ok()).unwrap_or_default(),
            sticky_keys: 0,
            visits: None,
        };
        tally.add(arm, &more, (progress.second.t + 1).saturating_mul(1_000_000));
        before = progress.errors_by_kind;
    }
}

/// What a deployment says it runs, as far as it says so.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) commit: Option<CommitId>,
    pub(crate) digest: Option<Digest>,
}

pub(crate) async fn told_by(context: &Context, deployment: &str) -> Told {
    ask_version(context, deployment).await.unwrap_or_default()
}

async fn ask_version(context: &Context, deployment: &str) -> Option<Told> {
    #[derive(serde::Deserialize)]
    struct Version {
        commit: Option<String>,
        digest: Option<String>,
    }
    let http = HttpClient::new(context.entropy.clone()).ok()?;
    let mut call = Call::get(format!("{}/version", deployment.trim_end_matches('/')));
    call.timeout = limits::ADMIN_CALL;
    let answer = http.send(&call).await.ok().filter(|answer| answer.status == 200)?;
    let version: Version = serde_json::from_slice(&answer.body).ok()?;
    let commit = version.commit.and_then(|commit| CommitId::new(commit).ok());
    Some(Told { commit, digest: version.digest.as_deref().and_then(Digest::parse) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::units::Weight;
    use crate::rollout::triggers::Triggers;

    #[test]
    fn an_undecided_stage_waits_or_withdraws_as_the_manifest_says() {
        let stage = |hold_on_fail| StageConfig {
            weight: Weight::FULL,
            bake: Micros(5),
            max_hold: Micros(20),
            paired: None,
            hold_on_fail,
        };
        for (hold_on_fail, on_inconclusive, expected) in [
            (false, OnInconclusive::Hold, 20),
            (false, OnInconclusive::Withdraw, 1),
            (true, OnInconclusive::Withdraw, 20),
        ] {
            let config = CanaryConfig {
                stages: vec![stage(hold_on_fail)],
                grant: Micros::from_secs(60),
                lease: Micros::from_secs(120),
                hold_on_interrupt: false,
                pause_for: Micros::from_secs(3_600),
                pause_then: crate::cli::config::raw::RawAfterPause::Withdraw,
                p95_ratio_max_pct: 120,
                error_increase_max: crate::base::units::BasisPoints(100),
                track: None,
                triggers: Triggers::default(),
                own_triggers: Triggers::default(),
            };
            let plan = plan_of(&config, on_inconclusive);
            assert_eq!(plan.stages[0].max_hold, Micros(expected));
        }
    }
}
