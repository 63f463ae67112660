//! The end of a watch: users first, then the writing. What was judged counts before it is kept, so a
//! ledger that cannot be written keeps nobody on a release that failed, and makes none stable.

use std::sync::Arc;
use std::time::Duration;

use super::outcome::Outcome;
use super::run::{Sofar, Watch, Watched};
use crate::base::clock;
use crate::base::units::Micros;
use crate::gate::check::ErasedCheck;
use crate::gate::engine::Ruled;
use crate::gate::phase::Phase;
use crate::gate::ruling::Mode;
use crate::ledger::entry::Body;
use crate::rollout::watched::WatchedCheck;
use crate::verbs::rollback::{BackError, Rollback};
use crate::verbs::ship::PhaseGate;
use crate::verbs::{gates, trusted};

/// How long the ruling counts.
const MAX_AGE: Micros = Micros::from_secs(24 * 3_600);

/// How long looking once more may delay the way back.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// What was judged at the end, not kept yet.
pub(super) struct Judged {
    gates: Vec<PhaseGate>,
    ruled: Vec<Ruled>,
}

impl Watch<'_> {
    /// Users first; what was seen is judged, where it was not, and kept after that.
    pub(super) async fn end_breached(
        &self,
        sofar: &mut Sofar,
        headline: String,
        judged: Option<Judged>,
    ) -> Watched {
        let ship = &self.fleet.ship;
        // Whoever closed the service took its users away: that blames no release.
        if let Ok(Ok(Some(other))) = tokio::time::timeout(LOOK_WITHIN, self.changed()).await {
            return Watched::Changed { headline: format!("{headline}; but {other}") };
        }
        ship.say(format!("{}: {headline}", self.promoted.release));
        if self.report_only {
            self.keep_breach(sofar, judged).await;
            return Watched::Breach { headline };
        }
        let rollback = Rollback {
            platform: Arc::clone(&self.fleet.platform),
            book: Some(Arc::clone(&ship.book)),
            environment: ship.environment.clone(),
            reason: headline.clone(),
            to: None,
            emergency: false,
            // What was watched, and no canary that is staged beside it.
            fails: Some(self.promoted.deployment.clone()),
            since: clock::monotonic(),
            now: ship.now(),
            tell: Arc::clone(&ship.tell),
        };
        let ours = &self.promoted.deployment;
        let ended = match rollback.target().await {
            // Somebody rolled back to it, as the ledger has it by now: that is no way from it.
            Ok(target) if target.deployment == *ours => Err(BackError::NoWay(format!(
                "users are to stay on {ours}, which is what fails: orca rollback --to DEPLOYMENT \
                 --reason R"
            ))),
            Ok(target) => rollback.run(target).await,
            Err(error) => Err(error),
        };
        self.keep_breach(sofar, judged).await;
        match ended {
            Ok(back) => Watched::WentBack { headline, back: Box::new(back) },
            Err(why) => Watched::Stuck { headline, why },
        }
    }

    async fn keep_breach(&self, sofar: &mut Sofar, judged: Option<Judged>) {
        let judged = match judged {
            Some(judged) => judged,
            None => self.judge(sofar).await,
        };
        self.keep(&judged).await;
    }

    /// The sources and the gate of the watch itself, which comes last where there is one.
    async fn judge(&self, sofar: &mut Sofar) -> Judged {
        let mut checks: Vec<Arc<dyn ErasedCheck>> = Vec::new();
        if let Some(began) = &sofar.began {
            checks.push(Arc::new(WatchedCheck {
                platform: Arc::clone(&self.fleet.platform),
                began: began.clone(),
                recent: sofar.recent.began().cloned(),
                policy: sofar.policy.clone(),
            }));
        }
        if self.triggers.asks() && self.judging.ask.is_some() {
            checks.push(Arc::new(sofar.health.check(self.triggers)));
        }
        let mut gates = self.sources.to_vec();
        if !checks.is_empty() {
            gates.push(gates::gate(Phase::Watch, ("watch", Mode::Enforce), MAX_AGE, checks));
        }
        self.refresh_waivers(sofar).await;
        let waivers = sofar.waivers.clone();
        let ruled = self.fleet.ship.see(&gates, &self.subject(), waivers).await;
        Judged { gates, ruled }
    }

    /// Whether the ledger has it.
    async fn keep(&self, judged: &Judged) -> bool {
        let ship = &self.fleet.ship;
        if let Err(error) = ship.keep_rulings(&judged.gates, &judged.ruled).await {
            ship.say(format!("ledger: {error}"));
            return false;
        }
        ship.book.share().await;
        true
    }

    pub(super) async fn conclude(&self, sofar: &mut Sofar) -> Watched {
        let judged = self.judge(sofar).await;
        let records: Vec<_> = judged.ruled.iter().map(|item| item.ruling.record()).collect();
        let (sources, own) = records.split_at(self.sources.len());
        let outcome = sofar.before.outcome(own.first().copied(), sources);
        if let Outcome::Breach(headline) = outcome {
            return self.end_breached(sofar, headline, Some(judged)).await;
        }
        let is_kept = self.keep(&judged).await;
        match outcome {
            Outcome::Quiet(_) if !is_kept => {
                let headline = "what was seen could not be kept".to_owned();
                Watched::Undecided { headline }
            }
            Outcome::Quiet(headline) => self.stable(headline).await,
            Outcome::Breach(headline) | Outcome::Undecided(headline) => {
                Watched::Undecided { headline }
            }
        }
    }

    /// Users did well to the end: the ledger is told, where this orca may say so and nobody moved
    /// the traffic meanwhile.
    async fn stable(&self, headline: String) -> Watched {
        let ship = &self.fleet.ship;
        let (release, commit) = (self.promoted.release.clone(), self.promoted.commit.clone());
        if let Err((_, why)) = trusted::may_rule(ship, &commit, &trusted::RULES).await {
            return Watched::Undecided { headline: why };
        }
        match self.changed().await {
            Ok(None) => {}
            Ok(Some(headline)) => return Watched::Changed { headline },
            Err(error) => {
                let headline = format!("nobody knows who serves at the end: {error}");
                return Watched::Undecided { headline };
            }
        }
        if let Err(error) = ship.book.keep(ship.note(Body::Stable { release, commit })).await {
            return Watched::Undecided { headline: format!("it could not be kept: {error}") };
        }
        ship.book.share().await;
        Watched::Stable { headline }
    }
}
