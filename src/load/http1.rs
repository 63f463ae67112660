//! One kept-alive connection and the requests prepared for it. In steady state a request costs one
//! write, one read and no allocation: its bytes were laid out before the run.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead as _, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::plan::{Draft, Endpoint};
use super::recorder::Failure;
use super::response::{HEAD_BYTES_MAX, Response, ResponseError};
use crate::base::clock;

/// A request, ready to be written.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    bytes: Box<[u8]>,
    is_head: bool,
}

impl Prepared {
    pub(crate) fn new(endpoint: &Endpoint, plan: &Draft) -> Self {
        let has = |wanted: &str| {
            endpoint.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(wanted))
        };
        let mut head = format!("{} {} HTTP/1.1\r\n", endpoint.method, endpoint.path);
        let mut add = |name: &str, value: &str| {
            head.push_str(&format!("{name}: {value}\r\n"));
        };
        if !has("host") {
            add("Host", &plan.target.host_header());
        }
        if !has("user-agent") {
            add("User-Agent", concat!("orca/", env!("CARGO_PKG_VERSION")));
        }
        if !plan.keep_alive && !has("connection") {
            add("Connection", "close");
        }
        if !endpoint.body.is_empty() || matches!(endpoint.method.as_str(), "POST" | "PUT" | "PATCH")
        {
            add("Content-Length", &endpoint.body.len().to_string());
        }
        endpoint.headers.iter().for_each(|(name, value)| add(name, value));
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&endpoint.body);
        Self { bytes: bytes.into(), is_head: endpoint.method == "HEAD" }
    }
}

/// A connection to the target, opened when it is needed.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    keep_alive: bool,
    timeout: Duration,
    stream: Option<TcpStream>,
    buffer: Box<[u8]>,
    /// One timer for all requests: it is moved only when it fires before the deadline at hand, and
    /// deadlines only grow, so it never fires late.
    guard: Pin<Box<Sleep>>,
}

impl Connection {
    pub(crate) fn new(address: SocketAddr, plan: &Draft) -> Self {
        let timeout = plan.timeout.duration();
        Self {
            address,
            keep_alive: plan.keep_alive,
            timeout,
            stream: None,
            buffer: vec![0; HEAD_BYTES_MAX].into(),
            guard: Box::pin(tokio::time::sleep(timeout)),
        }
    }

    /// Sends a request and reads its answer to the end. Never takes longer than the timeout.
    pub(crate) async fn exchange(
        &mut self,
        request: &Prepared,
        sent: Instant,
    ) -> Result<u16, Failure> {
        let deadline = sent + self.timeout;
        let answer = {
            let Self { address, stream, buffer, guard, .. } = self;
            let mut work = std::pin::pin!(converse(*address, stream, buffer, request));
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
        answer.map(|response| response.status())
    }
}

/// One request and its answer over `stream`, which is opened where there is none or where the
/// target closed it while it was idle.
async fn converse(
    address: SocketAddr,
    stream: &mut Option<TcpStream>,
    buffer: &mut [u8],
    request: &Prepared,
) -> Result<Response, Failure> {
    let open = match stream.take() {
        Some(open) if is_idle(&open) => stream.insert(open),
        _ => {
            let opened = TcpStream::connect(address).await.map_err(|_| Failure::Connect)?;
            // Without it a request in two segments waits for an acknowledgement.
            opened.set_nodelay(true).map_err(|_| Failure::Connect)?;
            stream.insert(opened)
        }
    };
    // A target may answer before it has read a large body: look for an answer when writing fails.
    let written = open.write_all(&request.bytes).await;
    match receive(open, buffer, Response::new(request.is_head)).await {
        Ok(mut response) => {
            if written.is_err() {
                response = response.without_keep_alive();
            }
            Ok(response)
        }
        Err(failure) => Err(failure),
    }
}

/// Whether a kept connection is still open and silent. Costs no system call while it is.
fn is_idle(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

async fn receive(
    stream: &mut TcpStream,
    buffer: &mut [u8],
    mut response: Response,
) -> Result<Response, Failure> {
    let mut filled = 0;
    loop {
        let count = read(stream, &mut buffer[filled..]).await.map_err(|_| Failure::Reset)?;
        if count == 0 {
            return response.closed().map(|()| response).map_err(failure_of);
        }
        filled += count;
        let used = response.feed(&buffer[..filled]).map_err(failure_of)?;
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
async fn read(stream: &mut TcpStream, room: &mut [u8]) -> std::io::Result<usize> {
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
