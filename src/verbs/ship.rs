//! What shipping verbs share: the book, the platform, the gates as configured, and how rulings of
//! the ledger become live rulings again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::book::{Book, BookError, Held, Note};
use super::trusted::{self, TrustRoot};
use crate::base::clock::{Entropy, Timestamp};
use crate::base::dsse::PublicKey;
use crate::base::ids::{CommitId, Environment};
use crate::gate::engine::{self, Bench, Gate, Ruled};
use crate::gate::phase::{GateRequirement, Phase, PhaseRuling};
use crate::gate::ruling::{self, Ruling, Subject};
use crate::gate::waiver::{Role, Waiver};
use crate::ledger::entry::Body;
use crate::ledger::fold::State;
use crate::release::calendar::Blackout;
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
        GateRequirement::of(self.phase, self.required, &self.gate)
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
    /// Windows in which nothing is released.
    pub(crate) blackouts: Vec<Blackout>,
    /// Where trust is read from.
    pub(crate) trust: Arc<dyn TrustRoot>,
    /// With which key this orca signs, where it has one.
    pub(crate) signer: Option<PublicKey>,
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

    /// Runs gates and keeps every ruling with its exhibits. Who raises later recalls them, so what
    /// this orca signs must count then.
    pub(crate) async fn judge(
        &self,
        gates: &[PhaseGate],
        subject: &Subject,
    ) -> Result<Vec<Ruled>, BookError> {
        let ruled = self.run(gates, subject).await?;
        Ok(trusted::judged_here(self, &subject.commit, &trusted::RULES, ruled).await)
    }

    /// Runs gates that are run again before each raise, so nobody recalls them: a person may too.
    pub(crate) async fn judge_at_hand(
        &self,
        gates: &[PhaseGate],
        subject: &Subject,
    ) -> Result<Vec<Ruled>, BookError> {
        let ruled = self.run(gates, subject).await?;
        Ok(trusted::judged_here(self, &subject.commit, &Role::ALL, ruled).await)
    }

    async fn run(&self, gates: &[PhaseGate], subject: &Subject) -> Result<Vec<Ruled>, BookError> {
        let waivers = self.waivers(&subject.commit).await?;
        let ruled = self.see(gates, subject, waivers).await;
        self.keep_rulings(gates, &ruled).await?;
        Ok(ruled)
    }

    /// Runs gates under these waivers and keeps nothing.
    pub(crate) async fn see(
        &self,
        gates: &[PhaseGate],
        subject: &Subject,
        waivers: Vec<Waiver>,
    ) -> Vec<Ruled> {
        let plain = gates.iter().map(|g| g.gate.clone()).collect();
        let bench = Bench { waivers, ..self.bench.clone() };
        engine::run(plain, subject, &bench).await
    }

    /// Keeps the rulings of these gates with their exhibits.
    pub(crate) async fn keep_rulings(
        &self,
        gates: &[PhaseGate],
        ruled: &[Ruled],
    ) -> Result<(), BookError> {
        for (gate, item) in gates.iter().zip(ruled) {
            let ruling = Box::new(item.ruling.record().clone());
            let mut note = self.note(Body::Ruled { phase: gate.phase, ruling });
            note.exhibits =
                item.exhibits.iter().map(crate::gate::exhibit::Exhibit::bytes).collect();
            self.book.keep(note).await?;
        }
        Ok(())
    }

    /// The ledger's waivers that hold now, as far as trust lets them count for this candidate.
    pub(crate) async fn waivers(&self, candidate: &CommitId) -> Result<Vec<Waiver>, BookError> {
        let state = self.book.state().await?;
        trusted::waivers(self, &state, candidate).await
    }

    /// The ledger's rulings about `subject`, judged again from their exhibits, as far as who wrote
    /// them is trusted: the one place where stored rulings become live ones.
    pub(crate) async fn recall(
        &self,
        state: &State,
        subject: &Subject,
    ) -> Result<Vec<Ruling>, BookError> {
        let kept: Vec<_> =
            state.rulings_of(&subject.commit, &subject.environment).cloned().collect();
        let records = kept.iter().map(|kept| &kept.record);
        let wanted = records.flat_map(|r| r.checks.iter().map(|c| c.exhibit)).collect();
        let exhibits = self.book.exhibits(wanted).await;
        let waivers = trusted::waivers(self, state, &subject.commit).await?;
        let (rules, now) = (&self.bench.rules, self.now());
        let advances = trusted::advances(self, state, subject).await?;
        let replayed = kept.into_iter().map(|kept| {
            let ruling = ruling::replay(&kept.record, &exhibits, rules, (&waivers, now));
            // Only what is exactly as it was when somebody answered for it.
            let same = *ruling.record() == *kept.record;
            let advance = advances.iter().find(|advance| same && advance.is_about(&kept));
            let ruling = match advance {
                Some(advance) => ruling.advanced(&advance.by.name, &advance.reason),
                None => ruling,
            };
            (ruling, kept.by)
        });
        Ok(trusted::rulings(self, &subject.commit, replayed.collect()).await)
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
