//! `promote`: the tested commit and artifact become the base, byte for byte, and then get their
//! final tag. Traffic first, with a clearance; the tag after it, so that a failed tag is part done
//! and never a wrong version.

use super::book::{BookError, Held};
use super::canary::clear::{Granted, Proof};
use super::canary::start::Candidate;
use super::promoting::{Promoting, Recorded};
use super::read_back::{self, ReadBack};
use super::ship::{Fleet, PhaseGate};
use super::tag_rc::{SharedRepository, on_repository};
use super::{gates, lease, settle, standing};
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::ids::{CommitId, DeploymentId, ReleaseName};
use crate::base::units::Weight;
use crate::gate::phase::{GateRequirement, Phase};
use crate::ledger::entry::{Body, TrafficProof};
use crate::ledger::fold::State;
use crate::release::ports::{Pushed, RepositoryError, Tag};
use crate::rollout::machine::Denied;
use crate::rollout::ports::{Arm, PlatformError, PlatformState};

/// What is to be promoted.
pub(crate) struct Promotion<'a> {
    pub(crate) fleet: &'a Fleet,
    pub(crate) candidate: Candidate,
    pub(crate) gates: &'a [PhaseGate],
    pub(crate) repository: SharedRepository,
    /// The final tag, such as `v1.4.0`.
    pub(crate) tag: ReleaseName,
    pub(crate) remote: String,
    pub(crate) notes: String,
}

/// A promotion that reached traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Done {
    pub(crate) seen: ReadBack,
    /// Whether the final tag stands; otherwise why not.
    pub(crate) tagged: Result<(), String>,
    /// Whether this run moved traffic, or found it moved.
    pub(crate) moved: bool,
}

/// Why nothing was promoted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PromoteError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Platform(#[from] PlatformError),
    #[error("{0}")]
    Condemned(String),
    #[error("{0} has not been through a canary in {1}: no rollout of it is complete")]
    NotComplete(ReleaseName, String),
    #[error("{0}")]
    TagTaken(String),
    #[error("traffic is not on {release} any more: {found}")]
    OffCandidate { release: ReleaseName, found: String },
    #[error("{}", denied_text(.0))]
    Denied(Denied),
    #[error("stopped by a signal before anybody was sent to {0}")]
    Interrupted(DeploymentId),
}

fn denied_text(denied: &Denied) -> &str {
    match denied {
        Denied::Expired { detail } | Denied::Undecided { detail } | Denied::Closed { detail } => {
            detail
        }
    }
}

impl Promotion<'_> {
    pub(crate) async fn run(&self) -> Result<Done, PromoteError> {
        let ship = &self.fleet.ship;
        let state = ship.book.synced().await?;
        standing::understood(&state)?;
        settle::rollbacks(&*ship.book, &*self.fleet.platform, &ship.environment).await?;
        let state = ship.book.state().await?;
        if let Some(text) = standing::condemned(&state, self.fleet, &self.candidate.commit).await? {
            return Err(PromoteError::Condemned(text));
        }
        if let Some(detail) = self.breached(&state) {
            return Err(PromoteError::Denied(Denied::Closed { detail }));
        }
        let seen = self.fleet.platform.look().await?;
        let moved = seen.base != self.candidate.deployment;
        let recorded = if moved {
            self.refuse_taken(&state).await?;
            self.move_traffic(&state).await?
        } else {
            self.found_moved(&state, &seen).await?
        };
        let commit = Some(&self.candidate.commit);
        let read = read_back::until_on(self.fleet.platform.as_ref(), Arm::Base, commit).await;
        if read.proof == TrafficProof::Failed {
            return Ok(Done { seen: read, tagged: Err("traffic is not on it".into()), moved });
        }
        let tagged = match recorded {
            // What waits in a file comes in with the next entry.
            Ok(()) | Err(BookError::Waiting { .. }) => self.tag().await,
            Err(error) => Err(format!("the ledger did not take the promotion: {error}")),
        };
        ship.book.share().await;
        Ok(Done { seen: read, tagged, moved })
    }

    /// A version is one commit: known before anybody is moved, its name is not found taken after.
    pub(crate) async fn refuse_taken(&self, state: &State) -> Result<(), PromoteError> {
        if let Some(text) = self.taken(state) {
            return Err(PromoteError::TagTaken(text));
        }
        let (tag, remote) = (self.tag.clone(), self.remote.clone());
        let commit = self.candidate.commit.clone();
        let named = on_repository(&self.repository, move |repository| {
            // A remote that does not answer now says so when the tag is pushed.
            let there = repository.remote_tags(&remote).unwrap_or_default();
            let mut all = repository.tags()?.into_iter().chain(there);
            let is_other = |known: &Tag| known.name == tag.as_str() && known.commit != commit;
            Ok::<_, RepositoryError>(all.find(is_other))
        });
        // What cannot be read now is compared again before the tag is made.
        let Ok(Some(known)) = named.await else { return Ok(()) };
        let (at, commit) = (known.commit.short(), self.candidate.commit.short());
        let text = format!("tag {} stands at commit {at}, not at {commit}", self.tag);
        Err(PromoteError::TagTaken(text))
    }

    /// Whose the final's name is in the ledger, where it is another commit's.
    fn taken(&self, state: &State) -> Option<String> {
        let tagged = state.finals.get(&self.tag)?;
        (tagged.commit != self.candidate.commit).then(|| {
            let (at, commit) = (tagged.commit.short(), self.candidate.commit.short());
            format!(
                "{} is the final of commit {at}, not of {commit}: tagged by {}",
                self.tag, tagged.by
            )
        })
    }

    /// A breach seen since every stage was judged; it holds for a person, and its way is back.
    fn breached(&self, state: &State) -> Option<String> {
        let running = state.environment(&self.fleet.ship.environment)?.rollout.as_ref()?;
        let ours = running.started.commit == self.candidate.commit;
        let said = running.breach().filter(|_| ours)?;
        Some(format!("stage {} is breached: {}", said.stage, said.headline))
    }

    pub(super) fn promoting(&self) -> Promoting<'_> {
        Promoting { fleet: self.fleet, candidate: &self.candidate, release: &self.tag }
    }

    async fn move_traffic(&self, state: &State) -> Result<Recorded, PromoteError> {
        let ship = &self.fleet.ship;
        let complete = state
            .environment(&ship.environment)
            .and_then(|e| e.rollout.as_ref())
            .filter(|r| r.complete && r.started.commit == self.candidate.commit);
        let Some(rollout) = complete else {
            let (release, environment) =
                (self.candidate.release.clone(), ship.environment.to_string());
            return Err(PromoteError::NotComplete(release, environment));
        };
        let base = rollout.started.base.clone();
        let base_commit = rollout.started.base_commit.clone();
        let seen = self.fleet.platform.look().await?;
        self.on_candidate(&seen)?;
        let held = ship.take_lease_above(seen.epoch).await?;
        let result = self.cleared_promotion(state, &held, &base, base_commit).await;
        lease::give_back(ship, &held).await;
        result
    }

    /// What was proved is a candidate that has everybody. A rollback that this ledger never heard of
    /// shows on the platform, and stands.
    fn on_candidate(&self, seen: &PlatformState) -> Result<(), PromoteError> {
        let wanted = &self.candidate.deployment;
        let found = match &seen.canary {
            _ if seen.went_back => {
                let who = seen.lowered_by.as_deref().unwrap_or("somebody");
                format!("{who} went back to {}", seen.base)
            }
            Some(known) if known.deployment != *wanted => {
                format!("{} is the canary now", known.deployment)
            }
            Some(_) if seen.weight == Weight::FULL => return Ok(()),
            Some(_) => format!("it has {}, not everybody", seen.weight),
            None => format!("{} serves, and there is no canary", seen.base),
        };
        Err(PromoteError::OffCandidate { release: self.candidate.release.clone(), found })
    }

    async fn cleared_promotion(
        &self,
        state: &State,
        held: &Held,
        base: &DeploymentId,
        base_commit: Option<CommitId>,
    ) -> Result<Recorded, PromoteError> {
        let ship = &self.fleet.ship;
        settle::steps(&*ship.book, &ship.environment).await?;
        let mut ready = gates::ready(self.fleet, &self.candidate, base);
        ready.phase = Phase::Promote;
        let granted = self.ask(&ready, state).await.map_err(PromoteError::Denied)?;
        // Gates take their time: somebody may have gone back meanwhile.
        self.on_candidate(&granted.seen)?;
        self.promoting().run(granted, held, base_commit).await
    }

    /// Asks the promote phase for a clearance.
    pub(super) async fn ask(&self, ready: &PhaseGate, state: &State) -> Result<Granted, Denied> {
        let stages = self.last_stage(state);
        let proof = Proof {
            fleet: self.fleet,
            candidate: &self.candidate,
            gates: self.gates,
            ready: std::slice::from_ref(ready),
            stages: &stages,
            rulings: &[],
            phase: Phase::Promote,
        };
        proof.ask().await
    }

    /// What the canary's newest stage required: its ruling is recalled from the ledger.
    fn last_stage(&self, state: &State) -> Vec<GateRequirement> {
        let ship = &self.fleet.ship;
        let subject = self.candidate.subject(&ship.environment);
        state
            .rulings_of(&subject.commit, &subject.environment)
            .filter(|kept| kept.phase == Phase::Canary && kept.record.gate.starts_with("stage-"))
            .max_by_key(|kept| kept.by.at)
            .map(|kept| GateRequirement::recorded(Phase::Canary, &kept.record))
            .into_iter()
            .collect()
    }

    /// The final tag on the tested commit, pushed; done already counts.
    async fn tag(&self) -> Result<(), String> {
        let ship = &self.fleet.ship;
        // Only a head that is shared stays in the chain whatever others write.
        let state = ship.book.synced().await.map_err(|error| error.to_string())?;
        if let Some(text) = self.taken(&state) {
            return Err(text);
        }
        let head = ship.book.head().await.map_err(|error| error.to_string())?;
        let ledger = head.map(|d| format!("\nOrca-Ledger: {d}\n")).unwrap_or_default();
        let message = format!("{}\n\n{}\n{ledger}", self.tag, self.notes.trim());
        let (tag, commit) = (self.tag.clone(), self.candidate.commit.clone());
        let remote = self.remote.clone();
        let pushed = on_repository(&self.repository, move |repository| {
            let tags = repository.tags()?;
            match tags.iter().find(|t| t.name == tag.as_str()) {
                Some(there) if there.commit != commit => {
                    return Err(RepositoryError {
                        action: format!("tag {tag}"),
                        detail: format!("it stands at {}", there.commit.short()),
                        next: "a tag is never moved; see who made it".to_owned(),
                    });
                }
                Some(_) => {}
                None => {
                    repository.create_tag(tag.as_str(), &commit, &message)?;
                }
            }
            hit(CrashPoint::TagCreated);
            repository.push_tag(&remote, tag.as_str())
        })
        .await;
        hit(CrashPoint::TagPushed);
        match pushed {
            Ok(Pushed::Done) => {}
            Ok(Pushed::Refused { why }) => return Err(why),
            Err(error) => return Err(error.to_string()),
        }
        let state = ship.book.state().await.map_err(|error| error.to_string())?;
        if self.is_tagged(&state) {
            return Ok(());
        }
        let body = Body::FinalTagged {
            release: self.tag.clone(),
            rc: self.candidate.release.clone(),
            commit: self.candidate.commit.clone(),
        };
        ship.book.decide(ship.note(body)).await.map(|_| ()).map_err(|error| error.to_string())
    }
}

/// The candidate that the ledger's rollout names: one under way or complete, or one that was
/// promoted already and may still want its tag.
pub(crate) fn rolled_out(state: &State, fleet: &Fleet, release: &ReleaseName) -> Option<Candidate> {
    let environment = state.environment(&fleet.ship.environment)?;
    let base = environment.base.as_ref().map(|base| &base.deployment);
    let promoted = environment.ended.iter().rev().map(|ended| &ended.rollout.started);
    let started = environment
        .rollout
        .iter()
        .map(|running| &running.started)
        .chain(promoted.filter(|started| Some(&started.canary) == base))
        .find(|started| started.release == *release)?;
    Some(Candidate {
        release: release.clone(),
        commit: started.commit.clone(),
        digest: started.digest,
        deployment: started.canary.clone(),
    })
}

/// `v1.4.0-rc.2` becomes `v1.4.0`.
pub(crate) fn final_name(release: &ReleaseName) -> Option<ReleaseName> {
    let (line, _) = release.as_str().split_once("-rc.")?;
    ReleaseName::new(line).ok()
}

/// Why this candidate's commit may not ship here any more, where it was rolled back.
pub(crate) async fn condemned(
    state: &State,
    fleet: &Fleet,
    release: &ReleaseName,
) -> Result<Option<String>, PlatformError> {
    match state.rcs.get(release) {
        Some(tagged) => standing::condemned(state, fleet, &tagged.commit).await,
        None => Ok(None),
    }
}
