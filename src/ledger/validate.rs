//! Whether a decision is still right on this state. Pure. A refusal says who did what, and where.
//! Facts are always accepted: they have happened.

use super::advance::{NoAdvance, advanceable};
use super::entry::{Advanced, Body, Entry, RcTagged, RolloutStarted};
use super::environment::EnvironmentState;
use super::fold::{Author, KeptClearance, State, Tagged, is_same_line};
use crate::base::clock::Timestamp;
use crate::base::ids::{CommitId, Environment, OrcaId, ReleaseName};
use crate::gate::clearance::ClearanceRecord;
use crate::gate::waiver::WaiverError;

/// Why a decision is not, or no longer, right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("commit {} is condemned in {environment}{}: rolled back by {by}: {reason}", commit.short(), also(*.by_platform))]
    Condemned {
        commit: CommitId,
        environment: Environment,
        /// The environment at hand is another one, on the same platform.
        by_platform: bool,
        reason: String,
        by: Box<Author>,
    },
    #[error("{release} froze releases until {}, by {by}", until.rfc3339())]
    Frozen { release: ReleaseName, until: Timestamp, by: Box<Author> },
    #[error("rollout {rollout} of {release} runs in {environment}, started by {by}")]
    RolloutRunning {
        rollout: OrcaId,
        release: ReleaseName,
        environment: Environment,
        by: Box<Author>,
    },
    #[error("rollout {rollout} does not run in {environment} any more{}", ended.as_ref().map(|by| format!(": ended by {by}")).unwrap_or_default())]
    NotRunning { rollout: OrcaId, environment: Environment, ended: Option<Author> },
    #[error("the canary is paused until {} by {by}: {reason}", until.rfc3339())]
    Paused { until: Timestamp, reason: String, by: Box<Author> },
    #[error("{0}")]
    NoAdvance(NoAdvance),
    #[error("rollout {0} is complete: there is nothing left to pause")]
    Complete(OrcaId),
    #[error("rollout {0} is not paused")]
    NotPaused(OrcaId),
    #[error("clearance {clearance} is spent: used by {by}")]
    ClearanceSpent { clearance: OrcaId, by: Box<Author> },
    #[error("clearance {clearance} is void: rolled back by {by}")]
    ClearanceVoid { clearance: OrcaId, by: Box<Author> },
    #[error("clearance {0} is not in the ledger")]
    ClearanceUnknown(OrcaId),
    #[error("clearance {clearance} expired at {}", at.rfc3339())]
    ClearanceExpired { clearance: OrcaId, at: Timestamp },
    #[error("clearance {clearance} is for commit {} in {environment}", commit.short())]
    ClearanceElsewhere { clearance: OrcaId, commit: CommitId, environment: Environment },
    #[error("{release} is tagged at commit {} by {by}", commit.short())]
    TaggedElsewhere { release: ReleaseName, commit: CommitId, by: Box<Author> },
    #[error("release candidate {0} is not in the ledger")]
    UnknownCandidate(ReleaseName),
    #[error("epoch {mine} is stale: epoch {newest} was taken by {by}")]
    StaleEpoch { mine: u64, newest: u64, by: Box<Author> },
    #[error("entry {entry} of kind {kind} was written by a newer orca")]
    NewerOrca { entry: OrcaId, kind: String },
    #[error("the waiver cannot be accepted: {0}")]
    Waiver(WaiverError),
    #[error("a {0} entry needs an environment")]
    NoEnvironment(&'static str),
}

fn also(by_platform: bool) -> &'static str {
    if by_platform { ", on the same platform" } else { "" }
}

#[cfg(test)]
impl Refused {
    /// The entry that stands against it.
    pub(crate) fn entry(&self) -> Option<&OrcaId> {
        match self {
            Self::Condemned { by, .. }
            | Self::Frozen { by, .. }
            | Self::RolloutRunning { by, .. }
            | Self::ClearanceSpent { by, .. }
            | Self::ClearanceVoid { by, .. }
            | Self::Paused { by, .. }
            | Self::TaggedElsewhere { by, .. }
            | Self::StaleEpoch { by, .. } => Some(&by.entry),
            Self::NotRunning { ended, .. } => ended.as_ref().map(|by| &by.entry),
            Self::NewerOrca { entry, .. } => Some(entry),
            Self::ClearanceUnknown(_)
            | Self::ClearanceExpired { .. }
            | Self::ClearanceElsewhere { .. }
            | Self::UnknownCandidate(_)
            | Self::Complete(_)
            | Self::NotPaused(_)
            | Self::NoAdvance(_)
            | Self::Waiver(_)
            | Self::NoEnvironment(_) => None,
        }
    }
}

/// What somebody wants to write: enough to say whether they may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Proposal<'a> {
    pub(crate) environment: Option<&'a Environment>,
    pub(crate) epoch: Option<u64>,
    pub(crate) body: &'a Body,
}

impl<'a> From<&'a Entry> for Proposal<'a> {
    fn from(entry: &'a Entry) -> Self {
        Self { environment: entry.environment.as_ref(), epoch: entry.epoch, body: &entry.body }
    }
}

impl State {
    /// Whether `proposal` is right on this state at `now`. Facts always are.
    pub(crate) fn validate(&self, proposal: Proposal<'_>, now: Timestamp) -> Result<(), Refused> {
        let body = proposal.body;
        if body.is_fact() {
            return Ok(());
        }
        if let (true, Some(unknown)) = (body.raises(), self.unknown_entries.first()) {
            let (entry, kind) = (unknown.id.clone(), unknown.kind.clone());
            return Err(Refused::NewerOrca { entry, kind });
        }
        match proposal.environment {
            Some(name) => self.validate_in(Place::of(self, name), proposal, now),
            None if body.needs_environment() => Err(Refused::NoEnvironment(body.kind())),
            None => self.validate_anywhere(body, now),
        }
    }

    fn validate_in(
        &self,
        place: Place<'_>,
        proposal: Proposal<'_>,
        now: Timestamp,
    ) -> Result<(), Refused> {
        place.epoch(proposal.epoch)?;
        match proposal.body {
            Body::RcTagged(RcTagged { commit, .. }) | Body::FinalTagged { commit, .. } => {
                self.sound(place.name, commit)?;
            }
            Body::Cleared { clearance, .. } => self.clear(place, clearance, now)?,
            Body::RolloutStarted(started) => self.start(place, started, now)?,
            Body::RaiseIntended { rollout, clearance, .. } => {
                let commit = place.running(rollout)?;
                self.sound(place.name, &commit)?;
                place.unpaused(now)?;
                self.thawed_for_rollout(place, now)?;
                let kept = self.unspent(clearance, now)?;
                is_for(&kept.record, &commit, place.name)?;
                self.sound_on(place.name, &kept.record)?;
            }
            Body::Paused(said) => place.pausable(&said.rollout)?,
            Body::Unpaused { rollout, .. } => place.resumable(rollout, now)?,
            Body::Advanced(said) => {
                let commit = place.running(&said.rollout)?;
                self.sound(place.name, &commit)?;
                place.unpaused(now)?;
                self.advance(place, said)?;
            }
            Body::PromoteIntended { release, clearance, .. } => {
                let kept = self.unspent(clearance, now)?;
                let commit = &kept.record.subject.subject.commit;
                self.sound_on(place.name, &kept.record)?;
                is_for(&kept.record, commit, place.name)?;
                place.free_for(release)?;
                self.thawed_for(release, now)?;
            }
            _ => {}
        }
        self.validate_anywhere(proposal.body, now)
    }

    fn validate_anywhere(&self, body: &Body, now: Timestamp) -> Result<(), Refused> {
        match body {
            Body::RcTagged(rc) => {
                free_name(self.rcs.get(&rc.release), &rc.commit)?;
                self.thawed_for(&rc.release, now)
            }
            Body::FinalTagged { release, rc, commit } => {
                free_name(self.finals.get(release), commit)?;
                match self.rcs.get(rc) {
                    Some(tagged) => free_name(Some(tagged), commit),
                    None => Err(Refused::UnknownCandidate(rc.clone())),
                }
            }
            // Whoever freezes admits less; whoever lifts names what holds.
            Body::Unfrozen { release, .. } if !self.is_frozen_for(release, now) => {
                self.thawed_for(release, now)
            }
            Body::Waived { waiver } => waiver.validate(now).map_err(Refused::Waiver),
            _ => Ok(()),
        }
    }

    fn start(
        &self,
        place: Place<'_>,
        started: &RolloutStarted,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.sound(place.name, &started.commit)?;
        self.thawed_for(&started.release, now)?;
        match place.state.and_then(|s| s.rollout.as_ref()) {
            Some(running) => Err(Refused::RolloutRunning {
                rollout: running.started.rollout.clone(),
                release: running.started.release.clone(),
                environment: place.name.clone(),
                by: Box::new(running.by.clone()),
            }),
            None => Ok(()),
        }
    }

    /// The stage holds because the data could not decide it.
    fn advance(&self, place: Place<'_>, said: &Advanced) -> Result<(), Refused> {
        let running = place.state.and_then(|s| s.rollout.as_ref());
        let Some(running) = running else { return Ok(()) };
        let held = advanceable(self, place.name, running).map_err(Refused::NoAdvance)?;
        if held == said.stage {
            return Ok(());
        }
        Err(Refused::NoAdvance(NoAdvance::Elsewhere { at: held, asked: said.stage }))
    }

    /// No freeze by another version holds.
    pub(crate) fn thawed_for(&self, release: &ReleaseName, now: Timestamp) -> Result<(), Refused> {
        let mut all = self.freezes_at(now);
        match all.rfind(|freeze| !is_same_line(&freeze.release, release)) {
            Some(freeze) => Err(Refused::Frozen {
                release: freeze.release.clone(),
                until: freeze.until,
                by: Box::new(freeze.by.clone()),
            }),
            None => Ok(()),
        }
    }

    /// Whether a freeze of this version's own holds.
    fn is_frozen_for(&self, release: &ReleaseName, now: Timestamp) -> bool {
        self.freezes_at(now).any(|freeze| is_same_line(&freeze.release, release))
    }

    /// The same for the release that is being rolled out.
    fn thawed_for_rollout(&self, place: Place<'_>, now: Timestamp) -> Result<(), Refused> {
        match place.state.and_then(|s| s.rollout.as_ref()) {
            Some(running) => self.thawed_for(&running.started.release, now),
            None => Ok(()),
        }
    }

    fn clear(
        &self,
        place: Place<'_>,
        record: &ClearanceRecord,
        now: Timestamp,
    ) -> Result<(), Refused> {
        self.sound_on(place.name, record)?;
        is_for(record, &record.subject.subject.commit, place.name)?;
        if now >= record.expires_at {
            let clearance = record.id.clone();
            return Err(Refused::ClearanceExpired { clearance, at: record.expires_at });
        }
        Ok(())
    }

    fn unspent(&self, clearance: &OrcaId, now: Timestamp) -> Result<&KeptClearance, Refused> {
        let kept = self.clearances.get(clearance);
        let kept = kept.ok_or_else(|| Refused::ClearanceUnknown(clearance.clone()))?;
        let clearance = clearance.clone();
        if let Some(by) = kept.voided.clone() {
            return Err(Refused::ClearanceVoid { clearance, by: Box::new(by) });
        }
        if let Some(by) = kept.spent.clone() {
            return Err(Refused::ClearanceSpent { clearance, by: Box::new(by) });
        }
        if now >= kept.record.expires_at {
            return Err(Refused::ClearanceExpired { clearance, at: kept.record.expires_at });
        }
        Ok(kept)
    }
}

fn is_for(
    record: &ClearanceRecord,
    commit: &CommitId,
    environment: &Environment,
) -> Result<(), Refused> {
    let subject = &record.subject.subject;
    if subject.commit == *commit && subject.environment == *environment {
        return Ok(());
    }
    Err(Refused::ClearanceElsewhere {
        clearance: record.id.clone(),
        commit: subject.commit.clone(),
        environment: subject.environment.clone(),
    })
}

fn free_name(tagged: Option<&Tagged>, commit: &CommitId) -> Result<(), Refused> {
    match tagged {
        Some(tagged) if tagged.commit != *commit => Err(Refused::TaggedElsewhere {
            release: tagged.release.clone(),
            commit: tagged.commit.clone(),
            by: Box::new(tagged.by.clone()),
        }),
        _ => Ok(()),
    }
}

/// The environment a decision is about.
#[derive(Clone, Copy)]
struct Place<'a> {
    name: &'a Environment,
    state: Option<&'a EnvironmentState>,
}

impl<'a> Place<'a> {
    fn of(state: &'a State, name: &'a Environment) -> Self {
        Self { name, state: state.environment(name) }
    }

    fn epoch(self, mine: Option<u64>) -> Result<(), Refused> {
        match (mine, self.state.and_then(|s| s.epoch.as_ref())) {
            (Some(mine), Some((newest, by))) if mine < *newest => {
                Err(Refused::StaleEpoch { mine, newest: *newest, by: Box::new(by.clone()) })
            }
            _ => Ok(()),
        }
    }

    /// The commit of a rollout, as long as it runs.
    fn running(self, rollout: &OrcaId) -> Result<CommitId, Refused> {
        let running = self.state.and_then(|s| s.rollout.as_ref());
        if let Some(running) = running.filter(|r| r.started.rollout == *rollout) {
            return Ok(running.started.commit.clone());
        }
        let ended = self.state.map(|s| s.ended.iter()).into_iter().flatten();
        let mut ended = ended.filter(|e| e.rollout.started.rollout == *rollout);
        Err(Refused::NotRunning {
            rollout: rollout.clone(),
            environment: self.name.clone(),
            ended: ended.next_back().map(|e| e.by.clone()),
        })
    }

    /// No pause holds the rollout under way.
    fn unpaused(self, now: Timestamp) -> Result<(), Refused> {
        let pause = self.state.and_then(|s| s.rollout.as_ref()).and_then(|r| r.paused.as_ref());
        match pause.filter(|pause| pause.is_in_force(now)) {
            Some(pause) => Err(Refused::Paused {
                until: pause.until,
                reason: pause.reason.clone(),
                by: Box::new(pause.by.clone()),
            }),
            None => Ok(()),
        }
    }

    fn pausable(self, rollout: &OrcaId) -> Result<(), Refused> {
        self.running(rollout)?;
        let complete = self.state.and_then(|s| s.rollout.as_ref()).is_some_and(|r| r.complete);
        if complete { Err(Refused::Complete(rollout.clone())) } else { Ok(()) }
    }

    fn resumable(self, rollout: &OrcaId, now: Timestamp) -> Result<(), Refused> {
        self.running(rollout)?;
        if self.unpaused(now).is_ok() { Err(Refused::NotPaused(rollout.clone())) } else { Ok(()) }
    }

    /// No rollout of another version runs.
    fn free_for(self, release: &ReleaseName) -> Result<(), Refused> {
        let running = self.state.and_then(|s| s.rollout.as_ref());
        match running.filter(|r| !is_same_line(&r.started.release, release)) {
            Some(running) => Err(Refused::RolloutRunning {
                rollout: running.started.rollout.clone(),
                release: running.started.release.clone(),
                environment: self.name.clone(),
                by: Box::new(running.by.clone()),
            }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::{RolloutEnd, TrafficProof};
    use super::super::fixture::*;
    use super::*;

    fn verdict(told: &Told, body: Body) -> Result<(), Refused> {
        let entry = told.next(Some("production"), body);
        told.state().validate(Proposal::from(&entry), at(50))
    }

    fn raising() -> Told {
        let mut told = Told::new();
        told.live(rollout("v1.4.0-rc.1", '4', "d3"));
        told.live(cleared("cl_1", '4', 100));
        told
    }

    #[test]
    fn a_clearance_is_good_for_one_raise() {
        let mut told = raising();
        assert_eq!(verdict(&told, raise("st_1", '4', "cl_1")), Ok(()));
        let unknown = verdict(&told, raise("st_1", '4', "cl_9"));
        assert_eq!(unknown, Err(Refused::ClearanceUnknown(id("cl_9"))));
        told.live(cleared("cl_2", '4', 50));
        let late = verdict(&told, raise("st_1", '4', "cl_2"));
        assert!(matches!(late, Err(Refused::ClearanceExpired { .. })));
        told.live(cleared("cl_3", '5', 100));
        let other = verdict(&told, raise("st_1", '4', "cl_3"));
        assert!(matches!(other, Err(Refused::ClearanceElsewhere { .. })));
        let spent = told.live(raise("st_1", '4', "cl_1"));
        let again = verdict(&told, raise("st_2", '4', "cl_1")).unwrap_err();
        assert!(matches!(again, Refused::ClearanceSpent { .. }));
        assert_eq!(again.entry(), Some(&spent));
        let promote = Body::PromoteIntended {
            step: id("st_3"),
            release: release("v1.4.0"),
            clearance: id("cl_1"),
            to: deployment("d4"),
        };
        assert!(matches!(verdict(&told, promote), Err(Refused::ClearanceSpent { .. })));
    }

    #[test]
    fn a_rollback_condemns_ends_and_voids_and_the_refusal_names_it() {
        let mut told = raising();
        let back = told.live(rolled_back('4', "d3", TrafficProof::Verified));
        let raise_error = verdict(&told, raise("st_1", '4', "cl_1")).unwrap_err();
        assert!(matches!(raise_error, Refused::NotRunning { .. }));
        assert_eq!(raise_error.entry(), Some(&back));
        for body in [
            rollout("v1.4.0-rc.1", '4', "d3"),
            cleared("cl_5", '4', 100),
            rc("v1.4.0-rc.2", '4', "1.4.0"),
        ] {
            let error = verdict(&told, body).unwrap_err();
            assert!(matches!(error, Refused::Condemned { .. }), "{error}");
            assert!(error.to_string().contains(back.as_str()), "{error}");
        }
        told.live(rollout("v1.4.0-rc.2", '5', "d3"));
        let void = verdict(
            &told,
            Body::PromoteIntended {
                step: id("st_3"),
                release: release("v1.4.0"),
                clearance: id("cl_1"),
                to: deployment("d4"),
            },
        );
        assert!(matches!(void, Err(Refused::ClearanceVoid { .. })));
        assert_eq!(verdict(&told, rolled_back('5', "d3", TrafficProof::Failed)), Ok(()));
    }

    #[test]
    fn one_rollout_at_a_time() {
        let mut told = raising();
        let second = rollout("v1.4.0-rc.2", '5', "d3");
        let running = verdict(&told, second.clone());
        assert!(matches!(running, Err(Refused::RolloutRunning { .. })));
        told.live(ended('4', RolloutEnd::Withdrawn));
        assert_eq!(verdict(&told, second), Ok(()));
    }

    #[test]
    fn tags_and_freezes() {
        let mut told = Told::new();
        told.tell(None, rc("v1.4.0-rc.1", '4', "1.4.0"));
        assert_eq!(verdict(&told, rc("v1.4.0-rc.1", '4', "1.4.0")), Ok(()));
        let elsewhere = verdict(&told, rc("v1.4.0-rc.1", '5', "1.4.0"));
        assert!(matches!(elsewhere, Err(Refused::TaggedElsewhere { .. })));
        told.tell(None, Told::frozen("v1.4.0-rc.1", "x"));
        assert_eq!(verdict(&told, rc("v1.4.0-rc.2", '5', "1.4.0")), Ok(()));
        let frozen = verdict(&told, rc("v1.5.0-rc.1", '6', "1.5.0"));
        assert!(matches!(frozen, Err(Refused::Frozen { .. })));
        let until = at(2_000_000_000);
        let by_hand = release("by-hand");
        let freeze = Body::Frozen { release: by_hand.clone(), until, reason: "incident".into() };
        assert_eq!(verdict(&told, freeze.clone()), Ok(()), "also while a candidate is out");
        let lift = || Body::Unfrozen { release: by_hand.clone(), reason: "over".into() };
        let nothing = verdict(&told, lift());
        assert!(matches!(nothing, Err(Refused::Frozen { .. })), "{nothing:?}");
        let mut both = told.clone();
        both.tell(None, freeze);
        assert!(verdict(&both, rc("v1.4.0-rc.2", '5', "1.4.0")).is_err());
        assert_eq!(verdict(&both, lift()), Ok(()));
        let final_of = |rc: &str, digit| Body::FinalTagged {
            release: release("v1.4.0"),
            rc: release(rc),
            commit: commit(digit),
        };
        assert_eq!(verdict(&told, final_of("v1.4.0-rc.1", '4')), Ok(()));
        let moved = verdict(&told, final_of("v1.4.0-rc.1", '5'));
        assert!(matches!(moved, Err(Refused::TaggedElsewhere { .. })));
        let unknown = verdict(&told, final_of("v1.4.0-rc.9", '4'));
        assert!(matches!(unknown, Err(Refused::UnknownCandidate(_))));
    }

    /// A raise and a promotion ask as a start does; the freeze of the release's own version, such
    /// as that of its candidate's tag, admits both.
    #[test]
    fn a_freeze_stops_raises_and_promotions_of_other_versions() {
        let promote = || Body::PromoteIntended {
            step: id("st_3"),
            release: release("v1.4.0"),
            clearance: id("cl_1"),
            to: deployment("d4"),
        };
        for (frozen, admitted) in
            [("by-hand", false), ("v1.5.0-rc.1", false), ("v1.4.0-rc.1", true)]
        {
            let mut told = raising();
            told.tell(None, Told::frozen(frozen, "holidays"));
            for body in [raise("st_1", '4', "cl_1"), promote()] {
                let said = verdict(&told, body);
                assert_eq!(said.is_ok(), admitted, "{frozen}: {said:?}");
                assert!(admitted || matches!(said, Err(Refused::Frozen { .. })), "{said:?}");
            }
            let back = rolled_back('4', "d3", TrafficProof::Verified);
            assert_eq!(verdict(&told, back), Ok(()), "nothing stops going back");
        }
    }

    #[test]
    fn stale_epochs_newer_entries_and_missing_environments() {
        let mut told = raising();
        let mut entry = told.next(Some("production"), raise("st_1", '4', "cl_1"));
        let mut state = told.state();
        let production = state.environments.get_mut(&environment("production")).unwrap();
        let by = production.rollout.as_ref().unwrap().by.clone();
        production.epoch = Some((3, by));
        for (mine, right) in [(None, true), (Some(2), false), (Some(3), true), (Some(4), true)] {
            entry.epoch = mine;
            assert_eq!(state.validate((&entry).into(), at(50)).is_ok(), right, "{mine:?}");
        }
        let placeless = told.next(None, raise("st_1", '4', "cl_1"));
        let error = state.validate((&placeless).into(), at(50));
        assert_eq!(error, Err(Refused::NoEnvironment("raise_intended")));
        told.live(step_intended("st_2"));
        let unknown = super::super::chain::UnknownEntry {
            id: id("en_new"),
            schema: "orca.entry/v2".into(),
            kind: "teleported".into(),
            at: at(1),
        };
        state.unknown_entries.push(unknown);
        let error = state.validate((&entry).into(), at(50)).unwrap_err();
        assert!(matches!(error, Refused::NewerOrca { .. }));
        let back = told.next(Some("production"), rolled_back('4', "d3", TrafficProof::Verified));
        assert_eq!(state.validate((&back).into(), at(50)), Ok(()));
    }

    #[test]
    fn waivers_are_checked_as_the_gate_checks_them() {
        assert_eq!(verdict(&Told::new(), waived("load.slo")), Ok(()));
        let never = verdict(&Told::new(), waived("release.identity"));
        assert!(matches!(never, Err(Refused::Waiver(_))));
    }
}
