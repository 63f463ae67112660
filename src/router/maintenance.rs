//! What users get while the service is closed: a page for people, a line of JSON for programs.

use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Response, StatusCode};

use super::body::AnswerBody;

const PAGE: &str = include_str!("maintenance.html");
const JSON: &str = "{\"error\":\"closed for maintenance; try again in two minutes\"}\n";
/// In seconds: an invitation to try again, and no promise.
const AGAIN_AFTER: &str = "120";

/// The answer to a user's request with these headers.
pub(super) fn answer(asked: &HeaderMap) -> Response<AnswerBody> {
    let accepts = asked.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (kind, text) = if accepts.contains("text/html") {
        ("text/html; charset=utf-8", PAGE)
    } else {
        ("application/json", JSON)
    };
    let mut response = Response::new(AnswerBody::Own(Some(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(RETRY_AFTER, HeaderValue::from_static(AGAIN_AFTER));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
