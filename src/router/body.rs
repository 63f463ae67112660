//! The bodies the router answers with. An upstream's body passes through as it comes; when it was
//! read to the end its connection goes back to the pool, and when it breaks that is counted.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::metrics::{Outcome, Sample, Shard};
use super::pool::Lease;

/// The body of an answer: the router's own text, or the upstream's bytes as they come.
pub(crate) enum AnswerBody {
    Own(Option<Bytes>),
    Passing(Passing),
}

pub(crate) struct Passing {
    inner: Incoming,
    lease: Option<Lease>,
    shard: Arc<Shard>,
    sample: Sample,
}

impl AnswerBody {
    pub(super) fn passing(
        inner: Incoming,
        lease: Lease,
        shard: Arc<Shard>,
        sample: Sample,
    ) -> Self {
        let mut passing = Passing { inner, lease: Some(lease), shard, sample };
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

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(_))) => self.give_back_at_end(),
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    lease.give_back();
                }
            }
            Poll::Ready(Some(Err(_))) => {
                self.lease = None;
                if let Outcome::Status(status) = self.sample.outcome {
                    self.sample.outcome = Outcome::BrokenBody(status);
                    self.shard.record(&self.sample);
                }
            }
            Poll::Pending => {}
        }
        polled
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
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
