//! HTTP/2 through hyper: one connection a sender with one request on it at a time, behind the same
//! plan and the same counters. In the clear it needs a target that knows HTTP/2 beforehand.

use std::error::Error as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::expect::Seen;
use super::plan::Draft;
use super::recorder::Failure;
use super::request::Prepared;
use super::response::BODY_BYTES_MAX;
use super::transport::{Marks, Stream, Way};
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

/// An open connection, and what became of it once it has ended.
#[derive(Debug)]
struct Session {
    sender: SendRequest<Full<Bytes>>,
    connection: JoinHandle<hyper::Result<()>>,
    /// The peer speaks HTTP/2: it agreed on it, or has answered.
    is_http2: bool,
}

/// One sender of HTTP/2 requests.
#[derive(Debug)]
pub(crate) struct Http2<'j> {
    way: &'j Way,
    keep_alive: bool,
    timeout: Duration,
    session: Option<Session>,
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
            session: None,
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
            self.session = None;
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
        let session = match self.session.take() {
            Some(session) if !session.sender.is_closed() => self.session.insert(session),
            _ => self.session.insert(Session::open(self.way, &mut self.marks).await?),
        };
        let filled = request.http2(ticket).map_err(|_| Failure::Malformed)?;
        let answer = match session.ask(filled).await {
            Ok(answer) => answer,
            Err(error) => return Err(session.failure(&error).await),
        };
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
            let frame = match frame {
                Ok(frame) => frame,
                Err(error) => return Err(session.failure(&error).await),
            };
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

impl Session {
    async fn open(way: &Way, marks: &mut Marks) -> Result<Self, Failure> {
        let stream = way.connect(marks).await?;
        // By ALPN, else this way would not have been taken.
        let is_http2 = matches!(stream, Stream::Tls(_));
        let shake = hyper::client::conn::http2::handshake(OnThisThread, TokioIo::new(stream));
        let (sender, connection) = shake.await.map_err(|error| failure_of(&error))?;
        let connection = tokio::task::spawn_local(connection);
        Ok(Self { sender, connection, is_http2 })
    }

    async fn ask(
        &mut self,
        request: http::Request<Full<Bytes>>,
    ) -> hyper::Result<http::Response<Incoming>> {
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        self.is_http2 = true;
        Ok(answer)
    }

    /// What a request met. A stream that only knows that its connection is gone does not know why;
    /// the connection does.
    async fn failure(&mut self, error: &hyper::Error) -> Failure {
        if h2_error(error).is_some_and(|told| !told.is_io()) {
            return failure_of(error);
        }
        let failure = match (&mut self.connection).await {
            Ok(Err(error)) if h2_error(&error).is_some() => return failure_of(&error),
            Ok(Err(error)) => failure_of(&error),
            Ok(Ok(())) | Err(_) => Failure::ClosedEarly,
        };
        // Who hangs up on the first words of HTTP/2 does not know them.
        if self.is_http2 { failure } else { Failure::NoHttp2 }
    }
}

fn h2_error(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

/// A connection that broke, and a peer that refuses, are told apart from one that does not speak
/// HTTP/2.
fn failure_of(error: &hyper::Error) -> Failure {
    let told = h2_error(error);
    let own = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    match own.or_else(|| told?.get_io()).map(std::io::Error::kind) {
        Some(std::io::ErrorKind::UnexpectedEof) => return Failure::ClosedEarly,
        Some(_) => return Failure::Reset,
        None => {}
    }
    match told.filter(|told| told.is_remote()) {
        // Of one stream (RFC 9113, section 6.4), and of the whole connection (6.8).
        Some(told) if told.is_reset() => Failure::Reset,
        Some(told) if told.is_go_away() => Failure::ClosedEarly,
        _ if error.is_closed() || error.is_canceled() || error.is_incomplete_message() => {
            Failure::ClosedEarly
        }
        _ => Failure::Malformed,
    }
}
