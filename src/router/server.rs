//! Listeners, worker threads and the end: health fails first, then the listener closes, then idle
//! connections close at once and open requests finish, at most for the drain limit.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::redact::Secret;

use super::admin;
use super::control::Control;
use super::health::{self, HealthSettings};
use super::persist::{self, Origin, Store};
use super::pool::AddressError;
use super::proxy::{ProxySettings, Worker};
use super::state::Upstream;
use super::testers;

/// Pause after a failed accept, which is usually a lack of file descriptors.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(10);
/// Longest wait for a request's head, and so for the next request on an idle connection.
const HEAD_READ: Duration = Duration::from_secs(75);
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
struct Stop {
    /// Connections finish what they have and close. A plain flag, because each looks at it often.
    closing: AtomicBool,
    accept: CancellationToken,
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
    super::pool::Address::parse(&config.base.url)?;
    let (state, origin) = persist::load(&config.state_file, config.base, config.clock.now());
    warn_about(&origin, &config.state_file);
    let workers = config.workers.max(1);
    let store = Store::new(config.state_file);
    let control = Arc::new(Control::new(state, store, config.clock, workers)?);
    let (public, public_address) = bind(config.listen)?;
    let (admin_listener, admin) = bind(config.admin)?;
    let admin_listener = TcpListener::from_std(admin_listener)
        .map_err(|cause| RouterError::Listen { address: admin, cause })?;
    let stop = Arc::new(Stop::default());
    let mut proxy = config.proxy;
    let derived = testers::secret_of(&config.token);
    proxy.split.tester_secrets.push(Digest::of(derived.expose().as_bytes()));
    let settings = Arc::new(proxy);
    let mut ended = Vec::new();
    for number in 0..workers {
        let listener = public.try_clone().map_err(RouterError::Worker)?;
        let worker = Worker::new(Arc::clone(&control), number, Arc::clone(&settings));
        ended.push(spawn_worker(listener, Arc::new(worker), Arc::clone(&stop), config.drain)?);
    }
    let mut background = JoinSet::new();
    background.spawn(admin::serve(admin_listener, Arc::clone(&control), config.token));
    background.spawn(health::watch(Arc::clone(&control), config.health));
    background.spawn(watch_grants(Arc::clone(&control)));
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
        let listener = StdListener::bind(address)?;
        listener.set_nonblocking(true)?;
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

/// One thread with its own runtime; all threads accept from the same socket.
fn spawn_worker(
    listener: StdListener,
    worker: Arc<Worker>,
    stop: Arc<Stop>,
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
            runtime.block_on(work(listener, worker, stop, drain));
            drop(runtime);
            let _ = done.send(());
        })
        .map_err(RouterError::Worker)?;
    Ok(ended)
}

async fn work(listener: StdListener, worker: Arc<Worker>, stop: Arc<Stop>, drain: DrainSettings) {
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
            () = stop.accept.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => spawn_connection(&worker, &stop, stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "the listener could not accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    // Clients that connected before the listener closed are still answered.
    poll_fn(|cx| {
        while let Poll::Ready(Ok((stream, peer))) = listener.poll_accept(cx) {
            spawn_connection(&worker, &stop, stream, peer);
        }
        Poll::Ready(())
    })
    .await;
    drop(listener);
    worker.tracker.close();
    tokio::select! {
        () = worker.tracker.wait() => {}
        () = stop.now.cancelled() => {}
        () = tokio::time::sleep(drain.limit) => {
            tracing::warn!(open = worker.tracker.len(), "the drain limit cuts open connections");
        }
    }
}

fn spawn_connection(worker: &Arc<Worker>, stop: &Arc<Stop>, stream: TcpStream, peer: SocketAddr) {
    let connection = serve_connection(Arc::clone(worker), Arc::clone(stop), stream, peer);
    worker.tracker.spawn(connection);
}

async fn serve_connection(
    worker: Arc<Worker>,
    stop: Arc<Stop>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    let _ = stream.set_nodelay(true);
    let peer = HeaderValue::from_str(&peer.ip().to_canonical().to_string())
        .expect("an address is a header value");
    let context = Arc::new((worker, peer));
    let service = service_fn(move |request| {
        let context = Arc::clone(&context);
        async move { Ok::<_, Infallible>(context.0.handle(&context.1, request).await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_READ);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = pin!(stop.accept.cancelled());
    let (mut registered, mut told) = (false, false);
    let served = poll_fn(|cx| {
        if !registered {
            // One look leaves this task's waker there; later the plain flag is enough.
            registered = true;
            let _ = closing.as_mut().poll(cx);
        }
        if !told && stop.closing.load(Ordering::Relaxed) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(cx)
    });
    if let Err(error) = served.await {
        tracing::debug!(%error, "a client connection ended early");
    }
}
