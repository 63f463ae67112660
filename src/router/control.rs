//! The one place where the state changes while the router serves.
//!
//! A raise is written to disk, then served, then acknowledged. A lowering is served first: a slow
//! or full disk delays nothing, and what is served is stored again until the disk has it. Requests
//! that are open keep the routing they started with.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderValue;
use tokio_util::sync::CancellationToken;

use crate::base::clock::{Clock, Entropy, SteadyClock, Timestamp};

use super::metrics::{Fault, RouterMetrics, Shard, snapshot};
use super::patience::Patience;
use super::persist::Store;
use super::pool::{Address, AddressError};
use super::split::{Source, Split};
use super::state::{Refusal, RouterState, Upstream};

/// How long a raise may wait for the disk.
const PERSIST: Duration = Duration::from_secs(1);
/// Time between two attempts to store what a disk did not take, at first and at most.
const STORE_AGAIN: Duration = Duration::from_millis(100);
const STORE_AGAIN_MAX: Duration = Duration::from_secs(5);
/// How long tunnels to a version go on that a lowering took from users.
const TUNNELS_LAST: Duration = Duration::from_secs(2);

/// An upstream as the workers use it.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) upstream: Upstream,
    pub(crate) address: Arc<Address>,
    /// For clients that name no host.
    pub(crate) authority: HeaderValue,
    pub(crate) healthy: Health,
    /// Ends the upgraded connections to it.
    pub(crate) tunnels: CancellationToken,
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
    /// One of a router that listens at `own`.
    fn new(upstream: &Upstream, own: &[SocketAddr]) -> Result<Self, AddressError> {
        let address = Address::parse(&upstream.url)?;
        if own.iter().any(|own| address.leads_to(*own)) {
            return Err(AddressError::Itself(upstream.url.clone()));
        }
        let authority = upstream.url.trim_start_matches("http://").trim_end_matches('/');
        Ok(Self {
            authority: HeaderValue::from_str(authority)
                .map_err(|_| AddressError::Unusable(upstream.url.clone()))?,
            upstream: upstream.clone(),
            address: Arc::new(address),
            healthy: Health::default(),
            tunnels: CancellationToken::new(),
        })
    }

    /// The same, as known so far, for those who come from now on.
    fn anew(&self) -> Self {
        let healthy = Health::default();
        if let Some(ok) = self.healthy.get() {
            healthy.set(ok);
        }
        Self {
            upstream: self.upstream.clone(),
            address: Arc::clone(&self.address),
            authority: self.authority.clone(),
            healthy,
            tunnels: CancellationToken::new(),
        }
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
    /// The newest place of a state of which nobody knows whether the file has it; 0 when all is well.
    unstored: AtomicU64,
    /// Of the machine, and of nobody who sets it: a grant lasts as long as it was given for.
    clock: SteadyClock,
    pub(crate) shards: Vec<Arc<Shard>>,
    patience: Patience,
    /// Where it listens: no upstream that it is told to use.
    own: Vec<SocketAddr>,
    /// Tells this router from all others, in what it sends to upstreams.
    pub(super) id: HeaderValue,
    pub(crate) draining: AtomicBool,
}

impl Control {
    pub(crate) fn new(
        state: RouterState,
        store: Store,
        clock: Clock,
        workers: usize,
    ) -> Result<Self, AddressError> {
        let live = RwLock::new(Arc::new(routing(&state, None, &[])?));
        let id = format!("{:016x}", Entropy::from_system().next_u64());
        Ok(Self {
            state: Mutex::new(state),
            raising: tokio::sync::Mutex::new(()),
            live,
            version: AtomicU64::new(1),
            store: Arc::new(store),
            order: AtomicU64::new(1),
            unstored: AtomicU64::new(0),
            clock: SteadyClock::new(clock),
            shards: (0..workers).map(|_| Arc::new(Shard::default())).collect(),
            patience: Patience::default(),
            own: Vec::new(),
            id: HeaderValue::from_str(&id).expect("digits are a header value"),
            draining: AtomicBool::new(false),
        })
    }

    /// The same, of a router that listens there.
    pub(super) fn listening(self, own: Vec<SocketAddr>) -> Self {
        Self { own, ..self }
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

    /// Whether the state file says what is served.
    pub(crate) fn is_stored(&self) -> bool {
        self.unstored.load(Ordering::SeqCst) == 0
    }

    pub(crate) fn metrics(&self) -> RouterMetrics {
        let generation = self.routing().generation;
        snapshot(self.shards.iter().map(AsRef::as_ref), generation, self.clock.now())
    }

    /// What it is that a client left who had waited for an upstream so long.
    pub(super) fn leaving(&self, waited: Duration, source: Source) -> Fault {
        let is_over = self.patience.is_over(waited, &self.shards, source);
        if is_over { Fault::GaveUp } else { Fault::Abandoned }
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
        routing(&intended, None, &self.own)?;
        self.persist(intended.clone(), order).await.map_err(ChangeError::Persist)?;
        let served = self.serve(|state| {
            let next = change(state)?;
            Ok((next == intended).then_some(next))
        });
        if let Ok(Some((state, place))) = served {
            if place > order + 1 {
                // What was served before may have been stored once more, over this.
                self.unstored.fetch_max(place, Ordering::SeqCst);
            }
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
        let before = self.routing();
        let swapped = Arc::new(routing(&next, Some(&before), &self.own)?);
        for target in left(&before, &swapped, &next) {
            tokio::spawn(async move {
                tokio::time::sleep(TUNNELS_LAST).await;
                target.tunnels.cancel();
            });
        }
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

    /// Stores within the time for it. What failed or took longer may still be there or come there,
    /// so what is served is stored again behind it.
    async fn persist(&self, state: RouterState, order: u64) -> std::io::Result<()> {
        let written = tokio::time::timeout(PERSIST, self.write(state, order)).await;
        let written = written.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
        match &written {
            Ok(()) => self.stored(order),
            Err(_) => {
                self.unstored.fetch_max(order, Ordering::SeqCst);
            }
        }
        written
    }

    fn write(
        &self,
        state: RouterState,
        order: u64,
    ) -> impl Future<Output = std::io::Result<()>> + use<> {
        let (store, now) = (Arc::clone(&self.store), self.now());
        let write = tokio::task::spawn_blocking(move || store.save(&state, order, now));
        async move { write.await.unwrap_or_else(|error| Err(std::io::Error::other(error))) }
    }

    /// The file has what has this place: what was uncertain before it is over.
    fn stored(&self, order: u64) {
        let settled = |unstored| (unstored <= order).then_some(0);
        let _ = self.unstored.fetch_update(Ordering::SeqCst, Ordering::SeqCst, settled);
    }

    /// Stores what a disk did not take, again and again until it does. Never ends; one write at a
    /// time, for as long as it takes.
    pub(crate) async fn keep_stored(&self) {
        let mut pause = STORE_AGAIN;
        loop {
            tokio::time::sleep(pause).await;
            if self.is_stored() {
                pause = STORE_AGAIN;
                continue;
            }
            let (state, order) = self.numbered();
            match self.write(state, order).await {
                Ok(()) => {
                    self.stored(order);
                    tracing::info!("the state is stored again");
                }
                Err(error) => {
                    tracing::warn!(%error, "the state could not be stored; trying again");
                    pause = (pause * 2).min(STORE_AGAIN_MAX);
                }
            }
        }
    }
}

/// Versions that served users and do so no longer, and are no way back either: their tunnels end.
fn left(before: &Routing, after: &Routing, next: &RouterState) -> Vec<Arc<Target>> {
    let canary = before.canary.as_ref().filter(|_| before.split.has_weight());
    let stays = |target: &Arc<Target>| {
        Arc::ptr_eq(target, &after.base)
            || after.canary.as_ref().is_some_and(|canary| Arc::ptr_eq(canary, target))
            || next.previous.as_ref() == Some(&target.upstream)
    };
    let served = std::iter::once(&before.base).chain(canary);
    served.filter(|target| !stays(target)).cloned().collect()
}

/// The routing of a state. Targets that stay keep their connections and health; a canary that loses
/// its users begins anew.
fn routing(
    state: &RouterState,
    before: Option<&Routing>,
    own: &[SocketAddr],
) -> Result<Routing, AddressError> {
    let target = |upstream: &Upstream| {
        let known = before
            .into_iter()
            .flat_map(|b| std::iter::once(&b.base).chain(b.canary.as_ref()))
            .find(|t| t.upstream == *upstream);
        known.map_or_else(|| Target::new(upstream, own).map(Arc::new), |t| Ok(Arc::clone(t)))
    };
    let split = Split::from(state);
    let loses = !split.has_weight() && before.is_some_and(|b| b.split.has_weight());
    let mut canary = state.canary.as_ref().map(target).transpose()?;
    if loses {
        canary = canary.map(|canary| Arc::new(canary.anew()));
    }
    Ok(Routing {
        generation: state.generation,
        closed: state.closed,
        split,
        base: target(&state.base)?,
        canary,
    })
}

#[cfg(test)]
mod tests {
    use super::super::persist::{self, Origin};
    use super::super::state::tests::upstream;
    use super::super::state::{Expected, Staging};
    use super::*;
    use crate::base::units::{Micros, Weight};

    fn seen(state: &RouterState) -> Expected {
        Expected { generation: state.generation, epoch: state.epoch }
    }

    fn staged(state: &RouterState) -> Result<RouterState, Refusal> {
        let (release, audience) = ("v1".into(), super::super::state::Audience::default());
        state.stage(Staging { canary: upstream("two"), release, audience }, seen(state))
    }

    /// A raise that takes too long is refused, and lands on the disk all the same: the state that is
    /// served goes there behind it.
    #[tokio::test]
    async fn a_refused_raise_does_not_stay_on_a_slow_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let state = RouterState::all_base(upstream("one"));
        let control = Control::new(state, Store::new(path.clone()), Clock::System, 1).unwrap();
        control.raise(staged).await.unwrap();
        let full = |state: &RouterState| {
            state.raise(Weight::FULL, Micros::from_secs(60), seen(state), Timestamp::from_us(0))
        };
        let store = Arc::clone(&control.store);
        let (held, is_held) = std::sync::mpsc::channel();
        let (goes_on, wait) = std::sync::mpsc::channel::<()>();
        let disk = std::thread::spawn(move || {
            let _slow = store.hold();
            held.send(()).unwrap();
            wait.recv().unwrap();
        });
        is_held.recv().unwrap();
        let refused = control.raise(full).await.unwrap_err();
        assert!(matches!(refused, ChangeError::Persist(_)), "{refused}");
        assert!(!control.is_stored());
        goes_on.send(()).unwrap();
        disk.join().unwrap();
        let stored = async {
            while !control.is_stored() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            () = stored => {}
            () = control.keep_stored() => {}
        }
        let (kept, origin) = persist::load(&path, upstream("zero"), control.now());
        assert_eq!((kept, origin), (control.state(), Origin::Stored));
        assert_eq!(control.state().weight, Weight::ZERO);
    }

    /// Whom a change takes from users, as far as open tunnels are concerned.
    #[test]
    fn tunnels_end_where_users_must_not_stay() {
        let start = RouterState::all_base(upstream("one"));
        let at_zero = staged(&start).unwrap();
        let now = Timestamp::from_us(0);
        let raise = |bp| {
            let weight = Weight::from_basis_points(bp).unwrap();
            at_zero.raise(weight, Micros::from_secs(60), seen(&at_zero), now).unwrap()
        };
        let full = raise(10_000);
        let promoted = full.promote(seen(&full), now).unwrap();
        let late = now.plus(Duration::from_mins(2));
        for (before, after, expected) in [
            (&full, full.revert(), &["two"][..]),
            (&full, full.tick(late).unwrap(), &["two"]),
            (&full, full.lower(Weight::from_basis_points(1).unwrap()).unwrap(), &[]),
            (&full, promoted.clone(), &[]),
            (&promoted, promoted.restore(None, Timestamp::from_us(0)).unwrap(), &["two"]),
            (&at_zero, at_zero.revert(), &[]),
            (&at_zero, raise(1), &[]),
            (&full, full.with_closed(true), &[]),
        ] {
            let old = routing(before, None, &[]).unwrap();
            let new = routing(&after, Some(&old), &[]).unwrap();
            let gone = left(&old, &new, &after);
            let names: Vec<&str> =
                gone.iter().map(|target| target.upstream.deployment.as_str()).collect();
            assert_eq!(names, expected, "{after:?}");
        }
    }
}
