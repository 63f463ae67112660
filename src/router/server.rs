//! Listeners, worker threads and the end: health fails first, then the listener closes, then idle
//! connections close at once and open requests finish, at most for the drain limit.

use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::redact::Secret;

use super::control::Control;
use super::health::{self, HealthSettings};
use super::persist::{self, Origin, Store};
use super::pool::{Address, AddressError};
use super::proxy::{ProxySettings, Worker};
use super::sockets::{self, Budget, Places};
use super::state::Upstream;
use super::{admin, connection, testers};

/// Pause after a failed accept, which is usually a lack of file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// How often grants are looked at.
const TICK: Duration = Duration::from_millis(100);

/// How the router ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainSettings {
    /// Health fails and the listener stays open, so that a balancer in front can look away.
    pub(crate) delay: Duration,
    /// Open requests get this long after the listener closed.
    pub(crate) limit: Duration,
}

/// Everything a router is started with.
#[derive(Debug)]
pub(crate) struct RouterConfig {
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Served when the state file is missing or corrupt.
    pub(crate) base: Upstream,
    pub(crate) state_file: PathBuf,
    pub(crate) token: Secret,
    pub(crate) proxy: ProxySettings,
    pub(crate) health: HealthSettings,
    pub(crate) drain: DrainSettings,
    pub(crate) workers: usize,
    pub(crate) clock: Clock,
}

/// Why a router did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RouterError {
    #[error("the admin address {0} is not loopback")]
    AdminNotLoopback(SocketAddr),
    #[error("the admin token is empty")]
    NoToken,
    #[error(transparent)]
    Address(#[from] AddressError),
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error("cannot start a worker: {0}")]
    Worker(std::io::Error),
}

/// A router that serves.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) public: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// How the state came to be.
    pub(crate) origin: Origin,
    pub(crate) control: Arc<Control>,
    stop: Arc<Stop>,
    drain: DrainSettings,
    ended: Vec<tokio::sync::oneshot::Receiver<()>>,
    background: JoinSet<()>,
}

#[derive(Debug, Default)]
pub(super) struct Stop {
    /// Connections finish what they have and close. A plain flag, because each looks at it often.
    pub(super) closing: AtomicBool,
    pub(super) accept: CancellationToken,
    now: CancellationToken,
}

/// Binds, reads the state and starts to serve. Needs a tokio runtime for admin, health and grants.
pub(crate) fn start(config: RouterConfig) -> Result<Running, RouterError> {
    if !config.admin.ip().is_loopback() {
        return Err(RouterError::AdminNotLoopback(config.admin));
    }
    if config.token.expose().is_empty() {
        return Err(RouterError::NoToken);
    }
    let base = Address::parse(&config.base.url)?;
    let (public, public_address) = bind(config.listen)?;
    let (admin_listener, admin) = bind(config.admin)?;
    let own = vec![public_address, admin];
    if own.iter().any(|own| base.leads_to(*own)) {
        return Err(AddressError::Itself(config.base.url).into());
    }
    let (state, origin) = persist::load(&config.state_file, config.base, config.clock.now());
    warn_about(&origin, &config.state_file);
    let workers = config.workers.max(1);
    let store = Store::new(config.state_file);
    let control = Control::new(state, store, config.clock, workers)?.listening(own);
    let control = Arc::new(control);
    let admin_listener = TcpListener::from_std(admin_listener)
        .map_err(|cause| RouterError::Listen { address: admin, cause })?;
    let stop = Arc::new(Stop::default());
    let mut proxy = config.proxy;
    let derived = testers::secret_of(&config.token);
    proxy.split.tester_secrets.push(Digest::of(derived.expose().as_bytes()));
    let settings = Arc::new(proxy);
    let budget = Budget::of_process(workers);
    let places = Arc::new(Places::new(budget.clients));
    let mut ended = Vec::new();
    for number in 0..workers {
        let listener = public.try_clone().map_err(RouterError::Worker)?;
        let settings = Arc::clone(&settings);
        let worker = Arc::new(Worker::new(Arc::clone(&control), number, settings, budget.idle));
        let (stop, places) = (Arc::clone(&stop), Arc::clone(&places));
        ended.push(spawn_worker(listener, Door { worker, stop, places }, config.drain)?);
    }
    let mut background = JoinSet::new();
    background.spawn(admin::serve(admin_listener, Arc::clone(&control), config.token));
    background.spawn(health::watch(Arc::clone(&control), config.health));
    background.spawn(watch_grants(Arc::clone(&control)));
    let keeping = Arc::clone(&control);
    background.spawn(async move { keeping.keep_stored().await });
    Ok(Running {
        public: public_address,
        admin,
        origin,
        control,
        stop,
        drain: config.drain,
        ended,
        background,
    })
}

impl Running {
    /// Ends at once, whatever is open.
    pub(crate) fn stop_now(&self) {
        self.stop.closing.store(true, Ordering::SeqCst);
        self.stop.accept.cancel();
        self.stop.now.cancel();
    }

    /// Health fails, then after the delay the listener closes and open requests finish.
    pub(crate) fn drain(&self) -> impl Future<Output = ()> + Send + 'static {
        self.control.draining.store(true, Ordering::SeqCst);
        let (stop, delay) = (Arc::clone(&self.stop), self.drain.delay);
        async move {
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = stop.accept.cancelled() => {}
            }
            stop.closing.store(true, Ordering::SeqCst);
            stop.accept.cancel();
        }
    }

    /// Waits until every worker has ended. The admin API answers until then.
    pub(crate) async fn ended(&mut self) {
        for worker in self.ended.drain(..) {
            // A worker that panicked has ended, too.
            let _ = worker.await;
        }
        self.background.shutdown().await;
    }
}

fn warn_about(origin: &Origin, path: &std::path::Path) {
    let path = path.display();
    match origin {
        Origin::Stored => {}
        Origin::Missing => {
            tracing::warn!(%path, "no state file: all traffic to the configured base");
        }
        Origin::GrantEnded => {
            tracing::warn!(%path, "the stored grant has ended: all users on base");
        }
        Origin::Corrupt(reason) => {
            tracing::error!(%path, %reason, "STATE FILE UNUSABLE: all traffic to the configured base");
        }
    }
}

fn bind(address: SocketAddr) -> Result<(StdListener, SocketAddr), RouterError> {
    let bound = || {
        let listener = sockets::listen(address)?.into_std()?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound().map_err(|cause| RouterError::Listen { address, cause })
}

async fn watch_grants(control: Arc<Control>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        control.tick().await;
    }
}

/// What a worker opens to clients.
#[derive(Debug, Clone)]
struct Door {
    worker: Arc<Worker>,
    stop: Arc<Stop>,
    places: Arc<Places>,
}

impl Door {
    /// The next client, once there is a place for it.
    async fn accept(
        &self,
        listener: &TcpListener,
    ) -> std::io::Result<((TcpStream, SocketAddr), OwnedSemaphorePermit)> {
        let place = self.places.take().await.ok_or(std::io::ErrorKind::BrokenPipe)?;
        Ok((listener.accept().await?, place))
    }

    fn let_in(&self, accepted: (TcpStream, SocketAddr), place: OwnedSemaphorePermit) {
        let (worker, stop) = (Arc::clone(&self.worker), Arc::clone(&self.stop));
        self.worker.tracker.spawn(connection::serve(worker, stop, accepted, place));
    }
}

/// One thread with its own runtime; all threads accept from the same socket.
fn spawn_worker(
    listener: StdListener,
    door: Door,
    drain: DrainSettings,
) -> Result<tokio::sync::oneshot::Receiver<()>, RouterError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(RouterError::Worker)?;
    let (done, ended) = tokio::sync::oneshot::channel();
    std::thread::Builder::new()
        .name("orca-router".into())
        .spawn(move || {
            runtime.block_on(work(listener, door, drain));
            drop(runtime);
            let _ = done.send(());
        })
        .map_err(RouterError::Worker)?;
    Ok(ended)
}

async fn work(listener: StdListener, door: Door, drain: DrainSettings) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a worker cannot use the listener");
            return;
        }
    };
    loop {
        tokio::select! {
            biased;
            () = door.stop.accept.cancelled() => break,
            accepted = door.accept(&listener) => match accepted {
                Ok((accepted, place)) => door.let_in(accepted, place),
                Err(error) => {
                    tracing::warn!(%error, "the listener could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    if let Err(error) = let_in_who_waits(listener, &door) {
        tracing::warn!(%error, "clients that waited to be let in are turned away");
    }
    let tracker = &door.worker.tracker;
    tracker.close();
    tokio::select! {
        () = tracker.wait() => {}
        () = door.stop.now.cancelled() => {}
        () = tokio::time::sleep(drain.limit) => {
            tracing::warn!(open = tracker.len(), "the drain limit cuts open connections");
        }
    }
}

/// Clients that connected before the listener closed are still answered, as far as there is room. The
/// system is asked who they are: the runtime may not have heard of them yet.
fn let_in_who_waits(listener: TcpListener, door: &Door) -> std::io::Result<()> {
    let listener = listener.into_std()?;
    while let Some(place) = door.places.try_take() {
        let (stream, peer) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
            // That one left before anybody looked.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        stream.set_nonblocking(true)?;
        door.let_in((TcpStream::from_std(stream)?, peer), place);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::split::SplitSettings;
    use super::super::state::RouterState;
    use super::super::state::tests::upstream;
    use super::*;

    /// The runtime learns who waits when it next asks the system, which it has not done here.
    #[tokio::test]
    async fn who_connected_before_the_end_is_let_in_though_nobody_has_looked() {
        let (listener, address) = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let _client = std::net::TcpStream::connect(address).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("state.json"));
        let state = RouterState::all_base(upstream("one"));
        let control = Control::new(state, store, Clock::System, 1).unwrap();
        let settings = ProxySettings {
            split: SplitSettings::default(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(2),
            keep_alive: Duration::from_secs(2),
            health_path: "/.orca/health".into(),
        };
        let worker = Arc::new(Worker::new(Arc::new(control), 0, Arc::new(settings), 1));
        let (stop, places) = (Arc::new(Stop::default()), Arc::new(Places::new(4)));
        let door = Door { worker, stop, places };
        let_in_who_waits(listener, &door).unwrap();
        assert_eq!(door.worker.tracker.len(), 1);
    }
}
