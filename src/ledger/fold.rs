//! The state that a chain of entries tells, entry by entry. Pure, and total: a fact is taken as it
//! is, whatever the state; what may be decided on it is [`super::validate`]'s to say.
//!
//! A reconciled fact is folded as the entry that it was. One that is older than the base it speaks
//! of condemns, and does not move that base: whoever wrote it did not know that base. Clocks decide
//! nothing else here. The same fact told twice counts once; one id with two contents is a fault of
//! the chain, which [`State::refuse_twice`] finds before anything is folded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::chain::{Corrupted, Fault, Record, Said, UnknownEntry};
use super::entry::{Body, Entry, ExhibitRef, Outcome};
use super::environment::EnvironmentState;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, Environment, OrcaId, ReleaseName};
use crate::gate::clearance::ClearanceRecord;
use crate::gate::phase::Phase;
use crate::gate::ruling::RulingRecord;
use crate::gate::verdict::Verdict;
use crate::gate::waiver::Waiver;

/// Who said something, in which entry, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) entry: OrcaId,
    pub(crate) name: String,
    pub(crate) at: Timestamp,
    /// SHA-256 of that entry: what a signature has to be over. Boxed, since errors name authors.
    pub(crate) digest: Box<Digest>,
}

impl std::fmt::Display for Author {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {} (ledger entry {})", self.name, self.at.rfc3339(), self.entry)
    }
}

/// Whether an entry was written knowing everything before it in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    OnTheHead,
    /// A fact that lost a race, or waited in a file.
    Afterwards,
}

/// A tag that orca made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tagged {
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
    /// The final version; for a final tag, that of its candidate.
    pub(crate) version: Option<semver::Version>,
    pub(crate) by: Author,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Freeze {
    pub(crate) release: ReleaseName,
    /// Where it was declared.
    pub(crate) environment: Option<Environment>,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
    pub(crate) by: Author,
}

/// A clearance and the raise that used it up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptClearance {
    pub(crate) record: ClearanceRecord,
    pub(crate) phase: Phase,
    pub(crate) by: Author,
    pub(crate) spent: Option<Author>,
    /// The rollback that voided it.
    pub(crate) voided: Option<Author>,
}

/// An intent whose outcome nobody wrote yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dangling {
    pub(crate) environment: Option<Environment>,
    pub(crate) intent: Body,
    pub(crate) by: Author,
}

/// The newest ruling of a gate about a commit in an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptRuling {
    pub(crate) phase: Phase,
    pub(crate) record: Arc<RulingRecord>,
    pub(crate) exhibits: Vec<ExhibitRef>,
    pub(crate) by: Author,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pack {
    pub(crate) release: ReleaseName,
    pub(crate) digest: Digest,
    pub(crate) verdict: Verdict,
    pub(crate) by: Author,
}

/// Everything the ledger knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) environments: BTreeMap<Environment, EnvironmentState>,
    pub(crate) rcs: BTreeMap<ReleaseName, Tagged>,
    pub(crate) finals: BTreeMap<ReleaseName, Tagged>,
    /// Every final tag that the ledger was told of, in that order.
    pub(crate) final_tags: Vec<Tagged>,
    /// Freezes that nobody lifted, the newest last and one for each version; ask
    /// [`State::freezes_at`] which still hold.
    pub(crate) freezes: Vec<Freeze>,
    pub(crate) waivers: Vec<(Waiver, Author)>,
    pub(crate) clearances: BTreeMap<OrcaId, KeptClearance>,
    pub(crate) dangling: BTreeMap<OrcaId, Dangling>,
    pub(crate) rulings: BTreeMap<(CommitId, Environment, String), KeptRuling>,
    pub(crate) packs: Vec<Pack>,
    /// Entries of a newer orca: while there are any, this one raises nothing.
    pub(crate) unknown_entries: Vec<UnknownEntry>,
    /// Every entry, and every fact inside a carrier, with the digest of its content.
    entries: BTreeMap<OrcaId, Digest>,
}

impl State {
    /// Goes on by one verified entry.
    pub(crate) fn apply(&mut self, record: &Record) {
        if let Said::Reconciled { carrier, .. } = &record.said {
            self.entries.entry(carrier.id.clone()).or_insert_with(|| carrier.content());
        }
        if self.contains(record.id()) {
            return;
        }
        self.entries.insert(record.id().clone(), record.content());
        match &record.said {
            Said::Known(entry) => self.apply_entry((entry, record.told), Arrival::OnTheHead),
            Said::Reconciled { original, .. } => {
                self.apply_entry((original, record.told), Arrival::Afterwards);
            }
            Said::Unknown(unknown) => self.unknown_entries.push(unknown.clone()),
        }
    }

    /// Whether an entry of this id is in the chain. A head that is not was rewound away.
    pub(crate) fn contains(&self, entry: &OrcaId) -> bool {
        self.entries.contains_key(entry)
    }

    /// An id stands for one content, for ever: otherwise a signature over one of them would speak
    /// for the other. A decision that was moved to another head, because nobody knew that its push
    /// had arrived, is the same content behind another entry.
    pub(super) fn refuse_twice(&self, record: &Record) -> Result<(), Corrupted> {
        let carrier = match &record.said {
            Said::Reconciled { carrier, .. } => Some((&carrier.id, carrier.content())),
            _ => None,
        };
        let told = (record.id(), record.content());
        for (id, digest) in carrier.into_iter().chain([told]) {
            let is_other = self.entries.get(id).is_some_and(|known| *known != digest);
            if is_other || carrier.is_some_and(|(own, _)| own == told.0) {
                let fault = Fault::Twice(id.clone());
                return Err(Corrupted {
                    position: record.position,
                    id: Some(id.to_string()),
                    fault,
                });
            }
        }
        Ok(())
    }

    pub(crate) fn environment(&self, environment: &Environment) -> Option<&EnvironmentState> {
        self.environments.get(environment)
    }

    /// The freezes that hold at `now`, the newest last; each admits its own version alone.
    pub(crate) fn freezes_at(&self, now: Timestamp) -> impl DoubleEndedIterator<Item = &Freeze> {
        self.freezes.iter().filter(move |freeze| now < freeze.until)
    }

    /// The newest ruling of every gate about `commit` in `environment`.
    pub(crate) fn rulings_of<'a>(
        &'a self,
        commit: &CommitId,
        environment: &Environment,
    ) -> impl Iterator<Item = &'a KeptRuling> {
        let key = (commit.clone(), environment.clone());
        self.rulings
            .range((key.0.clone(), key.1.clone(), String::new())..)
            .take_while(move |((c, e, _), _)| (c, e) == (&key.0, &key.1))
            .map(|(_, kept)| kept)
    }

    fn apply_entry(&mut self, (entry, digest): (&Entry, Digest), arrival: Arrival) {
        let name = entry.actor.name.clone();
        let by = Author { entry: entry.id.clone(), name, at: entry.at, digest: Box::new(digest) };
        match &entry.body {
            Body::RcTagged(rc) => {
                let version = Some(rc.version.clone());
                let (release, commit) = (rc.release.clone(), rc.commit.clone());
                self.rcs.insert(release.clone(), Tagged { release, commit, version, by });
            }
            Body::FinalTagged { release, rc, commit } => {
                let version = self.rcs.get(rc).and_then(|t| t.version.clone());
                let (release, commit) = (release.clone(), commit.clone());
                self.thaw(rc);
                let tagged = Tagged { release, commit, version, by };
                self.final_tags.push(tagged.clone());
                self.finals.insert(tagged.release.clone(), tagged);
            }
            Body::Frozen { release, until, reason } => {
                let (release, reason) = (release.clone(), reason.clone());
                self.thaw(&release);
                let (environment, until) = (entry.environment.clone(), *until);
                self.freezes.push(Freeze { release, environment, until, reason, by });
            }
            Body::Unfrozen { release, .. } => self.thaw(&release.clone()),
            Body::Waived { waiver } => self.waivers.push((waiver.clone(), by)),
            Body::Cleared { clearance, phase } => {
                let record = clearance.clone();
                let kept = KeptClearance { record, phase: *phase, by, spent: None, voided: None };
                self.clearances.insert(clearance.id.clone(), kept);
            }
            Body::Ruled { phase, ruling } => self.keep_ruling(entry, *phase, ruling, by),
            Body::PackWritten { release, pack, verdict } => {
                let release = release.clone();
                self.packs.push(Pack { release, digest: *pack, verdict: *verdict, by });
            }
            Body::RaiseIntended { step, clearance, .. }
            | Body::PromoteIntended { step, clearance, .. } => {
                if let Some(kept) = self.clearances.get_mut(clearance) {
                    kept.spent.get_or_insert(by.clone());
                }
                self.intend(entry, step, &by);
                self.in_environment(entry, &by, arrival);
            }
            Body::StepIntended { step, .. } => self.intend(entry, step, &by),
            Body::LowerIntended { step, .. } => {
                self.intend(entry, step, &by);
                self.in_environment(entry, &by, arrival);
            }
            Body::StepEnded { step, outcome, .. } => self.end_step(step, *outcome),
            Body::RolledBack(_) | Body::RolloutEnded { .. } | Body::Promoted(_) => {
                self.void_and_thaw(entry, &by);
                self.in_environment(entry, &by, arrival);
            }
            Body::RolloutStarted(_)
            | Body::StageBegan(_)
            | Body::Paused(_)
            | Body::Unpaused { .. }
            | Body::Advanced(_)
            | Body::StageDecided(_)
            | Body::Stable { .. } => {
                self.in_environment(entry, &by, arrival);
            }
            // The chain unwraps these before they are folded.
            Body::Reconciled { .. } => {}
        }
    }

    fn intend(&mut self, entry: &Entry, step: &OrcaId, by: &Author) {
        let (environment, intent) = (entry.environment.clone(), entry.body.clone());
        self.dangling.insert(step.clone(), Dangling { environment, intent, by: by.clone() });
    }

    fn end_step(&mut self, step: &OrcaId, outcome: Outcome) {
        let Some(ended) = self.dangling.remove(step) else { return };
        let environment = ended.environment.and_then(|e| self.environments.get_mut(&e));
        if let Some(environment) = environment {
            environment.end_step(step, &ended.intent, outcome);
        }
    }

    fn in_environment(&mut self, entry: &Entry, by: &Author, arrival: Arrival) {
        let Some(name) = &entry.environment else { return };
        let applied: Option<BTreeSet<String>> = match &entry.body {
            Body::Promoted(promoted) => Some(
                self.rulings_of(&promoted.commit, name)
                    .filter(|r| r.record.verdict != Verdict::NotApplicable)
                    .map(|r| r.record.gate.clone())
                    .collect(),
            ),
            _ => None,
        };
        let let_go = match &entry.body {
            Body::Advanced(said) => self.let_go(name, said, by),
            _ => None,
        };
        let environment = self.environments.entry(name.clone()).or_default();
        if let Some(running) = &mut environment.rollout {
            running.advanced.extend(let_go);
        }
        if let Some(applied) = applied {
            environment.applied_gates = applied;
        }
        environment.apply(entry, by, arrival);
    }

    fn keep_ruling(&mut self, entry: &Entry, phase: Phase, ruling: &RulingRecord, by: Author) {
        let seen = |r: &RulingRecord| r.checks.iter().map(|c| c.observed_at).max();
        let subject = &ruling.subject;
        let key = (subject.commit.clone(), subject.environment.clone(), ruling.gate.clone());
        if self.rulings.get(&key).is_some_and(|kept| seen(&kept.record) > seen(ruling)) {
            return;
        }
        let (record, exhibits) = (Arc::new(ruling.clone()), entry.exhibits.clone());
        self.rulings.insert(key, KeptRuling { phase, record, exhibits, by });
    }

    /// A rollback voids every clearance of its environment; it and a promotion lift their freeze, as
    /// far as it was declared there: what becomes of a release in staging frees nobody in production.
    fn void_and_thaw(&mut self, entry: &Entry, by: &Author) {
        use super::entry::RolloutEnd;
        let environment = entry.environment.as_ref().and_then(|e| self.environments.get(e));
        let running = environment.and_then(|e| e.rollout.as_ref()).map(|r| r.started.clone());
        let (is_rollback, release) = match &entry.body {
            Body::RolledBack(back) => {
                let of_rollout = running.as_ref().map(|r| &r.release);
                (true, back.release.as_ref().or(of_rollout))
            }
            Body::RolloutEnded { rollout, end: RolloutEnd::RolledBack, .. } => {
                let mine = running.as_ref().filter(|r| r.rollout == *rollout);
                (true, mine.map(|r| &r.release))
            }
            Body::Promoted(promoted) => (false, Some(&promoted.release)),
            _ => return,
        };
        if let Some(release) = release.cloned() {
            self.freezes.retain(|freeze| {
                let is_here =
                    freeze.environment.is_none() || freeze.environment == entry.environment;
                !(is_here && is_same_line(&freeze.release, &release))
            });
        }
        if is_rollback {
            for kept in self.clearances.values_mut() {
                if Some(&kept.record.subject.subject.environment) == entry.environment.as_ref() {
                    kept.voided.get_or_insert(by.clone());
                }
            }
        }
    }

    fn thaw(&mut self, release: &ReleaseName) {
        self.freezes.retain(|freeze| !is_same_line(&freeze.release, release));
    }
}

/// Whether two release names are candidates, or the final, of one version.
pub(crate) fn is_same_line(a: &ReleaseName, b: &ReleaseName) -> bool {
    fn line(name: &ReleaseName) -> &str {
        name.as_str().split_once("-rc.").map_or(name.as_str(), |(line, _)| line)
    }
    line(a) == line(b)
}

#[cfg(test)]
mod tests {
    use super::super::chain::{Link, verify};
    use super::super::entry::TrafficProof;
    use super::super::fixture::*;
    use super::*;

    #[test]
    fn an_intent_dangles_until_its_outcome() {
        let mut told = Told::new();
        told.live(step_intended("st_1"));
        assert!(told.state().dangling.contains_key(&id("st_1")));
        told.live(step_ended("st_1", Outcome::Done));
        assert!(told.state().dangling.is_empty());
    }

    #[test]
    fn one_id_has_one_content() {
        use base64::Engine as _;
        let carried = |told: &Told, entry: &Entry| {
            let entry_base64 = base64::engine::general_purpose::STANDARD.encode(entry.bytes());
            told.next(None, Body::Reconciled { entry_base64, dsse_base64: None })
        };
        let mut told = Told::new();
        let first = told.tell(None, ruled("db", '4', Verdict::Fail));
        let state = told.state();
        let fault = |entry: &Entry| {
            let mut all = told.bytes();
            all.push(entry.bytes());
            let records = verify(&mut Link::default(), all.iter().map(Vec::as_slice)).unwrap();
            state.refuse_twice(&records[1]).err().map(|error| error.fault)
        };
        let other = told.next(None, ruled("db", '4', Verdict::Pass));
        let forged = Entry { id: first.id.clone(), ..other.clone() };
        let twice = Some(Fault::Twice(first.id.clone()));
        assert_eq!(fault(&forged), twice);
        assert_eq!(fault(&carried(&told, &forged)), twice);
        assert_eq!(fault(&Entry { id: first.id.clone(), ..carried(&told, &other) }), twice);
        // The same once more, or something new, is no fault.
        assert_eq!(fault(&carried(&told, &first)), None);
        assert_eq!(fault(&other), None);
        // Moved behind another entry, as it stands or inside a carrier.
        let moved = Entry { prev_sha256: other.prev_sha256, ..first.clone() };
        assert_ne!(moved.bytes(), first.bytes());
        assert_eq!(fault(&moved), None);
        let apart = Entry { prev_sha256: other.prev_sha256, ..first.clone() };
        assert_eq!(fault(&carried(&told, &apart)), None);
        let own = carried(&told, &other);
        let own = Entry { id: other.id.clone(), ..own };
        assert_eq!(fault(&own), Some(Fault::Twice(other.id)));
    }

    #[test]
    fn freezes_end_by_time_and_by_their_own_release() {
        let mut told = Told::new();
        told.tell(None, Told::frozen("v1.4.0-rc.1", "x"));
        assert_eq!(told.state().freezes_at(at(999)).count(), 1);
        assert_eq!(told.state().freezes_at(at(1_000)).count(), 0);
        told.live(promoted("v1.3.1-rc.1", '3', "d0"));
        assert_eq!(told.state().freezes.len(), 1, "another release does not lift it");
        told.live(promoted("v1.4.0-rc.2", '4', "d3"));
        assert!(told.state().freezes.is_empty());
        // What becomes of it in staging lifts no freeze of production; the final tag does.
        told.live(Told::frozen("v1.4.0-rc.3", "x"));
        told.tell(Some("staging"), promoted("v1.4.0-rc.3", '5', "d4"));
        told.tell(Some("staging"), rolled_back('5', "d4", TrafficProof::Verified));
        assert_eq!(told.state().freezes.len(), 1, "declared elsewhere");
        let (name, rc) = (release("v1.4.0"), release("v1.4.0-rc.3"));
        told.tell(Some("live"), Body::FinalTagged { release: name, rc, commit: commit('5') });
        assert!(told.state().freezes.is_empty());
        // A person stops also what is on its way; lifting that leaves the candidate's own freeze.
        told.tell(None, Told::frozen("v1.5.0-rc.1", "x"));
        told.tell(None, Told::frozen("by-hand", "incident"));
        let newest = |told: &Told| told.state().freezes_at(at(999)).next_back().cloned();
        assert_eq!(newest(&told).unwrap().release, release("by-hand"));
        told.tell(None, Body::Unfrozen { release: release("by-hand"), reason: "over".into() });
        assert_eq!(newest(&told).unwrap().release, release("v1.5.0-rc.1"));
    }

    #[test]
    fn gates_that_applied_at_the_last_promotion_are_known() {
        let mut told = Told::new();
        told.tell(None, ruled("db", '4', Verdict::Pass));
        told.tell(None, ruled("ui", '4', Verdict::NotApplicable));
        told.live(promoted("v1.4.0-rc.1", '4', "d0"));
        told.tell(None, ruled("ui", '4', Verdict::Pass));
        let state = told.state();
        let gates = &state.environments[&environment("production")].applied_gates;
        assert_eq!(gates.iter().collect::<Vec<_>>(), ["db"]);
        assert_eq!(state.rulings_of(&commit('4'), &environment("production")).count(), 2);
    }
}
