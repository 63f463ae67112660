//! Sends calls: in time, bounded in size, again only where that is allowed, and records each.

use std::time::Instant;

use super::again;
use super::call::{Call, HttpAnswer, HttpError, origin, shown};
use super::circuit::Circuit;
use super::trace::Trace;
use crate::base::call_made::CallMade;
use crate::base::clock::{self, Clock, Entropy};
use crate::base::limits;
use crate::base::tls;

const USER_AGENT: &str = concat!("orca/", env!("CARGO_PKG_VERSION"));

/// A client with its own connections. Clones share them, the circuit and the record.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    entropy: Entropy,
    clock: Clock,
    /// Absent for services on this machine: they come back at once, and cost nothing.
    circuit: Option<Circuit>,
    trace: Trace,
}

impl HttpClient {
    /// For services on the network; a proxy of the system is used.
    pub(crate) fn new(entropy: Entropy) -> Result<Self, HttpError> {
        Self::build(reqwest::Client::builder(), entropy, Some(Circuit::default()))
    }

    /// For services on this machine; no proxy is used.
    pub(crate) fn direct(entropy: Entropy) -> Result<Self, HttpError> {
        Self::build(reqwest::Client::builder().no_proxy(), entropy, None)
    }

    fn build(
        builder: reqwest::ClientBuilder,
        entropy: Entropy,
        circuit: Option<Circuit>,
    ) -> Result<Self, HttpError> {
        let client = builder
            .tls_backend_preconfigured(tls::client_config())
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| HttpError::Client { cause: cause_of(&error) })?;
        Ok(Self { client, entropy, clock: Clock::System, circuit, trace: Trace::default() })
    }

    /// The calls that were made, the newest last.
    pub(crate) fn calls(&self) -> Vec<CallMade> {
        self.trace.calls()
    }

    /// Sends the call, again only when it may be repeated.
    pub(crate) async fn send(&self, call: &Call) -> Result<HttpAnswer, HttpError> {
        let start = clock::monotonic();
        let within = tokio::time::timeout(call.timeout, self.tries(call, start)).await;
        within.unwrap_or_else(|_| {
            let error = HttpError::Timeout { url: shown(&call.url), timeout: call.timeout };
            self.note(call, start, Err(&error));
            Err(error)
        })
    }

    async fn tries(&self, call: &Call, start: Instant) -> Result<HttpAnswer, HttpError> {
        let mut failed = 0;
        loop {
            let began = clock::monotonic();
            if let Some(circuit) = self.circuit.as_ref().filter(|_| !call.urgent) {
                let url = || shown(&call.url);
                circuit
                    .admit(&origin(&call.url), began)
                    .map_err(|failures| HttpError::Open { url: url(), failures })?;
            }
            let outcome = self.once(call).await;
            self.note(call, began, outcome.as_ref());
            failed += 1;
            let left = call.timeout.saturating_sub(clock::since(start));
            let at = (self.clock.now(), &self.entropy);
            match again::wait((call.repeat, failed), &outcome, left, at) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return outcome,
            }
        }
    }

    fn note(&self, call: &Call, start: Instant, outcome: Result<&HttpAnswer, &HttpError>) {
        self.trace.note(call, start, outcome);
        if let Some(circuit) = &self.circuit {
            let is_up = match outcome {
                Ok(answer) => answer.status < 500,
                Err(HttpError::TooLarge { .. } | HttpError::Request { .. }) => true,
                Err(_) => false,
            };
            circuit.note(&origin(&call.url), clock::monotonic(), is_up);
        }
    }

    async fn once(&self, call: &Call) -> Result<HttpAnswer, HttpError> {
        let url = || shown(&call.url);
        let mut request = self.client.request(call.method.clone(), &call.url);
        if let Some(token) = &call.bearer {
            request = request.bearer_auth(token.expose());
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        if let Some(json) = &call.json {
            let is_named = |(name, _): &(String, String)| name.eq_ignore_ascii_case("content-type");
            if !call.headers.iter().any(is_named) {
                request = request.header("content-type", "application/json");
            }
            request = request.body(json.clone());
        }
        let mut response = request.send().await.map_err(|error| {
            let cause = cause_of(&error);
            if error.is_builder() {
                HttpError::Request { url: url(), cause }
            } else if error.is_connect() {
                HttpError::Connect { url: url(), cause }
            } else {
                HttpError::Broken { url: url(), cause }
            }
        })?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| HttpError::Broken { url: url(), cause: cause_of(&error) })?
        {
            if body.len() + chunk.len() > limits::HTTP_BODY_BYTES_MAX {
                let bytes_max = limits::HTTP_BODY_BYTES_MAX;
                return Err(HttpError::TooLarge { url: url(), bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into();
        let headers =
            response.headers().iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect();
        Ok(HttpAnswer { status: response.status().as_u16(), headers, body })
    }
}

/// The innermost cause; the outer ones repeat the URL.
fn cause_of(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    if std::ptr::addr_eq(cause, error) { "failed".to_owned() } else { cause.to_string() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::retry::RetryBudget;
    use crate::providers::http::Repeat;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Answers each connection with the next text; an empty one closes it.
    async fn server(answers: Vec<&'static str>) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://u:pw@{}/path?token=abc", listener.local_addr().unwrap());
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
            std::future::pending::<()>().await;
        });
        url
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
    const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    const NAMED: &str =
        "HTTP/1.1 200 OK\r\nX-Vercel-Id: iad1::7\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

    fn budget() -> Repeat {
        Repeat::Safe(RetryBudget {
            tries: 3,
            first_wait: Duration::from_millis(1),
            wait_max: Duration::from_millis(2),
        })
    }

    #[tokio::test]
    async fn only_what_is_safe_is_repeated() {
        let client = HttpClient::direct(Entropy::seeded(1)).unwrap();
        let mut call = Call::get(server(vec![BUSY, "", OK]).await);
        call.repeat = budget();
        assert_eq!(client.send(&call).await.unwrap().body, b"ok");
        let call = Call::post(server(vec![BUSY, OK]).await, b"{}".to_vec());
        assert_eq!(client.send(&call).await.unwrap().status, 503);
    }

    #[tokio::test]
    async fn errors_name_the_place_and_nothing_secret() {
        let client = HttpClient::direct(Entropy::seeded(1)).unwrap();
        let broken = client.send(&Call::get(server(vec![""]).await)).await.unwrap_err();
        let mut silent = Call::get(server(vec![]).await);
        silent.timeout = Duration::from_millis(50);
        let timeout = client.send(&silent).await.unwrap_err();
        assert!(matches!(broken, HttpError::Broken { .. }), "{broken}");
        assert!(matches!(timeout, HttpError::Timeout { .. }), "{timeout}");
        for text in [broken.to_string(), timeout.to_string()] {
            assert!(!text.contains("abc") && !text.contains("pw"), "{text}");
            assert!(text.contains("/path"), "{text}");
        }
    }

    #[tokio::test]
    async fn every_call_is_recorded_without_its_secrets() {
        let client = HttpClient::direct(Entropy::seeded(1)).unwrap();
        let mut call = Call::get(server(vec![BUSY, NAMED]).await);
        call.repeat = budget();
        client.clone().send(&call).await.unwrap();
        let calls = client.calls();
        let seen: Vec<_> = calls.iter().map(|c| (c.status, c.request_id.as_deref())).collect();
        assert_eq!(seen, [(Some(503), None), (Some(200), Some("iad1::7"))]);
        let text = serde_json::to_string(&calls).unwrap();
        assert!(!text.contains("abc") && !text.contains("pw") && text.contains("/path"), "{text}");
        assert!(!calls[0].is_change());
    }

    #[tokio::test]
    async fn a_server_that_is_down_is_left_alone_unless_it_is_urgent() {
        let client = HttpClient::new(Entropy::seeded(1)).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let nobody = format!("http://{}/x", listener.local_addr().unwrap());
        drop(listener);
        let mut call = Call::get(nobody);
        for _ in 0..5 {
            let error = client.send(&call).await.unwrap_err();
            assert!(matches!(error, HttpError::Connect { .. }), "{error}");
        }
        let error = client.send(&call).await.unwrap_err();
        assert!(error.to_string().contains("5 calls in a row failed"), "{error}");
        call.urgent = true;
        let error = client.send(&call).await.unwrap_err();
        assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    }

    /// A company's own authority, as a file beside the roots of the machine.
    #[tokio::test]
    async fn an_authority_from_a_file_is_trusted() {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let url = tls_server(&own).await;
        let client = HttpClient::direct(Entropy::seeded(1)).unwrap();
        let error = client.send(&Call::get(url.clone())).await.unwrap_err();
        assert!(matches!(error, HttpError::Connect { .. }), "{error}");
        let file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file.as_file(), tls::pem_of(own.cert.der()).as_bytes())
            .unwrap();
        assert_eq!(tls::also_trust(file.path()), Ok(1));
        assert!(tls::also_trust(file.path()).unwrap_err().contains("already"));
        let client = HttpClient::direct(Entropy::seeded(1)).unwrap();
        assert_eq!(client.send(&Call::get(url)).await.unwrap().body, b"ok");
    }

    async fn tls_server(own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
        use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key)
            .unwrap();
        let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}/", listener.local_addr().unwrap().port());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let _ = stream.read(&mut [0; 4096]).await;
                    let _ = stream.write_all(OK.as_bytes()).await;
                    let _ = stream.shutdown().await;
                }
            }
        });
        url
    }
}
