//! `canary status`: what the ledger, the lease and the platform say of the canary under way, and how
//! its stage would be judged now. Changes nothing, and says of each what it could not be asked.

use std::sync::Arc;
use std::time::Duration;

use super::judging::Judging;
use crate::base::clock::Timestamp;
use crate::base::ids::Environment;
use crate::base::units::{Micros, Weight};
use crate::gate::check::Check as _;
use crate::gate::verdict::{Cause, Verdict};
use crate::ledger::environment::{EndedRollout, Rollout};
use crate::ledger::fold::State;
use crate::ledger::lease::Lease;
use crate::rollout::decision::{Decision, StageJudgement, decide};
use crate::rollout::plan::{DecideBy, RolloutPlan};
use crate::rollout::ports::{Measures, Platform, PlatformState, Samples};
use crate::rollout::probes::ProbesCheck;
use crate::rollout::samples::{Source, StageSeen};
use crate::rollout::snapshot;
use crate::rollout::throughput;
use crate::rollout::users::UsersCheck;
use crate::verbs::book::{Book, BookError};

/// How long the remote may take before the ledger is shown as it is here.
const REMOTE: Duration = Duration::from_secs(6);

/// Who is asked. What is missing is the reason why.
pub(crate) struct Asked {
    pub(crate) book: Result<Arc<dyn Book>, String>,
    pub(crate) platform: Result<Arc<dyn Platform>, String>,
    /// By what stages are judged here.
    pub(crate) judging: Result<Judging, String>,
    pub(crate) environment: Environment,
    pub(crate) now: Timestamp,
}

/// What they said.
pub(crate) struct Seen {
    pub(crate) ledger: Result<Known, String>,
    pub(crate) platform: Result<PlatformState, String>,
    /// The stage of the canary under way.
    pub(crate) stage: Option<StageNow>,
}

/// What the ledger knows.
pub(crate) struct Known {
    pub(crate) state: Arc<State>,
    pub(crate) rollout: Option<Rollout>,
    pub(crate) ended: Option<EndedRollout>,
    pub(crate) lease: Option<Lease>,
    /// Why this may be old.
    pub(crate) stale: Option<String>,
}

/// The stage that has its weight, or waits for it.
#[derive(Debug, Clone)]
pub(crate) struct StageNow {
    /// 1-based.
    pub(crate) number: usize,
    pub(crate) of: usize,
    pub(crate) weight: Weight,
    pub(crate) bake: Micros,
    /// How often ticks were announced, where they carry it on.
    pub(crate) every: Option<Micros>,
    pub(crate) max_hold: Micros,
    pub(crate) decide_by: DecideBy,
    /// When it got its weight; not yet where absent.
    pub(crate) since: Option<Timestamp>,
    /// The last decision about this stage.
    pub(crate) decided: Option<(Verdict, String)>,
    /// What came of it so far, or why that is not known here.
    pub(crate) measured: Result<Measured, String>,
}

/// A stage so far.
#[derive(Debug, Clone)]
pub(crate) struct Measured {
    pub(crate) users: StageSeen,
    pub(crate) probes: StageSeen,
    /// Whether users come as the weight says, where the plan asks for that.
    pub(crate) throughput: Option<String>,
    /// How it would be judged now, or why that is not known here.
    pub(crate) judged: Result<(StageJudgement, Decision), String>,
}

/// Asks everybody.
pub(crate) async fn look(asked: &Asked) -> Seen {
    let (ledger, platform) = tokio::join!(ledger(asked), live(asked));
    let rollout = ledger.as_ref().ok().and_then(|known| known.rollout.clone());
    let stage = match rollout {
        Some(rollout) => stage(asked, &rollout).await,
        None => None,
    };
    Seen { ledger, platform, stage }
}

async fn live(asked: &Asked) -> Result<PlatformState, String> {
    let platform = asked.platform.as_ref().map_err(Clone::clone)?;
    platform.look().await.map_err(|error| error.to_string())
}

async fn ledger(asked: &Asked) -> Result<Known, String> {
    let book = asked.book.as_ref().map_err(Clone::clone)?;
    let synced = tokio::time::timeout(REMOTE, book.synced()).await;
    let (state, stale) = match synced {
        Ok(Ok(state)) => (state, None),
        Ok(Err(error)) => (here(book.as_ref()).await?, Some(error.to_string())),
        Err(_) => {
            let text = format!("the remote did not answer within {} s", REMOTE.as_secs());
            (here(book.as_ref()).await?, Some(text))
        }
    };
    let known = state.environment(&asked.environment);
    let rollout = known.and_then(|e| e.rollout.clone());
    let ended = known.and_then(|e| e.ended.last().cloned());
    let lease = book.lease(&asked.environment).await.map_err(|error| error.to_string())?;
    Ok(Known { state, rollout, ended, lease, stale })
}

async fn here(book: &dyn Book) -> Result<Arc<State>, String> {
    book.state().await.map_err(|error: BookError| error.to_string())
}

async fn stage(asked: &Asked, rollout: &Rollout) -> Option<StageNow> {
    let plan: RolloutPlan = serde_json::from_value(rollout.started.plan.clone()).ok()?;
    let (index, began) = rollout.place();
    let at = plan.stages.get(index)?;
    let number = index + 1;
    let about =
        rollout.stages.iter().rev().find(|(said, _)| usize::try_from(said.stage) == Ok(number));
    let looks = rollout.looks(number);
    let measured = match began.and_then(|began| began.samples) {
        None => Err(unmeasured(asked).to_owned()),
        Some(digest) => match exhibit(asked, digest).await {
            Some(earlier) => measured(asked, (&plan, index, looks), &earlier).await,
            None => Err("what was measured at its beginning is not here".to_owned()),
        },
    };
    Some(StageNow {
        number,
        of: plan.stages.len(),
        weight: at.weight,
        bake: at.bake,
        every: plan.every,
        max_hold: at.max_hold,
        decide_by: at.decide_by,
        since: began.map(|began| began.at),
        decided: about.map(|(said, _)| (said.verdict, said.headline.clone())),
        measured,
    })
}

fn unmeasured(asked: &Asked) -> &'static str {
    match &asked.platform {
        Ok(platform) if platform.capabilities().measures < Measures::Users => {
            "the platform does not count what each version answers"
        }
        _ => "the beginning of the stage was not measured",
    }
}

async fn exhibit(asked: &Asked, digest: crate::base::digest::Digest) -> Option<Samples> {
    let book = asked.book.as_ref().ok()?;
    let bytes = book.exhibits(vec![digest]).await.remove(&digest)?;
    snapshot::parse(&bytes).ok()
}

async fn measured(
    asked: &Asked,
    (plan, index, looks): (&RolloutPlan, usize, u32),
    earlier: &Samples,
) -> Result<Measured, String> {
    let platform = asked.platform.as_ref().map_err(Clone::clone)?;
    let now = platform.samples().await.map_err(|error| error.to_string())?;
    let users = StageSeen::between(earlier, &now, Source::Users);
    let probes = StageSeen::between(earlier, &now, Source::Probes);
    let of_users = asked.judging.as_ref().ok().map(|j| j.policy(plan, index, Source::Users));
    let throughput = of_users.and_then(|policy| throughput::sentence(&policy, &users));
    let judged = asked.judging.as_ref().map_err(Clone::clone).map(|judging| {
        let judging = judging.at_look(looks + 1);
        let by_users = UsersCheck::judge(&judging.policy(plan, index, Source::Users), &users);
        let by_probes = ProbesCheck::judge(&judging.policy(plan, index, Source::Probes), &probes);
        let both = [&by_users, &by_probes]
            .into_iter()
            .find(|judged| judged.cause == Some(Cause::BothBreach))
            .map(|judged| judged.headline.clone());
        let decides = match plan.stages[index].decide_by {
            DecideBy::Paired => &by_probes,
            DecideBy::Users => &by_users,
        };
        let failed = [&by_users, &by_probes].into_iter().find(|j| j.verdict == Verdict::Fail);
        let judgement = StageJudgement {
            users: by_users.verdict,
            probes: Some(by_probes.verdict).filter(|v| *v != Verdict::NotApplicable),
            cause: None,
            headline: match failed {
                Some(failed) => failed.headline.clone(),
                None => throughput::warned(&decides.headline, &by_users),
            },
            both_arms_breach: both,
        };
        let decision = decide(plan.stages[index].decide_by, &judgement);
        (judgement, decision)
    });
    Ok(Measured { users, probes, throughput, judged })
}
