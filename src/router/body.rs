//! The bodies the router answers with. An upstream's body passes through as it comes; when it was
//! read to the end its connection goes back to the pool, and when it breaks or nothing more of it
//! comes that is counted, unless the client's own request broke it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::base::clock;

use super::metrics::{Outcome, Sample, Shard};
use super::pool::Lease;
use super::upload::{Phase, Progress};

/// The body of an answer: the router's own text, or the upstream's bytes as they come.
pub(crate) enum AnswerBody {
    Own(Option<Bytes>),
    Passing(Passing),
}

/// What belongs to an answer besides its bytes.
pub(super) struct Passage {
    pub(super) lease: Lease,
    pub(super) shard: Arc<Shard>,
    pub(super) sample: Sample,
    /// How far the request's body came, where it has one.
    pub(super) upload: Option<Arc<Progress>>,
    /// Longest wait for the next bytes.
    pub(super) idle_limit: Duration,
}

pub(crate) struct Passing {
    inner: Incoming,
    lease: Option<Lease>,
    shard: Arc<Shard>,
    sample: Sample,
    upload: Option<Arc<Progress>>,
    idle_limit: Duration,
    /// Made when the upstream is waited for the first time.
    timer: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

/// Why an answer's body ended early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswerError {
    #[error(transparent)]
    Broken(#[from] hyper::Error),
    #[error("nothing more of the upstream's answer came in time")]
    Idle,
}

type Polled = Poll<Option<Result<Frame<Bytes>, AnswerError>>>;

impl AnswerBody {
    pub(super) fn passing(inner: Incoming, passage: Passage) -> Self {
        let Passage { lease, shard, sample, upload, idle_limit } = passage;
        let lease = Some(lease);
        let (timer, is_waiting) = (None, false);
        let mut passing =
            Passing { inner, lease, shard, sample, upload, idle_limit, timer, is_waiting };
        passing.give_back_at_end();
        Self::Passing(passing)
    }
}

impl Passing {
    fn give_back_at_end(&mut self) {
        if self.inner.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Polled {
        match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.is_waiting = false;
                self.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                self.broke(Phase::Broken);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => self.wait(cx),
        }
    }

    /// The upstream is waited for, at most for the limit since its last bytes.
    fn wait(&mut self, cx: &mut Context<'_>) -> Polled {
        let end = || Instant::from_std(clock::monotonic()) + self.idle_limit;
        let timer = match &mut self.timer {
            Some(timer) => {
                if !self.is_waiting {
                    timer.as_mut().reset(end());
                }
                timer
            }
            empty => empty.insert(Box::pin(tokio::time::sleep_until(end()))),
        };
        self.is_waiting = true;
        if timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        // An upstream that waits for the rest of the request is not the one that hangs.
        self.broke(Phase::Client);
        Poll::Ready(Some(Err(AnswerError::Idle)))
    }

    /// Counts a body that broke, once; not where the client's request, in this phase, broke it.
    fn broke(&mut self, by_client: Phase) {
        self.lease = None;
        let is_theirs = self.upload.as_ref().is_some_and(|upload| upload.phase() == by_client);
        if let Outcome::Status(status) = self.sample.outcome
            && !is_theirs
        {
            self.sample.outcome = Outcome::BrokenBody(status);
            self.shard.record(&self.sample);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.get_mut() {
            Self::Own(text) => Poll::Ready(text.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Passing(passing) => passing.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(text) => text.is_none(),
            Self::Passing(passing) => passing.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(text) => {
                let bytes = text.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(bytes).unwrap_or(u64::MAX))
            }
            Self::Passing(passing) => passing.inner.size_hint(),
        }
    }
}
