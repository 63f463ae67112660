//! Connections to upstreams, kept by one worker and used again.
//!
//! A connection goes back only after its answer's body was read to the end; one that was cut
//! short is closed. A request that an old connection refused unsent goes out on a fresh one.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::base::{clock, dial};

use super::sockets;
use super::upload::Upload;

/// An older connection is not used again: common servers close theirs after 5 s without a
/// request, and a request sent into that moment would be lost.
const IDLE_AGE_MAX: Duration = Duration::from_secs(4);
/// How long an address that hesitated is asked after the others of its name.
const OUTRUN_FOR: Duration = Duration::from_secs(30);

/// Host and port of an upstream.
#[derive(Debug)]
pub(crate) struct Address {
    host: String,
    port: u16,
    /// Of the addresses behind that name those that were outrun lately, and when.
    outrun: Mutex<Vec<(SocketAddr, Instant)>>,
}

/// An upstream URL that the router cannot use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("upstream '{0}' is not an address like http://127.0.0.1:3000")]
    Unusable(String),
    #[error("upstream '{0}' is this router itself")]
    Itself(String),
}

impl Address {
    /// Reads `http://host[:port]`, without path, query or credentials.
    pub(crate) fn parse(url: &str) -> Result<Self, AddressError> {
        let error = || AddressError::Unusable(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| error())?;
        let authority = uri.authority().ok_or_else(error)?;
        let bare = uri.path() == "/" && uri.query().is_none();
        if uri.scheme_str() != Some("http") || authority.as_str().contains('@') || !bare {
            return Err(error());
        }
        let port = if authority.as_str() == authority.host() {
            80
        } else {
            authority.port_u16().ok_or_else(error)?
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || port == 0 {
            return Err(error());
        }
        Ok(Self { host, port, outrun: Mutex::default() })
    }

    /// Whether it leads to a listener at `own`, as far as that shows without asking anybody.
    pub(crate) fn leads_to(&self, own: SocketAddr) -> bool {
        let is_here = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
        let reaches = |ip: IpAddr| {
            ip == own.ip()
                || (own.ip().is_unspecified() && ip.is_loopback())
                || (ip.is_unspecified() && is_here(own.ip()))
        };
        let is_reached = match self.host.parse::<IpAddr>() {
            Ok(ip) => reaches(ip.to_canonical()),
            Err(_) => self.host.eq_ignore_ascii_case("localhost") && is_here(own.ip()),
        };
        self.port == own.port() && is_reached
    }

    /// Opens a connection within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> std::io::Result<TcpStream> {
        let connect = async {
            let found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
            self.first_of(found.collect()).await
        };
        let stream = tokio::time::timeout(limit, connect)
            .await
            .map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        sockets::tune(&stream)?;
        Ok(stream)
    }

    async fn first_of(&self, found: Vec<SocketAddr>) -> std::io::Result<TcpStream> {
        if found.len() < 2 {
            return dial::first_to_answer(&found).await;
        }
        let order = self.in_order(found);
        let stream = dial::first_to_answer(&order).await?;
        let answered = stream.peer_addr().ok();
        let tried = order.iter().position(|address| Some(*address) == answered).unwrap_or_default();
        let now = clock::monotonic();
        let mut outrun = self.outrun();
        outrun.retain(|(address, _)| !order[..=tried].contains(address));
        outrun.extend(order[..tried].iter().map(|address| (*address, now)));
        drop(outrun);
        Ok(stream)
    }

    /// As the name is resolved, so that those behind it share the load; but one that refused or
    /// swallowed everything is asked last for a while.
    fn in_order(&self, mut found: Vec<SocketAddr>) -> Vec<SocketAddr> {
        let mut outrun = self.outrun();
        outrun.retain(|(_, since)| clock::monotonic().duration_since(*since) < OUTRUN_FOR);
        found.sort_by_key(|address| outrun.iter().any(|(slow, _)| slow == address));
        found
    }

    fn outrun(&self) -> MutexGuard<'_, Vec<(SocketAddr, Instant)>> {
        self.outrun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens an HTTP/1.1 connection within `limit` and drives it in the background.
    pub(crate) async fn open(&self, limit: Duration) -> std::io::Result<SendRequest<Upload>> {
        let stream = self.connect(limit).await?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection.with_upgrades());
        Ok(sender)
    }
}

/// Idle connections of one worker to one upstream, the one used last at the end.
#[derive(Debug)]
pub(crate) struct Idle {
    senders: Mutex<Vec<(SendRequest<Upload>, Instant)>>,
    max: usize,
}

impl Idle {
    pub(crate) fn new(max: usize) -> Self {
        Self { senders: Mutex::default(), max }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(SendRequest<Upload>, Instant)>> {
        self.senders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last that is ready and young enough.
    pub(crate) fn take(&self) -> Option<SendRequest<Upload>> {
        let mut idle = self.lock();
        while idle.last().is_some_and(|(sender, _)| sender.is_closed()) {
            idle.pop();
        }
        let ready = idle.iter().rposition(|(sender, _)| sender.is_ready())?;
        let (sender, since) = idle.remove(ready);
        if clock::monotonic().saturating_duration_since(since) > IDLE_AGE_MAX {
            // All before it waited longer still.
            idle.drain(..ready);
            return None;
        }
        Some(sender)
    }

    pub(crate) fn put(&self, sender: SendRequest<Upload>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < self.max {
            idle.push((sender, clock::monotonic()));
        }
    }
}

/// A connection in use; it returns to its pool when the answer was read to the end.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) sender: SendRequest<Upload>,
    pub(crate) home: Arc<Idle>,
}

impl Lease {
    pub(crate) fn give_back(self) {
        self.home.put(self.sender);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Of a name with several addresses the first may be one that swallows everything.
    #[tokio::test]
    async fn an_address_that_answers_is_found_and_remembered() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let (hole, _hole) = dial::tests::black_hole().await;
        let address = Address::parse("http://app.internal").unwrap();
        assert_eq!(address.in_order(vec![hole, open]), [hole, open]);
        let limit = Duration::from_secs(20);
        let found = tokio::time::timeout(limit, address.first_of(vec![hole, open])).await;
        assert_eq!(found.unwrap().unwrap().peer_addr().unwrap(), open);
        assert_eq!(address.in_order(vec![hole, open]), [open, hole]);
        // Whoever answered goes before nobody else: those behind a name share the load.
        let other = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(address.in_order(vec![hole, other, open]), [other, open, hole]);
    }

    #[test]
    fn addresses_are_plain_http_origins() {
        let good = |url: &str| Address::parse(url).map(|a| (a.host, a.port)).unwrap();
        assert_eq!(good("http://127.0.0.1:3000"), ("127.0.0.1".into(), 3000));
        assert_eq!(good("http://app.internal/"), ("app.internal".into(), 80));
        assert_eq!(good("http://[::1]:81"), ("::1".into(), 81));
        for bad in [
            "",
            "app:80",
            "https://app",
            "http://",
            "http://u:p@app",
            "http://app/path",
            "http://app/?q",
            "http://app:0",
            "http://app:99999",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_routers_own_address_is_known() {
        for (own, url, expected) in [
            ("127.0.0.1:80", "http://127.0.0.1", true),
            ("127.0.0.1:80", "http://localhost", true),
            ("127.0.0.1:80", "http://LOCALHOST:80", true),
            ("127.0.0.1:80", "http://0.0.0.0", true),
            ("127.0.0.1:80", "http://[::ffff:127.0.0.1]", true),
            ("127.0.0.1:80", "http://127.0.0.1:81", false),
            ("127.0.0.1:80", "http://127.0.0.2", false),
            ("0.0.0.0:80", "http://127.0.0.2", true),
            ("0.0.0.0:80", "http://localhost", true),
            ("0.0.0.0:80", "http://10.0.0.5", false),
            ("[::]:80", "http://127.0.0.1", true),
            ("10.0.0.5:80", "http://10.0.0.5", true),
            ("10.0.0.5:80", "http://localhost", false),
            ("10.0.0.5:80", "http://0.0.0.0", false),
            ("10.0.0.5:80", "http://app.internal", false),
        ] {
            let own = own.parse().unwrap();
            assert_eq!(Address::parse(url).unwrap().leads_to(own), expected, "{own} {url}");
        }
    }
}
