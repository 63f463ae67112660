//! A client's request body on its way to an upstream, and who is waited for meanwhile.
//!
//! A body that ends before its end is the client's doing and is told apart from a failure of the
//! upstream; it never looks whole to the upstream. The upstream's time to answer begins when the
//! body has been sent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::base::clock;

use super::connection::Client;

/// Who must move next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// The upstream takes the connection, or what was read of the body.
    Taking,
    /// The upstream wants more of the body than the client has sent.
    Client,
    /// The whole body was sent, so the upstream answers next.
    Sent,
    /// The client left or sent what is no body: nobody.
    Broken,
}

/// How far a body has come.
#[derive(Debug)]
pub(super) struct Progress(Mutex<(Phase, Instant)>);

impl Progress {
    fn new() -> Self {
        Self(Mutex::new((Phase::Taking, clock::monotonic())))
    }

    fn lock(&self) -> MutexGuard<'_, (Phase, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self, phase: Phase) {
        *self.lock() = (phase, clock::monotonic());
    }

    pub(super) fn phase(&self) -> Phase {
        self.lock().0
    }

    /// Since when the upstream must move, where it is the one who must.
    pub(super) fn upstream_since(&self) -> Option<Instant> {
        let (phase, since) = *self.lock();
        matches!(phase, Phase::Taking | Phase::Sent).then_some(since)
    }

    /// Another upstream begins to take it; whoever must move next has the whole time.
    pub(super) fn again(&self) {
        let phase = self.phase();
        self.moved(phase);
    }

    /// Ends when nobody moved for `limit`, with whom it waited for.
    pub(super) async fn stalled(&self, limit: Duration) -> Phase {
        loop {
            let (phase, since) = *self.lock();
            tokio::time::sleep_until((since + limit).into()).await;
            if self.lock().1 == since {
                return phase;
            }
        }
    }
}

/// The client's request body did not come whole.
#[derive(Debug, thiserror::Error)]
#[error("the request body broke off")]
pub(crate) struct BrokenOff;

/// A request body, passed on as it comes.
#[derive(Debug, Default)]
pub(crate) struct Upload(Option<Passing>);

#[derive(Debug)]
struct Passing {
    inner: Incoming,
    progress: Arc<Progress>,
    client: Arc<Client>,
}

impl Upload {
    /// The request with a body that is watched, and its progress unless there is no body.
    pub(super) fn watched(
        request: Request<Incoming>,
        client: &Arc<Client>,
    ) -> (Request<Self>, Option<Arc<Progress>>) {
        let (head, inner) = request.into_parts();
        if inner.is_end_stream() {
            return (Request::from_parts(head, Self::default()), None);
        }
        let progress = Arc::new(Progress::new());
        let (watch, client) = (Arc::clone(&progress), Arc::clone(client));
        let upload = Self(Some(Passing { inner, progress, client }));
        (Request::from_parts(head, upload), Some(watch))
    }
}

impl Passing {
    /// The end comes too early when bytes are missing, or when the client's connection has ended.
    fn is_cut(&self) -> bool {
        self.inner.size_hint().lower() > 0 || self.client.is_gone()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Pending => {
                if self.progress.phase() != Phase::Client {
                    self.progress.moved(Phase::Client);
                }
                Poll::Pending
            }
            Poll::Ready(Some(Ok(frame))) => {
                let is_last = self.inner.is_end_stream();
                self.progress.moved(if is_last { Phase::Sent } else { Phase::Taking });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) if !self.is_cut() => {
                self.progress.moved(Phase::Sent);
                Poll::Ready(None)
            }
            Poll::Ready(_) => {
                self.progress.moved(Phase::Broken);
                Poll::Ready(Some(Err(BrokenOff)))
            }
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.get_mut().0 {
            Some(passing) => passing.poll(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|passing| passing.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |passing| passing.inner.size_hint())
    }
}
