//! The standby: found, or built once and followed to its end. A build costs money and takes
//! minutes, so one whose answer was lost is looked for and never asked for again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::run::{BlueGreen, BlueGreenError};
use crate::base::clock;
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::ids::DeploymentId;
use crate::base::units::Micros;
use crate::ledger::entry::{Body, Outcome};
use crate::rollout::deployer::{Build, BuildOrder, BuildState, Deployer};
use crate::rollout::ports::PlatformError;

/// How often a build whose answer was lost is looked for, and how soon.
const LOOKS: u32 = 8;
const LOOK_AGAIN: Duration = Duration::from_millis(1_500);
/// A state that does not change is said again after so long.
const SAID_AGAIN: Duration = Duration::from_secs(15);
/// So many unanswered questions in a row end it.
const UNANSWERED_MAX: u32 = 5;

impl BlueGreen<'_> {
    pub(super) async fn built(&self, deployer: &dyn Deployer) -> Result<Build, BlueGreenError> {
        let (ship, order) = (&self.fleet.ship, self.order());
        let found = deployer.find(&order).await?;
        let (build, is_ours) = match found {
            Some(found) if !self.settings.rebuild => {
                let (id, word) = (&found.deployment, &found.word);
                ship.say(format!("build: {id} of {} is there already: {word}", self.release));
                (found, false)
            }
            known => {
                let known = known.map(|known| known.deployment);
                (self.begun(deployer, &order, known.as_ref()).await?, true)
            }
        };
        self.followed(deployer, build, is_ours).await
    }

    async fn begun(
        &self,
        deployer: &dyn Deployer,
        order: &BuildOrder,
        known: Option<&DeploymentId>,
    ) -> Result<Build, BlueGreenError> {
        let ship = &self.fleet.ship;
        let step = ship.book.id("st");
        let detail = BTreeMap::from([
            ("release".to_owned(), self.release.to_string()),
            ("commit".to_owned(), self.commit.to_string()),
        ]);
        let name = "build".to_owned();
        ship.book
            .decide(ship.note(Body::StepIntended { step: step.clone(), name, detail }))
            .await?;
        hit(CrashPoint::StepAfterIntent);
        // The last moment at which a signal is heard: what was asked for is looked for and recorded.
        let answer = if ship.bench.cancel.is_cancelled() {
            let text = "stopped by a signal before anything was built".to_owned();
            Err(BlueGreenError::Interrupted(text))
        } else {
            self.asked_for(deployer, order, known).await
        };
        hit(CrashPoint::StepAfterApply);
        let (outcome, detail) = match &answer {
            Ok(build) => (Outcome::Done, build.deployment.to_string()),
            Err(error @ BlueGreenError::BuildUncertain(_)) => (Outcome::Unknown, error.to_string()),
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        let ended = ship.book.keep(ship.note(Body::StepEnded { step, outcome, detail })).await;
        let build = answer?;
        ended?;
        hit(CrashPoint::StepAfterOutcome);
        let where_to = build.inspect.as_ref().map(|url| format!(": {url}")).unwrap_or_default();
        ship.say(format!("build: {} was begun{where_to}", build.deployment));
        Ok(build)
    }

    /// The one call; a build whose answer was lost is looked for.
    async fn asked_for(
        &self,
        deployer: &dyn Deployer,
        order: &BuildOrder,
        known: Option<&DeploymentId>,
    ) -> Result<Build, BlueGreenError> {
        match deployer.begin(order).await {
            Ok(build) => Ok(build),
            Err(PlatformError::Uncertain { detail, .. }) => {
                self.fleet.ship.say(format!("build: {detail}; looking whether it was begun"));
                let found = looked_for(deployer, order, known).await;
                found.ok_or(BlueGreenError::BuildUncertain(detail))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks until the build ends. One that this run began ends with it.
    async fn followed(
        &self,
        deployer: &dyn Deployer,
        mut build: Build,
        is_ours: bool,
    ) -> Result<Build, BlueGreenError> {
        let ship = &self.fleet.ship;
        let (start, within) = (clock::monotonic(), self.settings.build_within);
        let mut said: Option<(String, Duration)> = None;
        let mut unanswered = 0;
        loop {
            let deployment = build.deployment.clone();
            match &build.state {
                BuildState::Ready => return Ok(build),
                BuildState::Building => {}
                BuildState::Failed(why) => {
                    let (why, inspect) = (why.clone(), build.inspect.clone());
                    return Err(BlueGreenError::BuildFailed { deployment, why, inspect });
                }
                BuildState::Cancelled | BuildState::Gone => {
                    return Err(BlueGreenError::BuildGone { deployment, word: build.word });
                }
            }
            let taken = clock::since(start);
            let is_news = said.as_ref().is_none_or(|(word, at)| {
                *word != build.word || taken.saturating_sub(*at) >= SAID_AGAIN
            });
            if is_news {
                ship.say(format!(
                    "build: {deployment} is {} after {} s",
                    build.word,
                    taken.as_secs()
                ));
                said = Some((build.word.clone(), taken));
            }
            let left = within.duration().saturating_sub(taken);
            if left.is_zero() {
                self.given_up(deployer, &deployment, is_ours).await;
                let word = build.word;
                return Err(BlueGreenError::BuildTooLong { deployment, word, within });
            }
            tokio::select! {
                () = ship.bench.cancel.cancelled() => {
                    self.given_up(deployer, &deployment, is_ours).await;
                    return self.stopped(&deployment).map(|()| build);
                }
                () = tokio::time::sleep(deployer.ask_again_in(taken).min(left)) => {}
            }
            match deployer.progress(&deployment).await {
                Ok(next) => (build, unanswered) = (next, 0),
                Err(error @ PlatformError::Unavailable { .. }) if unanswered < UNANSWERED_MAX => {
                    unanswered += 1;
                    ship.say(format!("build: {error}; asking again"));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Nobody waits for it: what this run began is stopped, what it found goes on.
    async fn given_up(&self, deployer: &dyn Deployer, deployment: &DeploymentId, is_ours: bool) {
        if !is_ours {
            return;
        }
        let said = match deployer.cancel(deployment).await {
            Ok(()) => format!("build: {deployment} is cancelled"),
            Err(error) => format!("build: {deployment} goes on: {error}"),
        };
        self.fleet.ship.say(said);
    }
}

/// A build that may have been begun, other than the one that was `known` before.
async fn looked_for(
    deployer: &dyn Deployer,
    order: &BuildOrder,
    known: Option<&DeploymentId>,
) -> Option<Build> {
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let found = deployer.find(order).await.ok().flatten();
        if let Some(found) = found.filter(|found| Some(&found.deployment) != known) {
            return Some(found);
        }
    }
    None
}

/// How long builds usually take, for plans.
pub(super) const USUAL_BUILD: Micros = Micros::from_secs(120);
