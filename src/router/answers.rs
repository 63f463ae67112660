//! What the router answers by itself. Pure.

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};

use super::body::AnswerBody;
use super::metrics::Fault;
use super::upload::Phase;

/// To a request that got no answer. `upload` is how far its body came, where it has one.
pub(super) fn of_fault(fault: Fault, upload: Option<Phase>) -> Response<AnswerBody> {
    let answer = match (fault, upload) {
        (Fault::Timeout, _) => {
            own(StatusCode::GATEWAY_TIMEOUT, "the upstream did not answer in time")
        }
        (Fault::Connect, _) => own(StatusCode::BAD_GATEWAY, "no connection to the upstream"),
        (Fault::Router, _) => {
            own(StatusCode::SERVICE_UNAVAILABLE, "the router has no connection left")
        }
        (Fault::Abandoned, Some(Phase::Client)) => {
            own(StatusCode::REQUEST_TIMEOUT, "the request body did not come in time")
        }
        (Fault::Abandoned | Fault::GaveUp, _) => {
            own(StatusCode::BAD_REQUEST, "the request body broke off")
        }
        (Fault::Reset | Fault::Body, _) => {
            own(StatusCode::BAD_GATEWAY, "the upstream closed the connection")
        }
    };
    if upload.is_some_and(|phase| phase != Phase::Sent) { closing(answer) } else { answer }
}

/// A line of text.
pub(super) fn own(status: StatusCode, message: &'static str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Own(Some(Bytes::from_static(message.as_bytes()))));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// The last answer on its connection.
pub(super) fn closing(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
