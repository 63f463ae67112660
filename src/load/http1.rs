//! One connection of HTTP/1.1. In steady state a request costs one write, one read and no
//! allocation: its bytes were laid out before the run.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
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
        let answer = {
            let Self { way, stream, buffer, guard, scratch, seen, marks, .. } = self;
            *marks = Marks::default();
            let reading = Reading {
                buffer,
                seen: request.looks_inside.then_some(seen),
                first_byte: self.marks_first_byte.then_some((sent, &mut marks.first_byte_us)),
            };
            let bytes = request.bytes(ticket, scratch);
            let work = async {
                if !stream.as_mut().is_some_and(Stream::is_idle) {
                    *stream = None;
                    let mut opened = Marks::default();
                    let connected = way.connect(&mut opened).await;
                    (marks.connect_us, marks.tls_us) = (opened.connect_us, opened.tls_us);
                    marks.is_resumed = opened.is_resumed;
                    *stream = Some(connected?);
                }
                match stream {
                    Some(open) => converse(open, bytes, request.is_head, reading).await,
                    None => Err(Failure::Connect),
                }
            };
            let mut work = std::pin::pin!(work);
            poll_fn(|context| {
                if let Poll::Ready(answer) = work.as_mut().poll(context) {
                    return Poll::Ready(answer);
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
        };
        if !answer.is_ok_and(|response| response.keep_alive() && self.keep_alive) {
            self.stream = None;
        }
        let status = answer?.status();
        request.expect.failure(status, &self.seen).map_or(Ok(status), Err)
    }
}

/// Where an answer is read to, and what is kept of it.
struct Reading<'a> {
    buffer: &'a mut [u8],
    seen: Option<&'a mut Seen>,
    /// Counted from the sending.
    first_byte: Option<(Instant, &'a mut Option<u64>)>,
}

/// One request and its answer.
async fn converse(
    stream: &mut Stream,
    request: &[u8],
    is_head: bool,
    reading: Reading<'_>,
) -> Result<Response, Failure> {
    // A target may answer before it has read a large body: look for an answer when writing fails.
    let mut written = stream.write_all(request).await;
    if let (Stream::Tls(_), Ok(())) = (&stream, &written) {
        written = stream.flush().await;
    }
    let response = receive(stream, reading, Response::new(is_head)).await?;
    Ok(if written.is_err() { response.without_keep_alive() } else { response })
}

async fn receive(
    stream: &mut Stream,
    reading: Reading<'_>,
    mut response: Response,
) -> Result<Response, Failure> {
    let Reading { buffer, mut seen, first_byte } = reading;
    if let Some(seen) = &mut seen {
        seen.clear();
    }
    let mut first_byte = first_byte;
    let mut filled = 0;
    loop {
        let count = read(stream, &mut buffer[filled..]).await.map_err(|_| Failure::Reset)?;
        if count == 0 {
            return response.closed().map(|()| response).map_err(failure_of);
        }
        if let Some((sent, mark)) = first_byte.take() {
            *mark = Some(clock::elapsed_us(sent));
        }
        filled += count;
        let used = response.feed_into(&buffer[..filled], &mut seen).map_err(failure_of)?;
        if response.is_done() {
            // Bytes that nobody asked for: the next answer could not be told from them.
            let is_clean = used == filled;
            return Ok(if is_clean { response } else { response.without_keep_alive() });
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}

/// What has come, at least one byte; nothing at the end.
async fn read(stream: &mut Stream, room: &mut [u8]) -> std::io::Result<usize> {
    let mut room = ReadBuf::new(room);
    poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut room)).await?;
    Ok(room.filled().len())
}

fn failure_of(error: ResponseError) -> Failure {
    match error {
        ResponseError::Malformed => Failure::Malformed,
        ResponseError::HeadTooLarge | ResponseError::BodyTooLarge => Failure::TooLarge,
        ResponseError::ClosedEarly => Failure::ClosedEarly,
    }
}
