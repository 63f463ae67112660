//! The one place where the state changes while the router serves.
//!
//! A raise is written to disk, then served, then acknowledged. A lowering is served first: a slow
//! or full disk delays nothing. Requests that are open keep the routing they started with.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;

use crate::base::clock::{Clock, SteadyClock, Timestamp};

use super::metrics::{RouterMetrics, Shard, snapshot};
use super::persist::Store;
use super::pool::{Address, AddressError};
use super::split::Split;
use super::state::{Refusal, RouterState, Upstream};

/// How long a raise may wait for the disk.
const PERSIST: Duration = Duration::from_secs(1);

/// An upstream as the workers use it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) upstream: Upstream,
    pub(crate) address: Address,
    /// For clients that name no host.
    pub(crate) authority: HeaderValue,
    pub(crate) healthy: Health,
}

/// The last answer of a health check.
#[derive(Debug, Default)]
pub(crate) struct Health(std::sync::atomic::AtomicU8);

impl Health {
    pub(crate) fn set(&self, ok: bool) {
        self.0.store(if ok { 1 } else { 2 }, Ordering::Relaxed);
    }

    /// Nothing before the first check.
    pub(crate) fn get(&self) -> Option<bool> {
        match self.0.load(Ordering::Relaxed) {
            0 => None,
            value => Some(value == 1),
        }
    }
}

impl Target {
    fn new(upstream: &Upstream) -> Result<Self, AddressError> {
        let address = Address::parse(&upstream.url)?;
        let authority = upstream.url.trim_start_matches("http://").trim_end_matches('/');
        Ok(Self {
            authority: HeaderValue::from_str(authority)
                .map_err(|_| AddressError::unusable(&upstream.url))?,
            upstream: upstream.clone(),
            address,
            healthy: Health::default(),
        })
    }
}

/// What the workers serve; replaced as a whole.
#[derive(Debug)]
pub(crate) struct Routing {
    pub(crate) generation: u64,
    pub(crate) closed: bool,
    pub(crate) split: Split,
    pub(crate) base: Arc<Target>,
    pub(crate) canary: Option<Arc<Target>>,
}

/// Why a change did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Address(#[from] AddressError),
    #[error("the state could not be stored: {0}")]
    Persist(std::io::Error),
}

/// A change that happened. `persisted` is false when a lowering could not be stored (yet).
#[derive(Debug, Clone)]
pub(crate) struct Changed {
    pub(crate) state: RouterState,
    pub(crate) persisted: bool,
}

/// State, live routing and the counts of all workers.
#[derive(Debug)]
pub(crate) struct Control {
    state: Mutex<RouterState>,
    /// Raises, one at a time; a lowering does not wait for them.
    raising: tokio::sync::Mutex<()>,
    live: RwLock<Arc<Routing>>,
    /// Grows with every swap of `live`, so that a worker sees cheaply that it must look.
    version: AtomicU64,
    store: Arc<Store>,
    order: AtomicU64,
    /// Of the machine, and of nobody who sets it: a grant lasts as long as it was given for.
    clock: SteadyClock,
    pub(crate) shards: Vec<Arc<Shard>>,
    pub(crate) draining: AtomicBool,
}

impl Control {
    pub(crate) fn new(
        state: RouterState,
        store: Store,
        clock: Clock,
        workers: usize,
    ) -> Result<Self, AddressError> {
        let live = RwLock::new(Arc::new(routing(&state, None)?));
        Ok(Self {
            state: Mutex::new(state),
            raising: tokio::sync::Mutex::new(()),
            live,
            version: AtomicU64::new(1),
            store: Arc::new(store),
            order: AtomicU64::new(1),
            clock: SteadyClock::new(clock),
            shards: (0..workers).map(|_| Arc::new(Shard::default())).collect(),
            draining: AtomicBool::new(false),
        })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn state(&self) -> RouterState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn routing(&self) -> Arc<Routing> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    pub(crate) fn metrics(&self) -> RouterMetrics {
        let generation = self.routing().generation;
        snapshot(self.shards.iter().map(AsRef::as_ref), generation, self.clock.now())
    }

    /// A change that may raise exposure: decided, stored, decided again on what the state is by
    /// then, served.
    pub(crate) async fn raise(
        &self,
        change: impl Fn(&RouterState) -> Result<RouterState, Refusal>,
    ) -> Result<Changed, ChangeError> {
        let _one_at_a_time = self.raising.lock().await;
        let (state, order) = self.numbered();
        let intended = change(&state)?;
        routing(&intended, None)?;
        self.persist(intended.clone(), order).await.map_err(ChangeError::Persist)?;
        let served = self.serve(|state| {
            let next = change(state)?;
            Ok((next == intended).then_some(next))
        });
        if let Ok(Some((state, _))) = served {
            return Ok(Changed { state, persisted: true });
        }
        // A lowering came between: what it left is stored again, and the raise is judged on it.
        let (state, order) = self.numbered();
        self.persist(state.clone(), order).await.map_err(ChangeError::Persist)?;
        served?;
        let (expected, current) = (intended.generation.saturating_sub(1), state.generation);
        Err(Refusal::StaleGeneration { expected, current }.into())
    }

    /// A change that lowers exposure: served at once, stored as soon as the disk allows.
    pub(crate) async fn lower(
        &self,
        change: impl FnOnce(&RouterState) -> Result<RouterState, Refusal>,
    ) -> Result<Changed, ChangeError> {
        let (state, order) = self
            .serve(|state| change(state).map(Some).map_err(ChangeError::from))?
            .unwrap_or_else(|| self.numbered());
        let stored = self.persist(state.clone(), order).await;
        if let Err(error) = &stored {
            tracing::error!(%error, "the lowered weight is served but could not be stored");
        }
        Ok(Changed { state, persisted: stored.is_ok() })
    }

    /// Ends grants whose time has come.
    pub(crate) async fn tick(&self) -> Option<Changed> {
        let now = self.clock.now();
        self.state().tick(now)?;
        let changed =
            self.lower(|state| Ok(state.tick(now).unwrap_or_else(|| state.clone()))).await.ok()?;
        tracing::warn!(generation = changed.state.generation, "the grant ended: all users on base");
        Some(changed)
    }

    /// Decides and swaps under one short lock, so that no two changes see the same state and none
    /// is stored over a later one: with the state comes its place among all that are stored.
    fn serve(
        &self,
        change: impl FnOnce(&RouterState) -> Result<Option<RouterState>, ChangeError>,
    ) -> Result<Option<(RouterState, u64)>, ChangeError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(next) = change(&state)? else { return Ok(None) };
        let swapped = Arc::new(routing(&next, Some(&self.routing()))?);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = swapped;
        self.version.fetch_add(1, Ordering::Release);
        *state = next.clone();
        Ok(Some((next, self.order.fetch_add(1, Ordering::SeqCst))))
    }

    /// The state, and its place among all that are stored.
    fn numbered(&self) -> (RouterState, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.clone(), self.order.fetch_add(1, Ordering::SeqCst))
    }

    async fn persist(&self, state: RouterState, order: u64) -> std::io::Result<()> {
        let store = Arc::clone(&self.store);
        let now = self.now();
        let write = tokio::task::spawn_blocking(move || store.save(&state, order, now));
        match tokio::time::timeout(PERSIST, write).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(std::io::Error::other(error)),
            Err(_) => Err(std::io::ErrorKind::TimedOut.into()),
        }
    }
}

/// The routing of a state. Targets that stay keep their connections and health.
fn routing(state: &RouterState, before: Option<&Routing>) -> Result<Routing, AddressError> {
    let target = |upstream: &Upstream| {
        let known = before
            .into_iter()
            .flat_map(|b| std::iter::once(&b.base).chain(b.canary.as_ref()))
            .find(|t| t.upstream == *upstream);
        known.map_or_else(|| Target::new(upstream).map(Arc::new), |t| Ok(Arc::clone(t)))
    };
    Ok(Routing {
        generation: state.generation,
        closed: state.closed,
        split: Split::from(state),
        base: target(&state.base)?,
        canary: state.canary.as_ref().map(target).transpose()?,
    })
}
