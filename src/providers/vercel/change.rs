//! Giving the canary more: made known, raised stage by stage, promoted. Each change is read back,
//! and whatever somebody else did stops it instead of being overwritten.

use std::time::Duration;

use super::answers::Rolling;
use super::build_calls::Move;
use super::client::VercelError;
use super::front::host_of;
use super::platform::{VercelPlatform, commit_of};
use super::seen::{Seen, Staged};
use crate::base::clock;
use crate::base::ids::{CommitId, DeploymentId};
use crate::base::units::Weight;
use crate::rollout::ports::{
    Known, PlatformError, PlatformState, PromoteTerms, RaiseTerms, Refused, StageOrder,
};

/// How long an accepted change may take to show. Whoever waits must still hear a signal.
const SHOWN_WITHIN: Duration = Duration::from_secs(5);
/// How long a promotion may take to show: nobody's exposure hangs in the air meanwhile.
const PROMOTED_WITHIN: Duration = Duration::from_mins(3);
pub(super) const POLL_FIRST: Duration = Duration::from_millis(200);
pub(super) const POLL_MAX: Duration = Duration::from_secs(2);

impl VercelPlatform {
    /// The deployment that people mean by an address or an id, in this project.
    pub(super) async fn resolved(&self, named: &DeploymentId) -> Result<Known, PlatformError> {
        let wrong = |text| self.refused(Refused::WrongDeployment(text));
        let found = match self.client.deployment(host_of(named.as_str())).await {
            Ok(found) => found,
            Err(VercelError::NotFound { .. }) => {
                return Err(wrong(format!("there is no deployment {named}, or it was deleted")));
            }
            Err(error) => return Err(self.unread(&error)),
        };
        let own = &self.client.project;
        let other = found.project_id.as_ref().filter(|id| own.starts_with("prj_") && *id != own);
        if let Some(other) = other {
            return Err(wrong(format!("{named} belongs to the project {other}, not to {own}")));
        }
        let deployment = DeploymentId::new(found.id.clone()).map_err(|e| wrong(e.to_string()))?;
        Ok(Known { deployment, commit: commit_of(&found) })
    }

    /// Makes the canary known at weight zero: everything is looked at, and the stages are set.
    pub(super) async fn staged(&self, order: &StageOrder) -> Result<PlatformState, PlatformError> {
        self.is_in_plan().await?;
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        self.expected(&seen, order.expect_generation)?;
        self.is_free(&seen)?;
        self.is_fit(&order.canary, order.commit.as_ref()).await?;
        self.names_itself().await?;
        self.set_stages(&order.weights).await?;
        let (canary, base) = (order.canary.to_string(), seen.domain.clone());
        self.memory().staged = Some(Staged { canary, base, begun: false });
        self.state_of(&seen).await.map_err(|error| self.unread(&error))
    }

    async fn is_in_plan(&self) -> Result<(), PlatformError> {
        let billing = self.client.billing().await.map_err(|error| self.unread(&error))?;
        if matches!(billing.reason.as_str(), "available_slots" | "unlimited_slots") {
            return Ok(());
        }
        let text = format!("rolling releases: {} ({})", billing.reason, billing.message);
        Err(self.refused(Refused::NotInPlan(text)))
    }

    /// No release of anybody is under way.
    pub(super) fn is_free(&self, seen: &Seen) -> Result<(), PlatformError> {
        match seen.active() {
            Some(active) => Err(self.refused(Refused::Busy(under_way(active)))),
            None => Ok(()),
        }
    }

    /// What Vercel would build again, or cannot serve, is not what was tested.
    pub(super) async fn is_fit(
        &self,
        id: &DeploymentId,
        commit: Option<&CommitId>,
    ) -> Result<(), PlatformError> {
        let wrong = |text| Err(self.refused(Refused::WrongDeployment(text)));
        let found =
            self.client.deployment(id.as_str()).await.map_err(|error| self.unread(&error))?;
        if found.target.as_deref() != Some("production") {
            return wrong(format!(
                "{id} is a preview: Vercel would build it again to promote it, so what was tested \
                 is not what would ship"
            ));
        }
        if found.ready_state != "READY" {
            return wrong(format!("{id} is {}, not READY", found.ready_state));
        }
        match (commit_of(&found), commit) {
            (Some(built), Some(wanted)) if built != *wanted => {
                wrong(format!("{id} was built from {}, not from {}", built.short(), wanted.short()))
            }
            _ => Ok(()),
        }
    }

    /// Going back is proved by what answers users: it must be able to say which version it is.
    pub(super) async fn names_itself(&self) -> Result<(), PlatformError> {
        let domain = self.front.domain();
        let said = self.front.version().await.map_err(|e| self.unavailable(e.to_string()))?;
        if said.is_silent() {
            let text = format!(
                "GET /version of {domain} does not say which version answers, so going back could \
                 not be verified"
            );
            return Err(self.refused(Refused::Unsupported(text)));
        }
        Ok(())
    }

    async fn set_stages(&self, weights: &[Weight]) -> Result<(), PlatformError> {
        let wanted: Vec<u16> = weights.iter().map(|weight| percent(*weight)).collect();
        let found = self.client.template().await.map_err(|error| self.unread(&error))?;
        if found.as_deref() == Some(&wanted) {
            return Ok(());
        }
        self.client.set_template(&wanted).await.map_err(|error| self.unchanged(&error))?;
        let before = found.map_or_else(|| "other or off".to_owned(), |found| listed(&found));
        tracing::info!(
            "rolling releases of {}: stages {} with approval (before: {before})",
            self.client.project,
            listed(&wanted)
        );
        Ok(())
    }

    fn expected(&self, seen: &Seen, expected: u64) -> Result<(), PlatformError> {
        let found = seen.generation();
        if found == expected {
            return Ok(());
        }
        Err(self.refused(Refused::StaleGeneration { expected, found }))
    }

    pub(super) async fn raised(&self, terms: &RaiseTerms) -> Result<PlatformState, PlatformError> {
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        self.expected(&seen, terms.expect_generation)?;
        let split = seen.split(self.memory().staged.as_ref());
        if split.canary.as_deref() != Some(terms.canary.as_str()) || split.weight != terms.from {
            let who = split.canary.unwrap_or_else(|| "nobody".to_owned());
            let text = format!("{who} has {}, not {} {}", split.weight, terms.canary, terms.from);
            return Err(self.refused(Refused::Busy(text)));
        }
        let called = match seen.active() {
            None => self.begin(terms).await?,
            Some(active) => self.approve(active, terms).await?,
        };
        if let Err(error) = called.as_ref()
            && error.is_without_effect()
        {
            return Err(self.unchanged(error));
        }
        if let Some(staged) = &mut self.memory().staged {
            staged.begun = true;
        }
        let (canary, to) = (terms.canary.as_str(), terms.to);
        let staged = self.memory().staged.clone();
        let shown = |seen: &Seen| {
            let split = seen.split(staged.as_ref());
            split.canary.as_deref() == Some(canary) && split.weight == to
        };
        match self.until(SHOWN_WITHIN, shown).await {
            Some(seen) => self.state_of(&seen).await.map_err(|e| self.uncertain(e.to_string())),
            None => Err(self.uncertain(match called {
                Ok(()) => format!("{to} was accepted and does not show yet"),
                Err(error) => error.to_string(),
            })),
        }
    }

    /// The first stage: a release begins with the stages that are set.
    async fn begin(&self, terms: &RaiseTerms) -> Result<Result<(), VercelError>, PlatformError> {
        let template = self.client.template().await.map_err(|error| self.unread(&error))?;
        let first = template.as_ref().and_then(|stages| stages.first().copied());
        if first != Some(percent(terms.to)) {
            let text = "somebody changed the stages of rolling releases meanwhile".to_owned();
            return Err(self.refused(Refused::Unsupported(text)));
        }
        Ok(self.client.start(terms.canary.as_str()).await)
    }

    /// A further stage, from the one that is active.
    async fn approve(
        &self,
        active: &Rolling,
        terms: &RaiseTerms,
    ) -> Result<Result<(), VercelError>, PlatformError> {
        let index = active.active_stage.as_ref().map_or(0, |stage| stage.index);
        let next = active.stages.iter().find(|stage| stage.index == index + 1);
        if next.map(|stage| stage.target_percentage) != Some(percent(terms.to)) {
            let text = format!("the release under way has no stage of {} after this", terms.to);
            return Err(self.refused(Refused::Unsupported(text)));
        }
        Ok(self.client.approve(terms.canary.as_str(), index).await)
    }

    pub(super) async fn promoted(
        &self,
        terms: &PromoteTerms,
    ) -> Result<PlatformState, PlatformError> {
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        self.expected(&seen, terms.expect_generation)?;
        let to = terms.to.as_str();
        if !seen.is_all_on(to) {
            let called = match seen.active() {
                Some(active) if active.canary_deployment.as_ref().is_some_and(|c| c.id == to) => {
                    self.client.complete(to).await.map(|()| false)
                }
                Some(active) => return Err(self.refused(Refused::Busy(under_way(active)))),
                None => self.client.promote(to).await,
            };
            match called {
                // It will happen when nobody watches: only a person can decide about it.
                Ok(true) => {
                    let text = "the promotion waits behind a rolling release that began just now; \
                                cancel it in the dashboard or watch it";
                    return Err(self.uncertain(text));
                }
                Err(error) if error.is_without_effect() => return Err(self.unchanged(&error)),
                Ok(false) | Err(_) => {}
            }
        }
        let arrived = self.promotion_of(to, seen.last_requested()).await;
        let seen = arrived.map_err(|why| self.uncertain(why))?;
        self.memory().staged = None;
        self.state_of(&seen).await.map_err(|error| self.uncertain(error.to_string()))
    }

    /// Reads until everything is on `to`, or somebody chose otherwise after `since`. Where rolling
    /// releases are on, a promotion begins one: it is completed, once.
    async fn promotion_of(&self, to: &str, since: i64) -> Result<Seen, String> {
        let (start, mut wait, mut completed) = (clock::monotonic(), POLL_FIRST, false);
        loop {
            let why = match self.ask().await {
                // One domain may lead there while others do not: that is no arrival.
                Ok(seen) if seen.has_failed(to, since) => {
                    return Err(self.unmoved(Move::Promotion).await);
                }
                Ok(seen) if seen.is_all_on(to) => return Ok(seen),
                Ok(seen) if seen.moved_elsewhere(to, since) => {
                    let other = seen.last.map(|last| last.to_deployment_id).unwrap_or_default();
                    return Err(format!(
                        "somebody sent everybody to {other} meanwhile; nothing is overwritten"
                    ));
                }
                Ok(seen) if !completed && seen.rolls(to) => {
                    let called = self.client.complete(to).await;
                    completed = !called.as_ref().is_err_and(VercelError::is_without_effect);
                    called.err().map_or_else(String::new, |error| error.to_string())
                }
                Ok(_) => format!("the domain does not lead to {to} yet"),
                Err(error) => error.to_string(),
            };
            if clock::since(start) >= PROMOTED_WITHIN {
                return Err(why);
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(POLL_MAX);
        }
    }

    /// Which domains Vercel says it could not move.
    pub(super) async fn unmoved(&self, of: Move) -> String {
        let domains = self.client.failed_domains(of).await.unwrap_or_default();
        format!("Vercel could not move {}", listed_domains(&domains))
    }

    /// Asks until it `is_so`, or for as long as `within`.
    async fn until(&self, within: Duration, is_so: impl Fn(&Seen) -> bool) -> Option<Seen> {
        let (start, mut wait) = (clock::monotonic(), POLL_FIRST);
        loop {
            match self.ask().await {
                Ok(seen) if is_so(&seen) => return Some(seen),
                _ if clock::since(start) >= within => return None,
                _ => tokio::time::sleep(wait).await,
            }
            wait = wait.saturating_mul(2).min(POLL_MAX);
        }
    }
}

fn percent(weight: Weight) -> u16 {
    weight.basis_points() / 100
}

fn listed(percentages: &[u16]) -> String {
    let texts: Vec<String> = percentages.iter().map(|percent| format!("{percent} %")).collect();
    texts.join(", ")
}

fn listed_domains(domains: &[String]) -> String {
    if domains.is_empty() { "the domain".to_owned() } else { domains.join(", ") }
}

fn under_way(active: &Rolling) -> String {
    let canary = active.canary_deployment.as_ref().map_or("a deployment", |side| &side.id);
    let percent = active.active_stage.as_ref().map_or(0, |stage| stage.target_percentage);
    format!("a rolling release of {canary} is under way at {percent} %")
}
