//! TLS over TCP as the sender needs it: rustls works in buffers that live as long as the connection, so
//! a request costs one write, one read, and what its encryption costs. See
//! `docs/adr/0017-tls-of-the-sender.md`.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ClientConfig;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The most that one record carries (RFC 8446, section 5.1).
const RECORD_BYTES_MAX: usize = 1 << 14;
/// The longest handshake message that rustls takes, and a record around its end.
const INCOMING_BYTES_MAX: usize = (1 << 16) + 2 * RECORD_BYTES_MAX;
const INCOMING_BYTES: usize = 1 << 12;

/// A connection whose handshake is over.
pub(super) struct Secured {
    tcp: TcpStream,
    session: UnbufferedClientConnection,
    /// Received and not yet understood, in its first `received` bytes.
    incoming: Vec<u8>,
    received: usize,
    /// Understood and not yet read, from `read` on.
    plain: Vec<u8>,
    read: usize,
    /// To be sent, from `sent` to `queued`.
    outgoing: Vec<u8>,
    sent: usize,
    queued: usize,
    /// The other side said that nothing more comes.
    is_ended: bool,
    /// This side said so.
    is_closed: bool,
}

impl std::fmt::Debug for Secured {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Secured").field("tcp", &self.tcp).finish_non_exhaustive()
    }
}

/// What is asked of the session.
enum Wish<'a, 'b> {
    Read(&'a mut ReadBuf<'b>),
    Encrypt(&'a [u8]),
    Close,
    Nothing,
}

/// What the session came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// There may be more in what was received.
    Again,
    /// The handshake needs an answer.
    Waits,
    /// The handshake is over, nothing is left of what was received, and the wish to send is fulfilled.
    Open,
}

impl Secured {
    /// Shakes hands. An error that is not of the network carries the one of rustls.
    pub(super) async fn open(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let session = UnbufferedClientConnection::new(config, name).map_err(told)?;
        let mut own = Self {
            tcp,
            session,
            incoming: vec![0; INCOMING_BYTES],
            received: 0,
            plain: Vec::new(),
            read: 0,
            outgoing: Vec::new(),
            sent: 0,
            queued: 0,
            is_ended: false,
            is_closed: false,
        };
        let opened = poll_fn(|context| own.poll_open(context)).await;
        if opened.is_err() {
            own.say_why().await;
        }
        opened.map(|()| own)
    }

    /// What was agreed on.
    pub(super) fn session(&self) -> &rustls::CommonState {
        &self.session
    }

    /// Whether the connection is open, and nothing came that somebody would have to read.
    pub(super) fn is_idle(&mut self) -> bool {
        loop {
            match self.tcp.try_read(&mut self.incoming[self.received..]) {
                Ok(0) => return false,
                Ok(count) => self.received += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return self.read == self.plain.len() && !self.is_ended;
                }
                Err(_) => return false,
            }
            // A ticket for the next session, or new keys.
            while !self.is_ended && self.received > 0 {
                match self.turn(Wish::Nothing) {
                    Ok(Turn::Again) => {}
                    Ok(Turn::Open) => break,
                    Ok(Turn::Waits) | Err(_) => return false,
                }
            }
        }
    }

    fn poll_open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let turn = self.turn(Wish::Nothing)?;
            if turn != Turn::Again {
                ready!(self.poll_drain(context))?;
            }
            match turn {
                Turn::Again if self.is_ended => {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
                Turn::Again => {}
                Turn::Waits => ready!(self.poll_fill(context))?,
                Turn::Open => return Poll::Ready(Ok(())),
            }
        }
    }

    /// The alert that tells the other side why no handshake came of it, if it can still be sent.
    async fn say_why(&mut self) {
        // Only to fetch what waits: what was received may be half a message.
        while self.session.wants_write() {
            if self.turn(Wish::Nothing).is_err() {
                return;
            }
        }
        let _ = poll_fn(|context| self.poll_drain(context)).await;
    }

    /// One step of the session through what was received.
    fn turn(&mut self, wish: Wish<'_, '_>) -> io::Result<Turn> {
        let received = &mut self.incoming[..self.received];
        let UnbufferedStatus { mut discard, state } = self.session.process_tls_records(received);
        let (outgoing, queued) = (&mut self.outgoing, &mut self.queued);
        let turn = match state.map_err(told)? {
            ConnectionState::ReadTraffic(mut traffic) => {
                let mut room = match wish {
                    Wish::Read(room) => Some(room),
                    _ => None,
                };
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(told)?;
                    discard += record.discard;
                    let now = room.as_ref().map_or(0, |room| room.remaining());
                    let (now, later) = record.payload.split_at(now.min(record.payload.len()));
                    if let Some(room) = &mut room {
                        room.put_slice(now);
                    }
                    self.plain.extend_from_slice(later);
                }
                Turn::Again
            }
            ConnectionState::EncodeTlsData(mut data) => {
                *queued += growing(outgoing, *queued, |room| data.encode(room))?;
                Turn::Again
            }
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Turn::Again
            }
            ConnectionState::PeerClosed => {
                self.is_ended = true;
                Turn::Again
            }
            ConnectionState::Closed => {
                self.is_ended = true;
                Turn::Waits
            }
            ConnectionState::BlockedHandshake => Turn::Waits,
            ConnectionState::WriteTraffic(mut traffic) => {
                *queued += match wish {
                    Wish::Encrypt(bytes) => {
                        growing(outgoing, *queued, |room| traffic.encrypt(bytes, room))?
                    }
                    Wish::Close => {
                        growing(outgoing, *queued, |room| traffic.queue_close_notify(room))?
                    }
                    Wish::Read(_) | Wish::Nothing => 0,
                };
                Turn::Open
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        };
        if discard > 0 {
            self.incoming.copy_within(discard..self.received, 0);
            self.received -= discard;
        }
        Ok(turn)
    }

    /// Receives more.
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.received == self.incoming.len() {
            if self.received >= INCOMING_BYTES_MAX {
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
            self.incoming.resize(2 * self.received, 0);
        }
        let mut room = ReadBuf::new(&mut self.incoming[self.received..]);
        ready!(Pin::new(&mut self.tcp).poll_read(context, &mut room))?;
        let count = room.filled().len();
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        self.received += count;
        Poll::Ready(Ok(()))
    }

    /// Sends what is queued.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.queued {
            let unsent = &self.outgoing[self.sent..self.queued];
            match ready!(Pin::new(&mut self.tcp).poll_write(context, unsent))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        (self.sent, self.queued) = (0, 0);
        Poll::Ready(Ok(()))
    }

    /// Queues what the wish comes to, once all before it has left, and begins to send it.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        bytes: Option<&[u8]>,
    ) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(context))?;
        loop {
            let turn = self.turn(bytes.map_or(Wish::Close, Wish::Encrypt));
            // The keys are used up: the connection is of no use to anybody.
            self.is_ended |= turn.is_err();
            match turn? {
                Turn::Again => {}
                Turn::Open => break,
                // One side has said that nothing more comes.
                Turn::Waits => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        match self.poll_drain(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// Writes into the room behind what is queued, which grows where it is too small.
fn growing<E: Into<Unwritten>>(
    outgoing: &mut Vec<u8>,
    queued: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<usize> {
    loop {
        match write(&mut outgoing[queued..]).map_err(Into::into) {
            Ok(count) => return Ok(count),
            Err(Unwritten::Needs(InsufficientSizeError { required_size })) => {
                outgoing.resize(queued + required_size, 0);
            }
            Err(Unwritten::Never) => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Why nothing was written.
enum Unwritten {
    Needs(InsufficientSizeError),
    Never,
}

impl From<EncodeError> for Unwritten {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::InsufficientSize(size) => Self::Needs(size),
            EncodeError::AlreadyEncoded => Self::Never,
        }
    }
}

impl From<EncryptError> for Unwritten {
    fn from(error: EncryptError) -> Self {
        match error {
            EncryptError::InsufficientSize(size) => Self::Needs(size),
            EncryptError::EncryptExhausted => Self::Never,
        }
    }
}

fn told(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl AsyncRead for Secured {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        if room.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if own.read < own.plain.len() {
            let count = room.remaining().min(own.plain.len() - own.read);
            room.put_slice(&own.plain[own.read..own.read + count]);
            own.read += count;
            return Poll::Ready(Ok(()));
        }
        own.plain.clear();
        own.read = 0;
        let before = room.filled().len();
        loop {
            let mut turn = if own.received > 0 { Turn::Again } else { Turn::Open };
            while turn == Turn::Again && !own.is_ended {
                turn = own.turn(Wish::Read(room))?;
                if room.filled().len() > before {
                    return Poll::Ready(Ok(()));
                }
            }
            if own.queued > 0 {
                // An answer of the protocol to what was read: nobody waits for it.
                if let Poll::Ready(Err(error)) = own.poll_drain(context) {
                    return Poll::Ready(Err(error));
                }
            }
            if own.is_ended {
                return Poll::Ready(Ok(()));
            }
            ready!(own.poll_fill(context))?;
        }
    }
}

impl AsyncWrite for Secured {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let bytes = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
        self.get_mut().poll_send(context, Some(bytes)).map_ok(|()| bytes.len())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().poll_drain(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let own = self.get_mut();
        if !own.is_closed {
            ready!(own.poll_send(context, None))?;
            own.is_closed = true;
        }
        ready!(own.poll_drain(context))?;
        Pin::new(&mut own.tcp).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, SupportedProtocolVersion, version};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::server::TlsStream;

    use super::*;
    use crate::base::tls;

    type Accepted = io::Result<TlsStream<TcpStream>>;

    /// A server of this version of TLS that does so with its connections.
    async fn server<F>(
        version: &'static SupportedProtocolVersion,
        serve: impl Fn(Accepted) -> F + Send + Sync + 'static,
    ) -> SocketAddr
    where
        F: Future<Output = ()> + Send,
    {
        let own = rcgen::generate_simple_self_signed(vec!["shop.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                serve(acceptor.accept(tcp).await).await;
            }
        });
        address
    }

    /// The way there, in pieces of so many bytes.
    async fn in_pieces(to: SocketAddr, bytes: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut client, _) = listener.accept().await.unwrap();
            let mut server = TcpStream::connect(to).await.unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            let _ =
                tokio::io::copy_bidirectional_with_sizes(&mut client, &mut server, bytes, bytes)
                    .await;
        });
        address
    }

    async fn secured(address: SocketAddr, trust: tls::Trust) -> io::Result<Secured> {
        let tcp = TcpStream::connect(address).await.unwrap();
        let config = Arc::new(tls::client_config_for(&[], trust));
        Secured::open(tcp, config, ServerName::try_from("shop.example").unwrap()).await
    }

    async fn echo(accepted: Accepted) {
        let (mut reader, mut writer) = tokio::io::split(accepted.unwrap());
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    }

    /// However its bytes are cut, and more in one direction than records and buffers hold.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_sent_comes_back_and_ends() {
        for version in [&version::TLS12, &version::TLS13] {
            for (pieces, length) in [(1, 3_000), (7, 40_000), (70_000, 1_000_000)] {
                let way = in_pieces(server(version, echo).await, pieces).await;
                let secured = secured(way, tls::Trust::Anyone).await.unwrap();
                assert_eq!(secured.session().protocol_version(), Some(version.version));
                let (mut reader, mut writer) = tokio::io::split(secured);
                let sent: Vec<u8> =
                    (0..length).map(|n: u32| n.to_le_bytes()[n as usize % 3]).collect();
                let sending = async {
                    writer.write_all(&sent).await.unwrap();
                    writer.shutdown().await.unwrap();
                };
                let mut received = Vec::new();
                let ((), read) = tokio::join!(sending, reader.read_to_end(&mut received));
                assert_eq!(read.unwrap(), sent.len(), "{pieces}");
                assert!(received == sent, "{pieces}");
            }
        }
    }

    /// With new keys from either side the connection goes on, and nobody takes them for an answer.
    #[tokio::test(flavor = "multi_thread")]
    async fn new_keys_are_taken() {
        let address = server(&version::TLS13, async |accepted: Accepted| {
            let mut stream = accepted.unwrap();
            while let Ok(byte) = stream.read_u8().await {
                stream.write_u8(byte).await.unwrap();
                stream.get_mut().1.refresh_traffic_keys().unwrap();
                stream.flush().await.unwrap();
            }
        });
        let mut secured = secured(address.await, tls::Trust::Anyone).await.unwrap();
        for byte in 0..20 {
            secured.write_u8(byte).await.unwrap();
            secured.flush().await.unwrap();
            assert_eq!(secured.read_u8().await.unwrap(), byte);
            assert!(secured.is_idle());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_end_that_nobody_announced_is_an_error() {
        for (raw, expected) in
            [(&b""[..], io::ErrorKind::UnexpectedEof), (b"nonsense", io::ErrorKind::InvalidData)]
        {
            let address = server(&version::TLS13, async move |accepted: Accepted| {
                let mut stream = accepted.unwrap();
                assert_eq!(stream.read_u8().await.unwrap(), 7);
                stream.write_u8(8).await.unwrap();
                stream.flush().await.unwrap();
                stream.get_mut().0.write_all(raw).await.unwrap();
            });
            let mut secured = secured(address.await, tls::Trust::Anyone).await.unwrap();
            secured.write_u8(7).await.unwrap();
            assert_eq!(secured.read_u8().await.unwrap(), 8);
            assert_eq!(secured.read_u8().await.unwrap_err().kind(), expected);
            assert!(!secured.is_idle());
        }
    }

    /// Half a message of the handshake, and one longer than any may be.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_handshake_that_breaks_off_is_an_error() {
        for half in [
            b"\x16\x03\x03\x00\x06\x02\x00\x40\x00\x03\x03",
            b"\x16\x03\x03\x00\x06\x02\xff\x00\x00\x03\x03",
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let server = tokio::spawn(async move {
                let (mut tcp, _) = listener.accept().await.unwrap();
                assert!(tcp.read(&mut [0; 4_096]).await.unwrap() > 0);
                tcp.write_all(half).await.unwrap();
            });
            assert!(secured(address, tls::Trust::Anyone).await.is_err());
            server.await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_server_learns_why_its_certificate_is_refused() {
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let address = server(&version::TLS13, move |accepted: Accepted| {
            let _ = told.send(accepted.unwrap_err().to_string());
            std::future::ready(())
        });
        let refused = secured(address.await, tls::Trust::Roots).await.unwrap_err();
        assert!(refused.get_ref().unwrap().is::<rustls::Error>(), "{refused}");
        let said = heard.recv().await.unwrap();
        assert!(said.contains("alert"), "{said}");
    }
}
