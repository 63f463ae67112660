//! One connection of HTTP/1.1. In steady state a request costs one write, one read and no
//! allocation: its bytes were laid out before the run.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::time::Sleep;

use super::expect::Seen;
use super::plan::Draft;
use super::recorder::Failure;
use super::request::{Prepared, Scratch};
use super::response::{HEAD_BYTES_MAX, Response, ResponseError};
use super::transport::{Marks, Stream, Way};
use crate::base::clock;

/// A connection to the target, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Connection<'j> {
    way: &'j Way,
    keep_alive: bool,
    timeout: Duration,
    stream: Option<Stream>,
    buffer: Box<[u8]>,
    scratch: Scratch,
    seen: Seen,
    /// Whether to look at the clock when the first byte comes.
    marks_first_byte: bool,
    /// Of the last request.
    pub(crate) marks: Marks,
    /// One timer for all requests: it is moved only when it fires before the deadline at hand, and
    /// deadlines only grow, so it never fires late.
    guard: Pin<Box<Sleep>>,
}

impl<'j> Connection<'j> {
    pub(crate) fn new(way: &'j Way, plan: &Draft) -> Self {
        let timeout = plan.timeout.duration();
        Self {
            way,
            keep_alive: plan.keep_alive,
            timeout,
            stream: None,
            buffer: vec![0; HEAD_BYTES_MAX].into(),
            scratch: Scratch::default(),
            seen: Seen::default(),
            marks_first_byte: plan.phases,
            marks: Marks::default(),
            guard: Box::pin(tokio::time::sleep(timeout)),
        }
    }

    /// Sends a request and reads its answer to the end. Never takes longer than the timeout.
    pub(crate) async fn exchange(
        &mut self,
        request: &Prepared,
        ticket: u64,
        sent: Instant,
    ) -> Result<u16, Failure> {
        let deadline = sent + self.timeout;
        self.marks = Marks::default();
        let kept = self.stream.take().and_then(|mut stream| stream.is_idle().then_some(stream));
        let mut stream = match kept {
            Some(stream) => stream,
            None => self.connect(deadline).await?,
        };
        let mut exchange = Exchange {
            stream: &mut stream,
            unsent: request.bytes(ticket, &mut self.scratch),
            is_flushed: false,
            is_refused: false,
            response: Response::new(request.is_head),
            buffer: &mut self.buffer,
            filled: 0,
            seen: request.looks_inside.then_some(&mut self.seen),
            first_byte: self.marks_first_byte.then_some((sent, &mut self.marks.first_byte_us)),
        };
        if let Some(seen) = &mut exchange.seen {
            seen.clear();
        }
        let answer = within(&mut self.guard, deadline, |context| exchange.poll(context)).await?;
        if answer.keep_alive() && self.keep_alive {
            self.stream = Some(stream);
        }
        let status = answer.status();
        request.expect.failure(status, &self.seen).map_or(Ok(status), Err)
    }

    async fn connect(&mut self, deadline: Instant) -> Result<Stream, Failure> {
        let mut opened = Marks::default();
        // Boxed, so that the future of an open connection stays small: it is moved at each request.
        let mut connecting = Box::pin(self.way.connect(&mut opened));
        let connected =
            within(&mut self.guard, deadline, |context| connecting.as_mut().poll(context)).await;
        drop(connecting);
        (self.marks.connect_us, self.marks.tls_us) = (opened.connect_us, opened.tls_us);
        self.marks.is_resumed = opened.is_resumed;
        connected
    }
}

/// Polls until there is a result, or the deadline has passed.
async fn within<T>(
    guard: &mut Pin<Box<Sleep>>,
    deadline: Instant,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<Result<T, Failure>>,
) -> Result<T, Failure> {
    poll_fn(|context| {
        if let Poll::Ready(result) = poll(context) {
            return Poll::Ready(result);
        }
        while guard.as_mut().poll(context).is_ready() {
            if clock::monotonic() >= deadline {
                return Poll::Ready(Err(Failure::Timeout));
            }
            guard.as_mut().reset(deadline.into());
        }
        Poll::Pending
    })
    .await
}

/// One request and its answer on an open connection. Polled by hand: futures inside futures would
/// be copied several times at each request.
struct Exchange<'a> {
    stream: &'a mut Stream,
    unsent: &'a [u8],
    is_flushed: bool,
    /// The target takes no more of the request.
    is_refused: bool,
    response: Response,
    /// What was read and is not used up yet, in its first `filled` bytes.
    buffer: &'a mut [u8],
    filled: usize,
    /// What is kept of the answer.
    seen: Option<&'a mut Seen>,
    /// When the request was sent, and where to write when the first byte came.
    first_byte: Option<(Instant, &'a mut Option<u64>)>,
}

impl Exchange<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Response, Failure>> {
        // Read even while the target takes no more: it may answer before it has read a large body.
        let _ = self.poll_send(context);
        loop {
            let mut room = ReadBuf::new(&mut self.buffer[self.filled..]);
            let read = ready!(Pin::new(&mut *self.stream).poll_read(context, &mut room));
            let count = room.filled().len();
            let received = read.map_err(|_| Failure::Reset).and_then(|()| self.received(count));
            match received {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(self.response)),
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let mut stream = Pin::new(&mut *self.stream);
        while !self.unsent.is_empty() {
            if let Ok(count @ 1..) = ready!(stream.as_mut().poll_write(context, self.unsent)) {
                self.unsent = &self.unsent[count..];
            } else {
                (self.is_refused, self.unsent) = (true, &[]);
            }
        }
        if !self.is_flushed {
            self.is_refused |= ready!(stream.poll_flush(context)).is_err();
            self.is_flushed = true;
        }
        Poll::Ready(())
    }

    /// Takes `count` more bytes, none at the end of the stream; says whether the answer is whole.
    fn received(&mut self, count: usize) -> Result<bool, Failure> {
        if count == 0 {
            self.response.closed().map_err(failure_of)?;
            return Ok(true);
        }
        if let Some((sent, mark)) = self.first_byte.take() {
            *mark = Some(clock::elapsed_us(sent));
        }
        self.filled += count;
        let bytes = &self.buffer[..self.filled];
        let used = self.response.feed_into(bytes, &mut self.seen).map_err(failure_of)?;
        if !self.response.is_done() {
            self.buffer.copy_within(used..self.filled, 0);
            self.filled -= used;
            return Ok(false);
        }
        // Bytes that nobody asked for: the next answer could not be told from them.
        let is_sent = self.unsent.is_empty() && self.is_flushed && !self.is_refused;
        if used < self.filled || !is_sent {
            self.response = self.response.without_keep_alive();
        }
        Ok(true)
    }
}

fn failure_of(error: ResponseError) -> Failure {
    match error {
        ResponseError::Malformed => Failure::Malformed,
        ResponseError::HeadTooLarge | ResponseError::BodyTooLarge => Failure::TooLarge,
        ResponseError::ClosedEarly => Failure::ClosedEarly,
    }
}
