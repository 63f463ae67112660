//! Where an HTTP/1.1 response ends. A state machine without I/O: it is fed what was read and says
//! how much of it is used up. It keeps no body, allocates nothing, and gives the same answer
//! however the bytes are split.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Status};

use super::expect::Seen;

/// Largest response head, in bytes; also the size of a connection's buffer.
pub(crate) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Most header lines.
const HEADERS_MAX: usize = 64;
/// Largest response body, in bytes.
pub(crate) const BODY_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Longest chunk-size line, and all trailers together.
const LINE_BYTES_MAX: usize = 4 * 1024;

/// Interim answers before one answer; a server may send them without end.
const INTERIM_MAX: u8 = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ResponseError {
    #[error("not an HTTP/1.1 response")]
    Malformed,
    #[error("a response head over {HEAD_BYTES_MAX} bytes or {HEADERS_MAX} headers")]
    HeadTooLarge,
    #[error("a response body over {BODY_BYTES_MAX} bytes")]
    BodyTooLarge,
    #[error("the connection closed inside a response")]
    ClosedEarly,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body { remaining: u64 },
    ChunkSize,
    ChunkBytes { remaining: u64 },
    ChunkEnd,
    Trailers { seen: usize },
    UntilClose,
    Done,
}

/// One response being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Response {
    state: State,
    answers_head: bool,
    status: u16,
    keep_alive: bool,
    body_bytes: u64,
    /// Heads before the answer itself: `100 Continue` and its like.
    interim: u8,
}

impl Response {
    /// `answers_head`: the request was a HEAD, so there is no body whatever the headers say.
    pub(crate) fn new(answers_head: bool) -> Self {
        Self {
            state: State::Head,
            answers_head,
            status: 0,
            keep_alive: false,
            body_bytes: 0,
            interim: 0,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    pub(crate) fn status(&self) -> u16 {
        self.status
    }

    /// Whether the connection may carry another request.
    pub(crate) fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// The same answer, after which the connection must be closed.
    pub(crate) fn without_keep_alive(self) -> Self {
        Self { keep_alive: false, ..self }
    }

    #[cfg(test)]
    fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Takes bytes from the front of `bytes` and says how many. What it leaves must come again,
    /// with more behind it.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<usize, ResponseError> {
        self.feed_into(bytes, &mut None)
    }

    /// The same, and keeps what an expectation looks at.
    pub(crate) fn feed_into(
        &mut self,
        bytes: &[u8],
        seen: &mut Option<&mut Seen>,
    ) -> Result<usize, ResponseError> {
        let mut used = 0;
        while self.state != State::Done {
            let before = self.state;
            let count = self.step(&bytes[used..])?;
            if let Some(seen) = seen {
                let taken = &bytes[used..used + count];
                match before {
                    State::Head if count > 0 => seen.head = taken.to_vec(),
                    State::Body { .. } | State::ChunkBytes { .. } | State::UntilClose => {
                        seen.add_body(taken);
                    }
                    _ => {}
                }
            }
            used += count;
            if count == 0 && self.state == before {
                break;
            }
        }
        Ok(used)
    }

    /// The peer has closed. Only a body that runs until then is whole.
    pub(crate) fn closed(&mut self) -> Result<(), ResponseError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(ResponseError::ClosedEarly),
        }
    }

    fn step(&mut self, bytes: &[u8]) -> Result<usize, ResponseError> {
        match self.state {
            State::Done => Ok(0),
            State::Head => self.head(bytes),
            State::Body { remaining } => {
                let (count, left) = self.take_body(bytes, remaining)?;
                self.state = if left == 0 { State::Done } else { State::Body { remaining: left } };
                Ok(count)
            }
            State::ChunkSize => self.chunk_size(bytes),
            State::ChunkBytes { remaining } => {
                let (count, left) = self.take_body(bytes, remaining)?;
                self.state =
                    if left == 0 { State::ChunkEnd } else { State::ChunkBytes { remaining: left } };
                Ok(count)
            }
            State::ChunkEnd => match bytes {
                [b'\r', b'\n', ..] => {
                    self.state = State::ChunkSize;
                    Ok(2)
                }
                [] | [b'\r'] => Ok(0),
                _ => Err(ResponseError::Malformed),
            },
            State::Trailers { seen } => self.trailer(bytes, seen),
            State::UntilClose => self.take_body(bytes, u64::MAX).map(|(count, _)| count),
        }
    }

    /// Counts up to `remaining` bytes of body: (taken, left to come).
    fn take_body(&mut self, bytes: &[u8], remaining: u64) -> Result<(usize, u64), ResponseError> {
        let count = usize::try_from(remaining).unwrap_or(usize::MAX).min(bytes.len());
        let counted = u64::try_from(count).unwrap_or(u64::MAX);
        self.body_bytes = self.body_bytes.saturating_add(counted);
        if self.body_bytes > BODY_BYTES_MAX {
            return Err(ResponseError::BodyTooLarge);
        }
        Ok((count, remaining - counted))
    }

    fn head(&mut self, bytes: &[u8]) -> Result<usize, ResponseError> {
        // Left uninitialised: two kilobytes of empty headers cost more than parsing the real ones.
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Response::new(&mut []);
        let parser = ParserConfig::default();
        let read = parser.parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers);
        let length = match read {
            Ok(Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
            Ok(Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(0),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => {
                return Err(ResponseError::HeadTooLarge);
            }
            Err(_) => return Err(ResponseError::Malformed),
        };
        let status = parsed.code.unwrap_or(0);
        match status {
            100 | 102..=199 if self.interim < INTERIM_MAX => {
                self.interim += 1;
                return Ok(length);
            }
            200..=999 => {}
            _ => return Err(ResponseError::Malformed),
        }
        let framing = Framing::of(parsed.headers, parsed.version == Some(1))?;
        self.status = status;
        self.keep_alive = framing.keep_alive;
        self.state = if self.answers_head || matches!(status, 204 | 304) {
            State::Done
        } else {
            match framing.body {
                Body::Chunked => State::ChunkSize,
                Body::Length(0) => State::Done,
                Body::Length(length) if length > BODY_BYTES_MAX => {
                    return Err(ResponseError::BodyTooLarge);
                }
                Body::Length(remaining) => State::Body { remaining },
                Body::UntilClose => {
                    self.keep_alive = false;
                    State::UntilClose
                }
            }
        };
        Ok(length)
    }

    fn chunk_size(&mut self, bytes: &[u8]) -> Result<usize, ResponseError> {
        match httparse::parse_chunk_size(bytes) {
            Ok(Status::Complete((length, size))) => {
                self.state = match size {
                    0 => State::Trailers { seen: 0 },
                    remaining => State::ChunkBytes { remaining },
                };
                Ok(length)
            }
            Ok(Status::Partial) if bytes.len() < LINE_BYTES_MAX => Ok(0),
            Ok(Status::Partial) | Err(_) => Err(ResponseError::Malformed),
        }
    }

    fn trailer(&mut self, bytes: &[u8], seen: usize) -> Result<usize, ResponseError> {
        let Some(end) = bytes.iter().position(|b| *b == b'\n') else {
            let is_short = seen + bytes.len() < LINE_BYTES_MAX;
            return if is_short { Ok(0) } else { Err(ResponseError::HeadTooLarge) };
        };
        if seen + end >= LINE_BYTES_MAX {
            return Err(ResponseError::HeadTooLarge);
        }
        self.state = match &bytes[..end] {
            b"" | b"\r" => State::Done,
            _ => State::Trailers { seen: seen + end + 1 },
        };
        Ok(end + 1)
    }
}

enum Body {
    Length(u64),
    Chunked,
    UntilClose,
}

/// How the body ends and whether the connection lives on (RFC 9112 sections 6.3 and 9.3).
struct Framing {
    body: Body,
    keep_alive: bool,
}

impl Framing {
    fn of(headers: &[httparse::Header<'_>], is_1_1: bool) -> Result<Self, ResponseError> {
        let (mut length, mut coding, mut keep_alive) = (None, None, is_1_1);
        for header in headers {
            // Most headers are told apart by their length alone.
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                14 if is("content-length") => {
                    let value = content_length(header.value)?;
                    if length.is_some_and(|before| before != value) {
                        return Err(ResponseError::Malformed);
                    }
                    length = Some(value);
                }
                17 if is("transfer-encoding") => {
                    coding = header.value.rsplit(|b| *b == b',').next();
                }
                10 if is("connection") => {
                    for option in header.value.split(|b| *b == b',').map(<[u8]>::trim_ascii) {
                        if option.eq_ignore_ascii_case(b"close") {
                            keep_alive = false;
                        } else if option.eq_ignore_ascii_case(b"keep-alive") && !is_1_1 {
                            keep_alive = true;
                        }
                    }
                }
                _ => {}
            }
        }
        let body = match (coding, length) {
            (Some(last), _) if last.trim_ascii().eq_ignore_ascii_case(b"chunked") => Body::Chunked,
            (Some(_), _) | (None, None) => Body::UntilClose,
            (None, Some(length)) => Body::Length(length),
        };
        // Both framings at once may be smuggling: read it as chunked and close (RFC 9112, 6.3).
        let keep_alive = keep_alive && !(coding.is_some() && length.is_some());
        Ok(Self { body, keep_alive })
    }
}

fn content_length(value: &[u8]) -> Result<u64, ResponseError> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ResponseError::Malformed);
    }
    std::str::from_utf8(digits)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ResponseError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in two parts cut at `cut`, as a connection's buffer would.
    fn read(
        bytes: &[u8],
        cut: usize,
        answers_head: bool,
    ) -> Result<(Response, usize), ResponseError> {
        let mut response = Response::new(answers_head);
        let first = response.feed(&bytes[..cut])?;
        let second = response.feed(&bytes[first..])?;
        if !response.is_done() {
            response.closed()?;
        }
        Ok((response, first + second))
    }

    /// (bytes, answers a HEAD, status, body bytes, keep-alive, bytes left over)
    type Case = (&'static str, bool, u16, u64, bool, usize);

    const CASES: &[Case] = &[
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP", false, 200, 3, true, 4),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false, 200, 0, true, 0),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc",
            false,
            200,
            3,
            false,
            0,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na;x=y\r\n0123456789\r\n0\r\nT: v\r\n\r\n",
            false,
            200,
            13,
            true,
            0,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
            false,
            200,
            0,
            false,
            0,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
            false,
            204,
            0,
            true,
            0,
        ),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 900\r\n\r\n", false, 304, 0, true, 0),
        ("HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n", true, 200, 0, true, 0),
        ("HTTP/1.1 503 Busy\r\n\r\nuntil the end", false, 503, 13, false, 0),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", false, 200, 1, false, 0),
        (
            "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 1\r\n\r\nx",
            false,
            200,
            1,
            true,
            0,
        ),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxyz", false, 200, 3, false, 0),
    ];

    #[test]
    fn interim_answers_without_end_are_no_answer() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        let text =
            |times: usize| format!("{}HTTP/1.1 204 No Content\r\n\r\n", interim.repeat(times));
        assert!(read(text(16).as_bytes(), 0, false).is_ok());
        assert_eq!(read(text(17).as_bytes(), 0, false).unwrap_err(), ResponseError::Malformed);
    }

    #[test]
    fn every_framing_is_read_alike_wherever_it_is_cut() {
        for (text, head, status, body, keep_alive, left) in CASES {
            for cut in 0..=text.len() {
                let (response, used) = read(text.as_bytes(), cut, *head).unwrap();
                assert_eq!(
                    (response.status(), response.body_bytes(), response.keep_alive()),
                    (*status, *body, *keep_alive),
                    "{text:?} cut at {cut}"
                );
                assert_eq!(text.len() - used, *left, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_response_is_an_error_wherever_it_is_cut() {
        use ResponseError::{BodyTooLarge, ClosedEarly, Malformed};
        for (text, error) in [
            ("SSH-2.0-OpenSSH\r\n\r\n", Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", BodyTooLarge),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Malformed),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", Malformed),
            ("HTTP/1.1 101 Switching\r\n\r\n", Malformed),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", ClosedEarly),
            ("HTTP/1.1 200 OK\r\nTransfer-Enc", ClosedEarly),
            ("", ClosedEarly),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(read(text.as_bytes(), cut, false), Err(error), "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn a_head_has_a_limit() {
        let long = format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(HEAD_BYTES_MAX));
        let mut response = Response::new(false);
        let short = &long.as_bytes()[..HEAD_BYTES_MAX - 1];
        assert_eq!(response.feed(short), Ok(0));
        assert_eq!(response.feed(long.as_bytes()), Err(ResponseError::HeadTooLarge));
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(Response::new(false).feed(many.as_bytes()), Err(ResponseError::HeadTooLarge));
        let trailers = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{}",
            "a: b\r\n".repeat(LINE_BYTES_MAX)
        );
        assert_eq!(
            Response::new(false).feed(trailers.as_bytes()),
            Err(ResponseError::HeadTooLarge)
        );
    }
}
