//! Going back: one call with the id of the deployment to go back **to**, then read until it shows.
//!
//! Nothing is read before the first call. A call whose fate is unknown is never sent again before
//! Vercel could be read: a person may have decided otherwise meanwhile, and that is not overwritten.
//! While Vercel does not answer it is tried until the deadline, which counts over all attempts of a
//! run.

use std::time::{Duration, Instant};

use super::build_calls::Move;
use super::change::{POLL_FIRST, POLL_MAX};
use super::client::VercelError;
use super::platform::VercelPlatform;
use super::seen::Seen;
use crate::base::clock::{self, Clock};
use crate::providers::http::HttpError;
use crate::rollout::ports::{PlatformError, PlatformState};

/// Where nothing could be read before, requests younger than this are not from before.
const UNREAD_MS: i64 = 60_000;

/// What a person has to know of a move that Vercel will not try again.
const STILL_FAILED: &str = "move them in the dashboard; Vercel calls this move failed until another \
                            one succeeds";

/// What reading showed after a call whose fate was unknown.
enum Fate {
    /// Everything is there, or on its way.
    Taken,
    /// Somebody moved the domain elsewhere.
    Elsewhere(Box<Seen>),
    /// It never happened.
    Lost,
}

impl VercelPlatform {
    /// Everything to `id`. An answer is what serves, which may be what a person chose.
    pub(super) async fn gone_back(&self, id: &str) -> Result<PlatformState, PlatformError> {
        if self.has_not_begun()
            && let Some(state) = self.never_left(id).await
        {
            return Ok(state);
        }
        let (deadline, since) = self.deadline(id);
        match self.called_back(id, deadline, since).await? {
            Some(elsewhere) => self.shown(&elsewhere).await,
            None => self.arrived(id, deadline, since).await,
        }
    }

    /// Everything to the base that Vercel itself names, where nobody else knows one: of a release
    /// that is complete too, for its last stage may still be judged. Where no release has users,
    /// only a domain that somebody moved back is known to be on its base.
    pub(super) async fn lowered(&self) -> Result<PlatformState, PlatformError> {
        let seen = self.ask().await.map_err(|error| self.unread(&error))?;
        match seen.base_of_release() {
            Some(base) => self.gone_back(&base).await,
            None if seen.went_back() => {
                self.state_of(&seen).await.map_err(|error| self.unread(&error))
            }
            None => Err(self.uncertain(format!(
                "no release is under way, so nothing was taken back; {} serves, and neither ledger \
                 nor Vercel says whether that is the base",
                seen.domain
            ))),
        }
    }

    /// Nobody was sent away from the base by this run.
    fn has_not_begun(&self) -> bool {
        self.memory().staged.as_ref().is_some_and(|staged| !staged.begun)
    }

    /// Where nothing was raised there may be nothing to take back: a call would only switch the
    /// assignment of domains off. What another move left undone before is not this run's.
    async fn never_left(&self, id: &str) -> Option<PlatformState> {
        let seen = self.ask().await.ok().filter(|seen| seen.is_all_on(id))?;
        self.state_of(&seen).await.ok()
    }

    /// Until when it is tried, and the newest move of the domain that was known when it began.
    fn deadline(&self, id: &str) -> (Instant, i64) {
        let mut memory = self.memory();
        let began = match &memory.going_back {
            Some((to, began)) if to == id => *began,
            _ => clock::monotonic(),
        };
        memory.going_back = Some((id.to_owned(), began));
        let known = memory
            .last_requested
            .unwrap_or_else(|| Clock::System.now().as_us() / 1_000 - UNREAD_MS);
        (began + self.settings.back_within, known)
    }

    /// Calls until it is accepted. The answer is what somebody else did instead.
    async fn called_back(
        &self,
        id: &str,
        deadline: Instant,
        since: i64,
    ) -> Result<Option<Seen>, PlatformError> {
        let description = format!("orca, for {}", self.settings.actor);
        let mut wait = POLL_FIRST;
        loop {
            let error = match self.client.roll_back(id, &description).await {
                Ok(()) => return Ok(None),
                Err(error) => error,
            };
            match &error {
                VercelError::Limited { wait: Some(asked), .. } if *asked > left(deadline) => {
                    return Err(self.unavailable(error.to_string()));
                }
                VercelError::Limited { wait: asked, .. } => {
                    tokio::time::sleep(asked.unwrap_or(wait).min(left(deadline))).await;
                }
                // Already there, or another state than Vercel goes back from.
                VercelError::Conflict { .. } => {
                    return match self.ask().await {
                        Ok(seen) if seen.is_whole_on(id) => Ok(None),
                        // It is there for the front door, so it moves nothing more.
                        Ok(seen) if seen.is_all_on(id) => {
                            let unmoved = self.unmoved(Move::of(seen.last.as_ref())).await;
                            Err(self.in_part(format!("{unmoved}; {STILL_FAILED}")))
                        }
                        _ => Err(self.unchanged(&error)),
                    };
                }
                VercelError::Http(HttpError::Connect { .. } | HttpError::Open { .. }) => {
                    tokio::time::sleep(wait.min(left(deadline))).await;
                }
                _ if error.is_without_effect() => return Err(self.unchanged(&error)),
                _ => match self.fate(id, deadline, since).await {
                    Some(Fate::Taken) => return Ok(None),
                    Some(Fate::Elsewhere(seen)) => return Ok(Some(*seen)),
                    Some(Fate::Lost) => {}
                    None => return Err(self.uncertain(error.to_string())),
                },
            }
            if left(deadline).is_zero() {
                return Err(self.unavailable(error.to_string()));
            }
            wait = wait.saturating_mul(2).min(POLL_MAX);
        }
    }

    /// What became of a call, as soon as Vercel can be read; nothing when it cannot in time.
    async fn fate(&self, id: &str, deadline: Instant, since: i64) -> Option<Fate> {
        let mut wait = POLL_FIRST;
        loop {
            match self.ask().await {
                Ok(seen) if seen.moved_elsewhere(id, since) => {
                    return Some(Fate::Elsewhere(Box::new(seen)));
                }
                Ok(seen) if seen.is_whole_on(id) || seen.is_asked_for(id, since) => {
                    return Some(Fate::Taken);
                }
                Ok(_) => return Some(Fate::Lost),
                Err(_) if left(deadline).is_zero() => return None,
                Err(_) => tokio::time::sleep(wait.min(left(deadline))).await,
            }
            wait = wait.saturating_mul(2).min(POLL_MAX);
        }
    }

    /// Reads until everything is on `id`, or on what somebody else chose.
    async fn arrived(
        &self,
        id: &str,
        deadline: Instant,
        since: i64,
    ) -> Result<PlatformState, PlatformError> {
        let mut wait = POLL_FIRST / 4;
        loop {
            let why = match self.ask().await {
                // The front door may lead there while other domains do not.
                Ok(seen) if seen.has_failed(id, since) => {
                    return Err(self.in_part(self.unmoved(Move::Rollback).await));
                }
                Ok(seen) if seen.is_whole_on(id) => {
                    self.memory().going_back = None;
                    return self.shown(&seen).await;
                }
                Ok(seen) if seen.moved_elsewhere(id, since) => return self.shown(&seen).await,
                Ok(_) => format!("Vercel accepted going back to {id}; it does not show yet"),
                Err(error) => format!("Vercel accepted going back to {id}; then {error}"),
            };
            if left(deadline).is_zero() {
                return Err(self.uncertain(why));
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(POLL_MAX);
        }
    }

    /// What serves, as it was just read.
    async fn shown(&self, seen: &Seen) -> Result<PlatformState, PlatformError> {
        self.state_of(seen).await.map_err(|error| self.uncertain(error.to_string()))
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(clock::monotonic())
}
