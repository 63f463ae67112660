//! What shipping verbs share: the book, the platform, the gates as configured, and how rulings of
//! the ledger become live rulings again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::book::{Book, BookError, Held, Note};
use crate::base::clock::{Entropy, Timestamp};
use crate::base::ids::Environment;
use crate::gate::engine::{self, Bench, Gate, Ruled};
use crate::gate::phase::{GateRequirement, Phase, PhaseRuling};
use crate::gate::ruling::{self, Ruling, Subject};
use crate::gate::waiver::Waiver;
use crate::ledger::entry::Body;
use crate::ledger::fold::State;
use crate::rollout::ports::Platform;

/// Most rollbacks without a ledger that a lease catches up with.
const EPOCHS_MAX: u64 = 64;

/// A gate where a phase has it.
#[derive(Clone)]
pub(crate) struct PhaseGate {
    pub(crate) phase: Phase,
    pub(crate) required: bool,
    pub(crate) gate: Gate,
}

impl PhaseGate {
    pub(crate) fn requirement(&self) -> GateRequirement {
        let checks = self.gate.checks.iter().map(|item| item.check.as_ref());
        GateRequirement::of(self.phase, &self.gate.name, (self.required, self.gate.mode), checks)
    }
}

/// Says one line to people.
pub(crate) type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// The surroundings of a verb that judges or moves.
#[derive(Clone)]
pub(crate) struct Ship {
    pub(crate) book: Arc<dyn Book>,
    pub(crate) bench: Bench,
    pub(crate) entropy: Entropy,
    pub(crate) environment: Environment,
    pub(crate) tell: Tell,
}

/// [`Ship`] with the platform that serves the environment.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) ship: Ship,
    pub(crate) platform: Arc<dyn Platform>,
}

impl Ship {
    pub(crate) fn now(&self) -> Timestamp {
        self.bench.clock.now()
    }

    pub(crate) fn say(&self, text: impl AsRef<str>) {
        (self.tell)(text.as_ref());
    }

    pub(crate) fn note(&self, body: Body) -> Note {
        Note::of(&self.environment, body)
    }

    /// Takes the lease with an epoch above the platform's: every rollback raised it there.
    pub(crate) async fn take_lease_above(&self, epoch: u64) -> Result<Held, BookError> {
        let mut held = self.book.take_lease(&self.environment).await?;
        for _ in 0..EPOCHS_MAX {
            if held.epoch > epoch {
                break;
            }
            held = self.book.take_lease(&self.environment).await?;
        }
        Ok(held)
    }

    /// Runs gates and keeps every ruling with its exhibits.
    pub(crate) async fn judge(
        &self,
        gates: &[PhaseGate],
        subject: &Subject,
    ) -> Result<Vec<Ruled>, BookError> {
        let plain = gates.iter().map(|g| g.gate.clone()).collect();
        let bench = Bench { waivers: self.waivers().await?, ..self.bench.clone() };
        let ruled = engine::run(plain, subject, &bench).await;
        for (gate, item) in gates.iter().zip(&ruled) {
            let ruling = Box::new(item.ruling.record().clone());
            let mut note = self.note(Body::Ruled { phase: gate.phase, ruling });
            note.exhibits =
                item.exhibits.iter().map(crate::gate::exhibit::Exhibit::bytes).collect();
            self.book.keep(note).await?;
        }
        Ok(ruled)
    }

    /// The ledger's waivers that hold now.
    pub(crate) async fn waivers(&self) -> Result<Vec<Waiver>, BookError> {
        Ok(self.book.state().await?.waivers_at(self.now()))
    }

    /// The ledger's rulings about `subject`, judged again from their exhibits.
    pub(crate) async fn recall(&self, state: &State, subject: &Subject) -> Vec<Ruling> {
        let records: Vec<_> = state
            .rulings_of(&subject.commit, &subject.environment)
            .map(|kept| Arc::clone(&kept.record))
            .collect();
        let wanted = records.iter().flat_map(|r| r.checks.iter().map(|c| c.exhibit)).collect();
        let exhibits = self.book.exhibits(wanted).await;
        let waivers = state.waivers_at(self.now());
        records
            .iter()
            .map(|record| {
                ruling::replay(record, &exhibits, &self.bench.rules, (&waivers, self.now()))
            })
            .collect()
    }

    /// How one phase stands now.
    pub(crate) fn phase(
        &self,
        (phase, subject): (Phase, &Subject),
        requirements: &[GateRequirement],
        rulings: &[Ruling],
        applied_before: &BTreeSet<String>,
    ) -> PhaseRuling {
        let at = (phase, subject.clone());
        PhaseRuling::assemble(at, requirements, rulings, applied_before, self.now())
    }
}
