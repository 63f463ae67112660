//! The way to the target: TCP, or TLS over it. Says how long each phase took, and names what went
//! wrong. One TLS configuration serves all connections of a run, so sessions are reused.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, HandshakeKind};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::plan::Draft;
use super::recorder::Failure;
use super::secured::Secured;
use crate::base::{clock, tls};

/// How long the phases of one request took, in microseconds; nothing where there was none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks {
    pub(crate) connect_us: Option<u64>,
    pub(crate) tls_us: Option<u64>,
    /// The TLS session was an earlier one.
    pub(crate) is_resumed: bool,
    /// From the sending to the first byte of the answer.
    pub(crate) first_byte_us: Option<u64>,
}

/// Where to connect and how.
#[derive(Clone)]
pub(crate) struct Way {
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    http2: bool,
}

impl std::fmt::Debug for Way {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Way").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Way {
    /// A checked plan's host is a name that TLS can verify.
    pub(crate) fn new(address: SocketAddr, plan: &Draft) -> Self {
        let protocol: &[u8] = if plan.http2 { b"h2" } else { b"http/1.1" };
        let tls = plan.target.server_name().filter(|_| plan.target.is_tls).map(|name| {
            let trust = if plan.insecure { tls::Trust::Anyone } else { tls::Trust::Roots };
            (Arc::new(tls::client_config_for(&[protocol], trust)), name)
        });
        Self { address, tls, http2: plan.http2 }
    }

    pub(crate) async fn connect(&self, marks: &mut Marks) -> Result<Stream, Failure> {
        let begun = clock::monotonic();
        let tcp = TcpStream::connect(self.address).await.map_err(|e| connect_failure(&e))?;
        // Without it a request in two segments waits for an acknowledgement.
        tcp.set_nodelay(true).map_err(|_| Failure::Connect)?;
        marks.connect_us = Some(clock::elapsed_us(begun));
        let Some((config, name)) = &self.tls else { return Ok(Stream::Plain(tcp)) };
        let begun = clock::monotonic();
        let secured = Secured::open(tcp, Arc::clone(config), name.clone());
        let stream = secured.await.map_err(|error| tls_failure(&error))?;
        marks.tls_us = Some(clock::elapsed_us(begun));
        let session = stream.session();
        marks.is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        if self.http2 && session.alpn_protocol() != Some(b"h2") {
            return Err(Failure::NoHttp2);
        }
        Ok(Stream::Tls(Box::new(stream)))
    }
}

/// Whose fault it is that no connection was made.
fn connect_failure(error: &io::Error) -> Failure {
    use rustix::io::Errno;
    match Errno::from_io_error(error) {
        Some(Errno::ADDRNOTAVAIL | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => {
            Failure::Generator
        }
        _ => Failure::Connect,
    }
}

/// Why a handshake failed.
fn tls_failure(error: &io::Error) -> Failure {
    use CertificateError as Why;
    let known = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match known {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            Why::Expired
            | Why::ExpiredContext { .. }
            | Why::NotValidYet
            | Why::NotValidYetContext { .. } => Failure::TlsExpired,
            Why::NotValidForName | Why::NotValidForNameContext { .. } => Failure::TlsWrongHost,
            _ => Failure::TlsUntrusted,
        },
        Some(rustls::Error::NoApplicationProtocol) => Failure::NoHttp2,
        Some(_) => Failure::Tls,
        None if error.kind() == io::ErrorKind::UnexpectedEof => Failure::Tls,
        None => Failure::Reset,
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<Secured>),
}

impl Stream {
    /// Whether a kept connection is still open and silent. Costs no system call while it is.
    pub(crate) fn is_idle(&mut self) -> bool {
        match self {
            Self::Plain(stream) => {
                let seen = stream.try_read(&mut [0]);
                matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Self::Tls(stream) => stream.is_idle(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, room),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, room),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd,
    };
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{RootCertStore, ServerConfig};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    #[test]
    fn what_this_machine_lacks_is_not_the_targets_fault() {
        use rustix::io::Errno;
        for (error, failure) in [
            (Errno::ADDRNOTAVAIL, Failure::Generator),
            (Errno::MFILE, Failure::Generator),
            (Errno::NOBUFS, Failure::Generator),
            (Errno::CONNREFUSED, Failure::Connect),
            (Errno::HOSTUNREACH, Failure::Connect),
        ] {
            assert_eq!(connect_failure(&error.into()), failure, "{error}");
        }
        assert_eq!(connect_failure(&io::Error::other("no number")), Failure::Connect);
    }

    fn provider() -> Arc<rustls::crypto::CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    /// A server whose certificate is for `host` and ends in `year`, and a client that knows its
    /// issuer. The server says one byte on each connection.
    async fn server(host: &str, year: i32) -> (SocketAddr, ClientConfig) {
        let mut issuer = CertificateParams::default();
        issuer.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(issuer, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut own = CertificateParams::new(vec![host.to_owned()]).unwrap();
        (own.not_before, own.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, 1, 1));
        let certificate = own.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        let _ = stream.write_all(b"x").await;
                        let _ = stream.read(&mut [0]).await;
                    }
                });
            }
        });
        let mut roots = RootCertStore::empty();
        roots.add(issuer.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        (address, client)
    }

    fn way(address: SocketAddr, config: ClientConfig, http2: bool) -> Way {
        let name = ServerName::try_from("shop.example").unwrap();
        Way { address, tls: Some((Arc::new(config), name)), http2 }
    }

    async fn failure(way: Way) -> Option<Failure> {
        way.connect(&mut Marks::default()).await.err()
    }

    #[tokio::test]
    async fn a_session_is_taken_up_again() {
        let (address, config) = server("shop.example", 4_000).await;
        let way = way(address, config, false);
        for is_resumed in [false, true] {
            let mut marks = Marks::default();
            let mut stream = way.connect(&mut marks).await.unwrap();
            assert_eq!(marks.is_resumed, is_resumed);
            assert!(marks.connect_us.is_some() && marks.tls_us.is_some());
            // The tickets for the next session come before the first byte.
            assert_eq!(stream.read_u8().await.unwrap(), b'x');
            assert!(stream.is_idle());
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_certificate_is_named() {
        let (address, config) = server("shop.example", 2_001).await;
        assert_eq!(failure(way(address, config, false)).await, Some(Failure::TlsExpired));
        let (address, config) = server("other.example", 4_000).await;
        assert_eq!(failure(way(address, config, false)).await, Some(Failure::TlsWrongHost));
        let (address, config) = server("shop.example", 4_000).await;
        assert_eq!(failure(way(address, config, true)).await, Some(Failure::NoHttp2));
        let known = tls::client_config_for(&[], tls::Trust::Roots);
        assert_eq!(failure(way(address, known, false)).await, Some(Failure::TlsUntrusted));
        let any = tls::client_config_for(&[], tls::Trust::Anyone);
        assert_eq!(failure(way(address, any, false)).await, None);
    }

    #[tokio::test]
    async fn a_port_without_tls_is_told_apart_from_one_that_refuses() {
        let (_, config) = server("shop.example", 4_000).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let answers = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            let _ = stream.read(&mut [0; 1_024]).await;
        });
        assert_eq!(failure(way(address, config.clone(), false)).await, Some(Failure::Tls));
        answers.await.unwrap();
        assert_eq!(failure(way(address, config, false)).await, Some(Failure::Connect));
    }
}
