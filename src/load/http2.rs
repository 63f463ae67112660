//! HTTP/2 through hyper: one connection a sender with one request on it at a time, behind the same
//! plan and the same counters. In the clear it needs a target that knows HTTP/2 beforehand.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;

use super::expect::Seen;
use super::plan::Draft;
use super::recorder::Failure;
use super::request::Prepared;
use super::response::BODY_BYTES_MAX;
use super::transport::{Marks, Way};
use crate::base::clock;

/// Runs what hyper needs beside a connection, on this thread.
#[derive(Debug, Clone, Copy)]
struct OnThisThread;

impl<F> hyper::rt::Executor<F> for OnThisThread
where
    F: Future + 'static,
    F::Output: 'static,
{
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// One sender of HTTP/2 requests.
#[derive(Debug)]
pub(crate) struct Http2<'j> {
    way: &'j Way,
    keep_alive: bool,
    timeout: Duration,
    sender: Option<SendRequest<Full<Bytes>>>,
    seen: Seen,
    /// Of the last request.
    pub(crate) marks: Marks,
}

impl<'j> Http2<'j> {
    pub(crate) fn new(way: &'j Way, plan: &Draft) -> Self {
        Self {
            way,
            keep_alive: plan.keep_alive,
            timeout: plan.timeout.duration(),
            sender: None,
            seen: Seen::default(),
            marks: Marks::default(),
        }
    }

    /// Sends a request and reads its answer to the end. Never takes longer than the timeout.
    pub(crate) async fn exchange(
        &mut self,
        request: &Prepared,
        ticket: u64,
        sent: Instant,
    ) -> Result<u16, Failure> {
        self.marks = Marks::default();
        let deadline = (sent + self.timeout).into();
        let work = self.converse(request, ticket, sent);
        let answer = tokio::time::timeout_at(deadline, work).await.unwrap_or(Err(Failure::Timeout));
        if answer.is_err() || !self.keep_alive {
            self.sender = None;
        }
        let status = answer?;
        match request.expect.failure(status, &self.seen) {
            None => Ok(status),
            Some(failure) => Err(failure),
        }
    }

    async fn converse(
        &mut self,
        request: &Prepared,
        ticket: u64,
        sent: Instant,
    ) -> Result<u16, Failure> {
        let sender = match self.sender.take() {
            Some(sender) if !sender.is_closed() => self.sender.insert(sender),
            _ => {
                let opened = open(self.way, &mut self.marks).await?;
                self.sender.insert(opened)
            }
        };
        sender.ready().await.map_err(|error| failure_of(&error))?;
        let filled = request.http2(ticket).map_err(|_| Failure::Malformed)?;
        let answer = sender.send_request(filled).await.map_err(|error| failure_of(&error))?;
        self.marks.first_byte_us = Some(clock::elapsed_us(sent));
        let status = answer.status().as_u16();
        self.seen.clear();
        if request.looks_inside {
            for (name, value) in answer.headers() {
                self.seen.head.extend_from_slice(name.as_str().as_bytes());
                self.seen.head.extend_from_slice(b": ");
                self.seen.head.extend_from_slice(value.as_bytes());
                self.seen.head.push(b'\n');
            }
        }
        let mut body = answer.into_body();
        let mut length = 0_u64;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| failure_of(&error))?;
            let Some(bytes) = frame.data_ref() else { continue };
            length = length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            if length > BODY_BYTES_MAX {
                return Err(Failure::TooLarge);
            }
            if request.looks_inside {
                self.seen.add_body(bytes);
            }
        }
        Ok(status)
    }
}

async fn open(way: &Way, marks: &mut Marks) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = way.connect(marks).await?;
    let shake = hyper::client::conn::http2::handshake(OnThisThread, TokioIo::new(stream));
    let (sender, connection) = shake.await.map_err(|error| failure_of(&error))?;
    tokio::task::spawn_local(connection);
    Ok(sender)
}

/// A connection that broke is told apart from a peer that does not speak HTTP/2.
fn failure_of(error: &hyper::Error) -> Failure {
    let io = error.source().and_then(|source| {
        let own = source.downcast_ref::<std::io::Error>();
        own.or_else(|| source.source()?.downcast_ref::<std::io::Error>())
    });
    match io.map(std::io::Error::kind) {
        Some(std::io::ErrorKind::UnexpectedEof) => Failure::ClosedEarly,
        Some(_) => Failure::Reset,
        None if error.is_closed() || error.is_canceled() || error.is_incomplete_message() => {
            Failure::ClosedEarly
        }
        None => Failure::Malformed,
    }
}
