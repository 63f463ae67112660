//! The HTTP client of every provider: the one home of reqwest.
//!
//! Every call has a timeout over the whole of it and a size limit; redirects are not followed;
//! only a call that is declared safe to repeat is tried again. Errors never carry a query string,
//! a header or a body.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::clock::Entropy;
use crate::base::limits;
use crate::base::redact::Secret;
use crate::base::retry::RetryBudget;
use crate::base::tls;

const USER_AGENT: &str = concat!("orca/", env!("CARGO_PKG_VERSION"));

/// Whether a call may be sent again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It may have happened: never again by itself.
    Never,
    /// Doing it twice is doing it once.
    Safe(RetryBudget),
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: http::Method,
    pub(crate) url: String,
    pub(crate) bearer: Option<Secret>,
    /// Further headers; their values are not shown in errors.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// A JSON body.
    pub(crate) json: Option<Vec<u8>>,
    /// Over all tries, from connect to the last byte.
    pub(crate) timeout: Duration,
    pub(crate) repeat: Repeat,
}

impl Call {
    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self {
            method: http::Method::GET,
            url: url.into(),
            bearer: None,
            headers: Vec::new(),
            json: None,
            timeout: limits::HTTP_CALL,
            repeat: Repeat::Never,
        }
    }

    pub(crate) fn post(url: impl Into<String>, json: Vec<u8>) -> Self {
        Self { method: http::Method::POST, json: Some(json), ..Self::get(url) }
    }
}

/// An answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    /// Names in lower case; of several with one name the last.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("no HTTP client: {cause}")]
    Client { cause: String },
    #[error("'{url}' is not a URL that can be called: {cause}")]
    Request { url: String, cause: String },
    #[error("no connection to {url}: {cause}")]
    Connect { url: String, cause: String },
    #[error("{url} did not answer within {} ms", timeout.as_millis())]
    Timeout { url: String, timeout: Duration },
    #[error("the answer of {url} broke off: {cause}")]
    Broken { url: String, cause: String },
    #[error("the answer of {url} is larger than {bytes_max} bytes")]
    TooLarge { url: String, bytes_max: usize },
}

/// A client with its own connections.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
    entropy: Entropy,
}

impl HttpClient {
    /// For services on the network; a proxy of the system is used.
    pub(crate) fn new(entropy: Entropy) -> Result<Self, HttpError> {
        Self::build(reqwest::Client::builder(), entropy)
    }

    /// For services on this machine; no proxy is used.
    pub(crate) fn direct(entropy: Entropy) -> Result<Self, HttpError> {
        Self::build(reqwest::Client::builder().no_proxy(), entropy)
    }

    fn build(builder: reqwest::ClientBuilder, entropy: Entropy) -> Result<Self, HttpError> {
        let client = builder
            .tls_backend_preconfigured(tls::client_config())
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| HttpError::Client { cause: cause_of(&error) })?;
        Ok(Self { client, entropy })
    }

    /// Sends the call, again only when it may be repeated.
    pub(crate) async fn send(&self, call: &Call) -> Result<HttpAnswer, HttpError> {
        let within = tokio::time::timeout(call.timeout, self.tries(call)).await;
        within.unwrap_or_else(|_| {
            Err(HttpError::Timeout { url: shown(&call.url), timeout: call.timeout })
        })
    }

    async fn tries(&self, call: &Call) -> Result<HttpAnswer, HttpError> {
        let budget = match call.repeat {
            Repeat::Never => RetryBudget::NONE,
            Repeat::Safe(budget) => budget,
        };
        let mut failed = 0;
        loop {
            let outcome = self.once(call).await;
            let again = match &outcome {
                Ok(answer) => matches!(answer.status, 429 | 502 | 503 | 504),
                Err(error) => {
                    matches!(error, HttpError::Connect { .. } | HttpError::Broken { .. })
                }
            };
            failed += 1;
            match budget.wait_after(failed, &self.entropy).filter(|_| again) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return outcome,
            }
        }
    }

    async fn once(&self, call: &Call) -> Result<HttpAnswer, HttpError> {
        let url = || shown(&call.url);
        let mut request = self.client.request(call.method.clone(), &call.url);
        if let Some(token) = &call.bearer {
            request = request.bearer_auth(token.expose());
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        if let Some(json) = &call.json {
            request = request.header("content-type", "application/json").body(json.clone());
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

/// A URL without what may be secret: credentials, query and fragment.
fn shown(url: &str) -> String {
    let bare = url.split(['?', '#']).next().unwrap_or_default();
    match bare.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_once('/').map_or((rest, ""), |(a, p)| (a, p));
            let host = authority.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}/{path}")
        }
        None => bare.to_owned(),
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
    use super::*;
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
}
