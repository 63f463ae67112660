//! One process: its name, its clone, its clock, and whether it still lives.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::gates::{self, SimGate};
use super::platform::SimPlatform;
use super::storage::SimStorage;
use super::world::{Shared, World};
use crate::base::clock::{Clock, Entropy};
use crate::base::ids::Environment;
use crate::base::redact::Redactor;
use crate::cli::rules;
use crate::gate::engine::Bench;
use crate::ledger::entry::Actor;
use crate::ledger::store::{Ledger, Writer};
use crate::rollout::ports::Platform;
use crate::verbs::book::Book;
use crate::verbs::ledger_book::LedgerBook;
use crate::verbs::ship::{Fleet, Ship};

pub(super) const ENVIRONMENT: &str = "production";

/// A process of orca.
#[derive(Clone)]
pub(super) struct Orca {
    pub(super) name: String,
    pub(super) world: Shared,
    pub(super) clone: usize,
    /// Cancelled when the process dies: nothing of it has an effect from then on.
    pub(super) dead: CancellationToken,
    /// SIGTERM.
    pub(super) signal: CancellationToken,
    skew_us: i64,
}

impl Orca {
    pub(super) fn new(name: &str, clone: usize, world: &Shared) -> Self {
        let skew_us = {
            let mut world = lock(world);
            world.audit.starts(name);
            world.git.clones[clone].used = true;
            world.skew_us(name)
        };
        Self {
            name: name.to_owned(),
            world: Arc::clone(world),
            clone,
            dead: CancellationToken::new(),
            signal: CancellationToken::new(),
            skew_us,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, World> {
        lock(&self.world)
    }

    /// Waits for ever when the process is dead.
    pub(super) async fn alive(&self) {
        if self.dead.is_cancelled() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn clock(&self) -> Clock {
        let world = self.lock();
        Clock::Simulated { start: world.start, at: world.begins.plus_us(self.skew_us) }
    }

    pub(super) fn environment() -> Environment {
        Environment::new(ENVIRONMENT).unwrap()
    }

    pub(super) fn platform(&self) -> Arc<dyn Platform> {
        Arc::new(SimPlatform { orca: self.clone() })
    }

    /// Every process has its own: no two give the same id.
    fn entropy(&self, what: &str) -> Entropy {
        let mut world = self.lock();
        let place = world.place(&self.name, what);
        Entropy::seeded(world.dice.number(&place))
    }

    /// The real book over the false storage.
    pub(super) fn book(&self) -> Arc<dyn Book> {
        self.lock().audit.deeds(&self.name).has_book = true;
        let entropy = self.entropy("ids");
        let ledger = self.ledger(entropy.clone());
        let own = self.clone();
        Arc::new(LedgerBook::beside(ledger, entropy, move || own.ledger_pace()))
    }

    pub(super) fn ledger(&self, entropy: Entropy) -> Ledger {
        let writer = Writer {
            clock: self.clock(),
            entropy,
            actor: Actor { name: self.name.clone(), role: None },
            holder: self.name.clone(),
            redactor: Redactor::default(),
            key: None,
            orca: "simulated".to_owned(),
        };
        Ledger::open(Box::new(SimStorage { orca: self.clone() }), writer)
    }

    /// How long the ledger's thread takes for its next job.
    fn ledger_pace(&self) -> Duration {
        let mut world = self.lock();
        let place = world.place(&self.name, "ledger");
        let usual = Duration::from_micros(200 + world.dice.below(&place, 5_000));
        let chance = world.luck.slow_ledger;
        if world.misfortune(&place, chance, "the ledger's disk and remote are slow for 4 s") {
            world.audit.disk_trouble(&self.name);
            return Duration::from_secs(4);
        }
        usual
    }

    pub(super) fn fleet(&self) -> Fleet {
        let entropy = self.entropy("entropy");
        let story = self.clone();
        let ship = Ship {
            book: self.book(),
            bench: Bench {
                clock: self.clock(),
                rules: Arc::new(rules::all().with::<SimGate>()),
                redactor: Redactor::default(),
                waivers: Vec::new(),
                cancel: self.signal.clone(),
                events: None,
            },
            entropy,
            environment: Self::environment(),
            tell: Arc::new(move |text: &str| story.lock().tell(&story.name, text)),
            blackouts: Vec::new(),
            trust: Arc::new(super::repository::NoTrust),
            signer: None,
        };
        Fleet { ship, platform: self.platform() }
    }

    pub(super) fn gates(&self) -> Vec<crate::verbs::ship::PhaseGate> {
        gates::configured(self)
    }
}

pub(super) fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap_or_else(PoisonError::into_inner)
}
