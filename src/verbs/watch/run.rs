//! `watch`: the window after a promotion. What would have sent users back from the canary sends
//! them back now, by the same path as `orca rollback`; a quiet end makes the release stable.
//!
//! Missing data never makes it stable. Somebody else's change of the traffic ends the watch and is
//! not overwritten.

use std::time::{Duration, Instant};

use super::outcome::Before;
use crate::base::clock;
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::base::units::{Micros, Weight};
use crate::gate::exhibit::{Exhibit, Sight};
use crate::gate::phase::Phase;
use crate::gate::ruling::Subject;
use crate::gate::waiver::Waiver;
use crate::ledger::entry::TrafficProof;
use crate::ledger::environment::Reached;
use crate::ledger::fold::State;
use crate::rollout::arms::ArmsPolicy;
use crate::rollout::machine::Event;
use crate::rollout::ports::{Arm, Measures, PlatformError, Samples};
use crate::rollout::recent::Recent;
use crate::rollout::samples::StageSeen;
use crate::rollout::triggers::Triggers;
use crate::rollout::watched::{Baseline, WatchedPolicy, live_breach, seen};
use crate::verbs::book::BookError;
use crate::verbs::canary::health::{Asked, Health};
use crate::verbs::canary::judging::Judging;
use crate::verbs::rollback::{Back, BackError};
use crate::verbs::ship::{Fleet, PhaseGate};
use crate::verbs::standing;

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(200);
/// How often sources beside the platform are asked.
const SOURCES_EVERY: Duration = Duration::from_mins(1);
/// How long the ledger may take to say which waivers hold; those known before hold until then.
const WAIVERS_WITHIN: Duration = Duration::from_secs(2);

/// Why nothing is watched while the service is closed.
const CLOSED: &str = "the service is closed for users (orca maintenance), so nothing is judged; watch \
                      again once it is open";

/// A release as it serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Promoted {
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
    pub(crate) deployment: DeploymentId,
    pub(crate) is_stable: bool,
}

/// How a watch ended.
#[derive(Debug)]
pub(crate) enum Watched {
    Stable {
        headline: String,
    },
    /// The end came, and the data could not say.
    Undecided {
        headline: String,
    },
    /// A trigger, told and nothing else: `--report-only`.
    Breach {
        headline: String,
    },
    /// A trigger, and what became of going back.
    WentBack {
        headline: String,
        back: Box<Back>,
    },
    /// A trigger, and users could not be brought back.
    Stuck {
        headline: String,
        why: BackError,
    },
    /// Somebody else moved the traffic.
    Changed {
        headline: String,
    },
    Stopped {
        after: Micros,
    },
}

/// Why nothing was watched.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Platform(#[from] PlatformError),
    #[error("{0}")]
    NotServing(String),
    #[error("{0}")]
    Blind(String),
}

/// The release that serves by a promotion, as the ledger knows it.
pub(crate) fn serving(state: &State, fleet: &Fleet) -> Result<Promoted, WatchError> {
    let environment = state.environment(&fleet.ship.environment);
    let base = environment.and_then(|e| e.base.as_ref());
    let promoted = base.filter(|base| matches!(base.reached, Reached::Promoted { .. }));
    let known = promoted.and_then(|base| {
        let (release, commit) = (base.release.clone()?, base.commit.clone()?);
        let is_stable = environment?.stable.contains_key(&release);
        Some(Promoted { release, commit, deployment: base.deployment.clone(), is_stable })
    });
    known.ok_or_else(|| {
        let text = format!("no promoted release serves {}", fleet.ship.environment);
        WatchError::NotServing(text)
    })
}

pub(crate) struct Watch<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) promoted: &'a Promoted,
    pub(crate) judging: &'a Judging,
    pub(crate) triggers: &'a Triggers,
    /// Gates by other sources than the platform, of the phase watch.
    pub(crate) sources: &'a [PhaseGate],
    pub(crate) span: Micros,
    pub(crate) report_only: bool,
}

/// What is known so far.
pub(super) struct Sofar {
    pub(super) began: Option<Samples>,
    pub(super) recent: Recent,
    pub(super) health: Health,
    pub(super) policy: WatchedPolicy,
    /// What the sources blamed before this release could have caused it.
    pub(super) before: Before,
    pub(super) waivers: Vec<Waiver>,
    looked: Option<Instant>,
    asked: Option<Instant>,
}

impl Watch<'_> {
    pub(crate) async fn run(&self) -> Result<Watched, WatchError> {
        let ship = &self.fleet.ship;
        if let Err(why) = standing::understood(&*ship.book.state().await?) {
            return Err(why.into());
        }
        let measures = self.fleet.platform.capabilities().measures;
        if measures < Measures::Users && self.sources.is_empty() {
            let holder = self.fleet.platform.capabilities().state_holder;
            return Err(WatchError::Blind(format!(
                "{holder} does not count what users get, and the manifest names no error budget \
                 with a source that does"
            )));
        }
        if let Some(headline) = self.changed().await? {
            return Err(WatchError::NotServing(headline));
        }
        let began = if measures >= Measures::Users {
            Some(self.fleet.platform.samples().await?)
        } else {
            None
        };
        let policy = self.policy().await?;
        for off in policy.off(self.triggers).filter(|_| began.is_some()) {
            ship.say(format!("canary.triggers.{off} is off: the canary measured nothing for it"));
        }
        let waivers = ship.waivers(&self.promoted.commit).await?;
        let mut sofar = Sofar {
            began,
            recent: Recent::default(),
            health: Health::default(),
            policy,
            before: Before::default(),
            waivers,
            looked: None,
            asked: None,
        };
        self.until_the_end(&mut sofar).await
    }

    async fn until_the_end(&self, sofar: &mut Sofar) -> Result<Watched, WatchError> {
        let start = clock::monotonic();
        let cancel = self.fleet.ship.bench.cancel.clone();
        while clock::since(start) < self.span.duration() {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {
                    return Ok(Watched::Stopped { after: Micros(clock::elapsed_us(start)) });
                }
                () = tokio::time::sleep(TICK) => {}
            }
            let every = self.fleet.platform.look_every();
            if sofar.looked.is_some_and(|at| clock::since(at) < every) {
                continue;
            }
            sofar.looked = Some(clock::monotonic());
            if let Ok(Some(headline)) = self.changed().await {
                return Ok(Watched::Changed { headline });
            }
            if let Some(headline) = self.breach(sofar).await {
                return Ok(self.end_breached(sofar, headline, None).await);
            }
        }
        Ok(self.conclude(sofar).await)
    }

    /// What stands in for the version before, from the newest stage in which both served.
    async fn policy(&self) -> Result<WatchedPolicy, WatchError> {
        let arms = ArmsPolicy {
            objectives: self.judging.objectives.clone(),
            comparison: self.judging.comparison.clone(),
            weight: Weight::FULL,
            decides: true,
            error_trigger_ppm: self.triggers.error_rate.map(|limit| limit.0.saturating_mul(100)),
            p95_trigger_pct: self.triggers.p95_ratio_pct,
            // Everybody is on one version.
            throughput: None,
        };
        let baseline = self.baseline().await?;
        Ok(WatchedPolicy::new(arms, baseline, self.triggers.traffic_pct))
    }

    async fn baseline(&self) -> Result<Option<Baseline>, WatchError> {
        let ship = &self.fleet.ship;
        let state = ship.book.state().await?;
        let mut stages: Vec<_> = state
            .rulings_of(&self.promoted.commit, &ship.environment)
            .filter(|kept| kept.phase == Phase::Canary && kept.record.gate.starts_with("stage-"))
            .collect();
        stages.sort_by_key(|kept| kept.by.at);
        let users =
            |check: &&crate::gate::ruling::CheckRecord| check.check.as_str() == "canary.users";
        let wanted: Vec<_> = stages
            .iter()
            .rev()
            .filter_map(|kept| kept.record.checks.iter().find(users))
            .map(|check| check.exhibit)
            .collect();
        let exhibits = ship.book.exhibits(wanted.clone()).await;
        Ok(Baseline::of_stages(wanted.iter().filter_map(|digest| {
            let exhibit = Exhibit::parse(exhibits.get(digest)?).ok()?;
            let Sight::Seen { seen } = exhibit.sight else { return None };
            serde_json::from_value::<StageSeen>(seen).ok()
        })))
    }

    /// Who serves instead, where somebody moved the traffic, or that nobody is served.
    pub(super) async fn changed(&self) -> Result<Option<String>, PlatformError> {
        let found = self.fleet.platform.look().await?;
        if found.closed {
            return Ok(Some(CLOSED.to_owned()));
        }
        let (release, ours) = (&self.promoted.release, &self.promoted.deployment);
        if found.base != *ours {
            return Ok(Some(format!("{} serves, not {ours} of {release}", found.base)));
        }
        let other = found.canary.filter(|_| found.weight > Weight::ZERO);
        Ok(other.map(|canary| {
            format!("a canary has {}: {} beside {release}", found.weight, canary.deployment)
        }))
    }

    /// The first trigger that says so.
    async fn breach(&self, sofar: &mut Sofar) -> Option<String> {
        if let (Some(began), Ok(now)) = (&sofar.began, self.fleet.platform.samples().await) {
            sofar.recent.note(&now);
            let seen = seen(began, sofar.recent.began(), &now);
            if let Some(breach) = live_breach(&sofar.policy, &seen) {
                return Some(breach.headline);
            }
        }
        if let Some(ask) = &self.judging.ask {
            let platform = &*self.fleet.platform;
            let cancel = &self.fleet.ship.bench.cancel;
            let asked = Asked { platform, ask, cancel, arm: Arm::Base, other: None };
            let event = sofar.health.look(asked, self.triggers).await;
            if let Some(Event::HardLimit { headline, .. }) = event {
                return Some(headline);
            }
        }
        self.source_breach(sofar).await
    }

    async fn source_breach(&self, sofar: &mut Sofar) -> Option<String> {
        let is_due = sofar.asked.is_none_or(|at| clock::since(at) >= SOURCES_EVERY);
        if self.sources.is_empty() || !is_due {
            return None;
        }
        sofar.asked = Some(clock::monotonic());
        self.refresh_waivers(sofar).await;
        let ship = &self.fleet.ship;
        let ruled = ship.see(self.sources, &self.subject(), sofar.waivers.clone()).await;
        sofar.before.hear(ruled.iter().map(|item| item.ruling.record()))
    }

    pub(super) async fn refresh_waivers(&self, sofar: &mut Sofar) {
        let waivers = self.fleet.ship.waivers(&self.promoted.commit);
        if let Ok(Ok(waivers)) = tokio::time::timeout(WAIVERS_WITHIN, waivers).await {
            sofar.waivers = waivers;
        }
    }

    pub(super) fn subject(&self) -> Subject {
        let environment = self.fleet.ship.environment.clone();
        Subject { commit: self.promoted.commit.clone(), digest: None, environment }
    }
}

impl Watched {
    /// Whether users are where they belong: nothing where they were not moved.
    pub(crate) fn proof(&self) -> Option<TrafficProof> {
        match self {
            Self::WentBack { back, .. } => Some(back.proof),
            Self::Stuck { .. } => Some(TrafficProof::Failed),
            _ => None,
        }
    }
}
