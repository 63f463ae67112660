//! A ledger in memory and a platform that is scripted, for tests of verbs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{DeploymentId, Environment, OrcaId};
use crate::base::units::{Micros, Weight};
use crate::gate::clearance::Warrant;
use crate::ledger::entry::Entry;
use crate::ledger::fixture::{Told, deployment, id};
use crate::ledger::fold::State;
use crate::ledger::lease::Lease;
use crate::rollout::ports::{
    Arm, Capabilities, Door, Identity, Known, Lowering, Measures, Platform, PlatformError,
    PlatformState, ProbeAnswer, PromoteOrder, Raise, Samples, StageOrder, Weights,
};
use crate::verbs::book::{Book, BookError, Held, Note, RawEntry, Sync, Unwritten};

/// Keeps what it is told, in memory, unless that is full.
pub(crate) struct Memory {
    pub(crate) told: Mutex<Told>,
    pub(crate) is_full: AtomicBool,
}

impl Memory {
    pub(crate) fn new(told: Told) -> Self {
        Self { told: Mutex::new(told), is_full: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Book for Memory {
    async fn state(&self) -> Result<Arc<State>, BookError> {
        Ok(Arc::new(self.told.lock().unwrap().state()))
    }

    async fn synced(&self) -> Result<Arc<State>, BookError> {
        self.state().await
    }

    async fn decide(&self, note: Note) -> Result<Entry, BookError> {
        self.keep(note).await
    }

    async fn keep(&self, note: Note) -> Result<Entry, BookError> {
        if self.is_full.load(Ordering::SeqCst) {
            let text = "no space left".to_owned();
            return Err(BookError::Unwritten(Unwritten::Disk(text)));
        }
        Ok(self.told.lock().unwrap().tell(Some("production"), note.body))
    }

    async fn keep_at_once(&self, note: Note) -> Result<(), BookError> {
        self.keep(note).await.map(|_| ())
    }

    async fn share(&self) -> Sync {
        Sync::Synced
    }

    async fn exhibits(&self, _: Vec<Digest>) -> BTreeMap<Digest, Vec<u8>> {
        BTreeMap::new()
    }

    async fn raw_entries_of(&self, _: Vec<Digest>) -> Result<Vec<RawEntry>, BookError> {
        Ok(Vec::new())
    }

    async fn raw_entries(&self) -> Result<Vec<RawEntry>, BookError> {
        Ok(Vec::new())
    }

    async fn take_lease(&self, _: &Environment) -> Result<Held, BookError> {
        Err(BookError::Refused("ci holds the lease".to_owned()))
    }

    async fn renew_lease(&self, at: &Environment, _: &Held) -> Result<Held, BookError> {
        self.take_lease(at).await
    }

    async fn release_lease(&self, _: &Environment, _: &Held) {}

    async fn preempt_lease(&self, _: &Environment) -> Result<Held, BookError> {
        Ok(Held { epoch: 9, expires_at: Timestamp::from_us(0) })
    }

    async fn lease(&self, _: &Environment) -> Result<Option<Lease>, BookError> {
        Ok(None)
    }

    async fn head(&self) -> Result<Option<Digest>, BookError> {
        Ok(None)
    }

    fn id(&self, kind: &str) -> OrcaId {
        id(&format!("{kind}_9"))
    }
}

/// Does what it is asked, and counts. The first `blind` readings of traffic show the canary.
pub(crate) struct Scripted {
    pub(crate) state: Mutex<PlatformState>,
    pub(crate) blind: Mutex<u32>,
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) down: bool,
    /// How long it takes to say what serves.
    pub(crate) slow: Mutex<Duration>,
}

impl Scripted {
    pub(crate) fn at(base: &str, previous: Option<&str>, went_back: bool) -> Self {
        let known = |name: &str| Known { deployment: deployment(name), commit: None };
        let state = PlatformState {
            base: deployment(base),
            base_commit: None,
            canary: None,
            previous: previous.map(known),
            went_back,
            lowered_by: None,
            lowered: None,
            weight: Weight::ZERO,
            generation: 1,
            epoch: 1,
            grant_until: None,
            stored: true,
            closed: false,
        };
        let (blind, calls) = (Mutex::new(0), Mutex::new(Vec::new()));
        Self { state: Mutex::new(state), blind, calls, down: false, slow: Mutex::default() }
    }

    fn went(&self, call: String, base: Option<&Warrant>) -> Result<PlatformState, PlatformError> {
        self.calls.lock().unwrap().push(call);
        if self.down {
            let (platform, detail) = ("it".to_owned(), "connection refused".to_owned());
            return Err(PlatformError::Unavailable { platform, detail });
        }
        let mut state = self.state.lock().unwrap();
        if let Some(warrant) = base {
            state.base = warrant.deployment().clone();
        }
        (state.weight, state.went_back) = (Weight::ZERO, true);
        Ok(state.clone())
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

#[async_trait]
impl Platform for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            weights: Weights::Any,
            holds_grant: true,
            measures: Measures::UsersAndProbes,
            stickiness: String::new(),
            state_holder: "it".to_owned(),
            abort_cost: String::new(),
        }
    }

    async fn look(&self) -> Result<PlatformState, PlatformError> {
        let slow = *self.slow.lock().unwrap();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        Ok(self.state.lock().unwrap().clone())
    }

    async fn stage(&self, _: &StageOrder) -> Result<PlatformState, PlatformError> {
        self.look().await
    }

    async fn raise(&self, _: Raise) -> Result<PlatformState, PlatformError> {
        self.look().await
    }

    async fn renew(&self, _: Micros, _: u64) -> Result<PlatformState, PlatformError> {
        self.look().await
    }

    async fn lower_to_base(
        &self,
        _: Option<&DeploymentId>,
        _: Lowering,
    ) -> Result<PlatformState, PlatformError> {
        self.went("lower".to_owned(), None)
    }

    async fn promote(&self, _: PromoteOrder) -> Result<PlatformState, PlatformError> {
        self.look().await
    }

    async fn revert(&self, warrant: &Warrant) -> Result<PlatformState, PlatformError> {
        self.went(format!("revert to {}", warrant.deployment()), Some(warrant))
    }

    async fn samples(&self) -> Result<Samples, PlatformError> {
        let (base, canary) = Default::default();
        Ok(Samples { at: Timestamp::from_us(0), base, canary })
    }

    async fn door(&self, _: Arm) -> Result<Door, PlatformError> {
        Ok(Door { url: String::new(), headers: Vec::new(), proof: None })
    }

    async fn identity(&self, _: Arm) -> Result<Option<Identity>, PlatformError> {
        Ok(None)
    }

    async fn probe_keys(&self, count: u32) -> Result<Vec<ProbeAnswer>, PlatformError> {
        let mut blind = self.blind.lock().unwrap();
        let arm = if *blind > 0 { Arm::Canary } else { Arm::Base };
        *blind = blind.saturating_sub(1);
        let answer = |n| ProbeAnswer { key: format!("k{n}"), arm: Some(arm), commit: None };
        Ok((0..count).map(answer).collect())
    }
}

/// A platform that answers everything and knows where each version is asked.
pub(crate) fn doors() -> impl Platform {
    Scripted::at("d1", None, false)
}
