//! One call and its outcome, as values. What may be secret is left out wherever one is shown.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::limits;
use crate::base::redact::Secret;
use crate::base::retry::RetryBudget;

/// Whether a call may be sent again after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// It may have happened: never again by itself.
    Never,
    /// Again only when it certainly had no effect: no connection came about, or the server counted
    /// it away (429).
    Unsent(RetryBudget),
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
    pub(crate) headers: Vec<(String, String)>,
    /// A JSON body.
    pub(crate) json: Option<Vec<u8>>,
    /// Over all tries, from connect to the last byte.
    pub(crate) timeout: Duration,
    pub(crate) repeat: Repeat,
    /// Sent even to a server that failed time and again: going back waits for no circuit.
    pub(crate) urgent: bool,
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
            urgent: false,
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
    #[error("{url} was not called: {failures} calls in a row failed there")]
    Open { url: String, failures: u32 },
}

/// A URL without what may be secret: credentials, query and fragment.
pub(super) fn shown(url: &str) -> String {
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

/// Scheme, host and port: what is up or down as one.
pub(super) fn origin(url: &str) -> String {
    shown(url).split('/').take(3).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_secret_is_not_shown() {
        for (url, expected, at) in [
            ("http://u:pw@h:1/a/b?token=x#y", "http://h:1/a/b", "http://h:1"),
            ("https://h?x", "https://h/", "https://h"),
            ("nonsense?x", "nonsense", "nonsense"),
        ] {
            assert_eq!((shown(url).as_str(), origin(url).as_str()), (expected, at));
        }
    }
}
