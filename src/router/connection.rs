//! One client's connection, from its first byte to its last.
//!
//! At the end of the router a request that has come is answered: a connection is told to close
//! after it was read, and one that has not asked anything yet has a moment to do so. Half a head
//! keeps nobody waiting for longer than that.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::proxy::Worker;
use super::server::Stop;
use super::sockets;

/// At the end, how long a connection that has asked nothing yet may still ask.
const FIRST_REQUEST: Duration = Duration::from_millis(100);
/// And after that, how long the rest of a head may take of which something has come.
const REST_OF_HEAD: Duration = Duration::from_secs(1);

/// Who asks. Lives as long as its connection, also after that was upgraded.
#[derive(Debug)]
pub(crate) struct Client {
    /// The address as text.
    pub(super) peer: HeaderValue,
    has_asked: AtomicBool,
    is_gone: AtomicBool,
    _place: OwnedSemaphorePermit,
}

impl Client {
    fn new(peer: SocketAddr, place: OwnedSemaphorePermit) -> Self {
        let peer = HeaderValue::from_str(&peer.ip().to_canonical().to_string())
            .expect("an address is a header value");
        let no = || AtomicBool::new(false);
        Self { peer, has_asked: no(), is_gone: no(), _place: place }
    }

    fn has_asked(&self) -> bool {
        self.has_asked.load(Ordering::Relaxed)
    }

    /// Whether its connection has ended, so that nothing more of a request will come.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }
}

/// Serves it to its end.
pub(super) async fn serve(
    worker: Arc<Worker>,
    stop: Arc<Stop>,
    (stream, peer): (TcpStream, SocketAddr),
    place: OwnedSemaphorePermit,
) {
    let _ = sockets::tune(&stream);
    let client = Arc::new(Client::new(peer, place));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(worker.keep_alive());
    let context = Arc::new((worker, Arc::clone(&client)));
    let service = service_fn(move |request| {
        let context = Arc::clone(&context);
        context.1.has_asked.store(true, Ordering::Relaxed);
        async move { Ok::<_, Infallible>(context.0.handle(&context.1, request).await) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = pin!(connection);
    let mut closing = pin!(stop.accept.cancelled());
    let mut patience: Option<Pin<Box<Sleep>>> = None;
    let mut registered = false;
    let ended = poll_fn(|cx| {
        if !registered {
            // One look leaves this task's waker there; later the plain flag is enough.
            registered = true;
            let _ = closing.as_mut().poll(cx);
        }
        // First what has come is read: a connection that was told while it waits would be closed.
        if let Poll::Ready(served) = connection.as_mut().poll(cx) {
            return Poll::Ready(Some(served));
        }
        if !stop.closing.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if !client.has_asked() {
            let wait = || Box::pin(tokio::time::sleep(FIRST_REQUEST));
            if patience.get_or_insert_with(wait).as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
        Poll::Ready(None)
    });
    let served = if let Some(served) = ended.await {
        served
    } else {
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            served = connection => served,
            () = never_asks(&client) => Ok(()),
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "a client connection ended early");
    }
    // Before hyper lets go of a body that is still open: its end would look like a whole one.
    client.is_gone.store(true, Ordering::Relaxed);
}

/// Ends when a client that had begun to ask has not done so in time; else never.
async fn never_asks(client: &Client) {
    tokio::time::sleep(REST_OF_HEAD).await;
    if client.has_asked() {
        std::future::pending::<()>().await;
    }
}
