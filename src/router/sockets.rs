//! Sockets and the file descriptors that they cost.
//!
//! Users' connections never take the last descriptors: the admin API and the state file always
//! have some, so a rollback gets through however many clients are connected.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors for the admin API, the state file, health checks and the process itself.
const RESERVED: u64 = 128;
/// Idle connections kept for one upstream by one worker, at most.
const IDLE_MAX: u64 = 256;
/// What a system takes that says it has no limit and has one.
const OPEN_MAX: u64 = 10_240;
/// Connections that wait to be accepted; the kernel may allow fewer.
const BACKLOG: u32 = 4_096;
/// A silent connection is asked after this long whether the other side is still there.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// How many connections the limit of descriptors allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Budget {
    /// Of clients; each may need another one to an upstream.
    pub(super) clients: usize,
    /// Idle ones to one upstream, of one worker.
    pub(super) idle: usize,
}

impl Budget {
    /// Raises the soft limit to the hard one and shares out what that gives.
    pub(super) fn of_process(workers: usize) -> Self {
        let limit = raised();
        let budget = Self::of(limit, workers);
        tracing::info!(files = limit, connections = budget.clients, "room for users' connections");
        budget
    }

    fn of(limit: u64, workers: usize) -> Self {
        let workers = u64::try_from(workers.max(1)).unwrap_or(u64::MAX);
        // Too few for any reserve are shared all the same: some users are served.
        let spare = limit.saturating_sub(RESERVED).max(16);
        let idle = (spare / workers.saturating_mul(8)).clamp(1, IDLE_MAX);
        let clients = spare.saturating_sub(idle.saturating_mul(2).saturating_mul(workers)) / 2;
        let few = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let clients = few(clients).clamp(1, Semaphore::MAX_PERMITS);
        Self { clients, idle: few(idle) }
    }
}

/// The limit of open files after the soft one was raised as far as this process may.
fn raised() -> u64 {
    let Rlimit { current: before, maximum } = getrlimit(Resource::Nofile);
    let most = |limit: Option<u64>| limit.unwrap_or(u64::MAX);
    for wanted in [maximum, Some(OPEN_MAX.min(most(maximum)))] {
        let is_raise = most(wanted) > most(before);
        if is_raise && setrlimit(Resource::Nofile, Rlimit { current: wanted, maximum }).is_ok() {
            return most(wanted);
        }
    }
    most(before)
}

/// The places for clients, shared by all workers.
#[derive(Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    all: usize,
    is_full: AtomicBool,
}

impl Places {
    pub(super) fn new(all: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(all)), all, is_full: AtomicBool::new(false) }
    }

    /// One that is free, without waiting.
    pub(super) fn try_take(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_owned().ok()
    }

    /// Waits for one; that all are taken is said once until half of them are free again.
    pub(super) async fn take(&self) -> Option<OwnedSemaphorePermit> {
        if let Some(place) = self.try_take() {
            if self.free.available_permits() > self.all / 2 {
                self.is_full.store(false, Ordering::Relaxed);
            }
            return Some(place);
        }
        if !self.is_full.swap(true, Ordering::Relaxed) {
            let connections = self.all;
            tracing::warn!(connections, "as many clients as open files allow: others wait");
        }
        Arc::clone(&self.free).acquire_owned().await.ok()
    }
}

/// Listens with room for a burst of clients. Needs a tokio runtime.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Sends at once, and finds out when the other side is gone.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))
}

/// Whether this machine ran out of something that a connection needs: no upstream's fault.
pub(super) fn is_shortage(error: &io::Error) -> bool {
    let short = [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS];
    error.raw_os_error().is_some_and(|code| short.iter().any(|errno| errno.raw_os_error() == code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_never_take_the_last_descriptors() {
        let budget = |limit, workers| {
            let Budget { clients, idle } = Budget::of(limit, workers);
            (clients, idle)
        };
        assert_eq!(budget(1_024, 2), (336, 56));
        assert_eq!(budget(256, 1), (48, 16));
        assert_eq!(budget(1_048_576, 8), (522_176, 256));
        assert_eq!(budget(64, 1), (6, 2));
        for (limit, workers) in [(200, 1), (1_024, 1), (1_024, 64), (65_536, 128)] {
            let (clients, idle) = budget(limit, workers);
            let most = 2 * clients + 2 * idle * workers;
            assert!(most as u64 + RESERVED <= limit, "{most} of {limit} with {workers}");
        }
        assert_eq!(budget(u64::MAX, 4).1, 256);
    }

    #[test]
    fn a_shortage_here_is_no_failure_there() {
        for (error, expected) in [
            (io::Error::from(Errno::MFILE), true),
            (Errno::NFILE.into(), true),
            (Errno::ADDRNOTAVAIL.into(), true),
            (Errno::NOBUFS.into(), true),
            (Errno::CONNREFUSED.into(), false),
            (io::ErrorKind::TimedOut.into(), false),
        ] {
            assert_eq!(is_shortage(&error), expected, "{error}");
        }
    }
}
