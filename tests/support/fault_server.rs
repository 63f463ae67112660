//! A small HTTP/1.1 server on loopback whose answers are scripted, and that remembers what it was
//! asked. One answer a connection; after the script it answers like the last entry.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// What the server does with one request.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Answers with this status and body.
    Answer(u16, String),
    /// Reads the request and closes without a byte.
    Hangup,
    /// Says how long the body will be, sends half of it, closes.
    CutShort,
    /// Reads the request and never answers; the connection stays open.
    Silence,
    /// Bytes that are not HTTP.
    Garbage,
}

pub(crate) struct FaultServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl FaultServer {
    /// Answers the first request with the first fault, and so on. The script is not empty.
    pub(crate) fn start(script: Vec<Fault>) -> Self {
        assert!(!script.is_empty(), "a script says at least one thing");
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        // The thread ends with the test's process; silent connections are kept open until then.
        thread::spawn(move || {
            let mut silent = Vec::new();
            for (number, connection) in listener.incoming().flatten().enumerate() {
                let fault = script.get(number).or(script.last()).expect("the script is not empty");
                silent.extend(serve(connection, fault, &log));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The request lines so far, in order: `GET /health HTTP/1.1`.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Does what the script says; answers the connection when it must stay open.
fn serve(mut stream: TcpStream, fault: &Fault, log: &Mutex<Vec<String>>) -> Option<TcpStream> {
    let line = read_request(&stream)?;
    log.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    let reply = match fault {
        Fault::Answer(status, body) => format!(
            "HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        ),
        Fault::CutShort => "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf ".to_owned(),
        Fault::Garbage => "\u{1}\u{2}not http\r\n\r\n".to_owned(),
        Fault::Hangup => String::new(),
        Fault::Silence => return Some(stream),
    };
    // A client that went away is the client's business.
    let _ = stream.write_all(reply.as_bytes());
    None
}

/// The request line, after the head and a body of the announced length were read.
fn read_request(stream: &TcpStream) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut body = 0_u64;
    loop {
        let mut line = String::new();
        let read = reader.read_line(&mut line).ok()?;
        if read == 0 || line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body = value.trim().parse().ok()?;
        }
    }
    std::io::copy(&mut reader.take(body), &mut std::io::sink()).ok()?;
    Some(first.trim_end().to_owned())
}
