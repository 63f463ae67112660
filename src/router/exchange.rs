//! One request over one connection to an upstream.
//!
//! A request is sent twice only when an old connection died under it and it is safe to repeat:
//! idempotent and without a body. What was never sent is handed back.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body as _, Incoming};

use super::control::Target;
use super::metrics::Fault;
use super::pool::{Idle, Lease};
use super::sockets;
use super::upload::Upload;

/// Why there is no answer.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// The request, when nothing of it was sent.
    pub(super) unsent: Option<Box<Request<Upload>>>,
}

/// Sends on an idle connection, else on a fresh one.
pub(super) async fn send(
    target: &Target,
    idle: &Arc<Idle>,
    mut request: Request<Upload>,
    connect_timeout: Duration,
) -> Result<(Response<Incoming>, Lease), Failed> {
    let mut used = idle.take();
    loop {
        let reused = used.is_some();
        let mut sender = match used {
            Some(sender) => sender,
            None => match target.address.open(connect_timeout).await {
                Ok(sender) => sender,
                Err(error) => {
                    tracing::debug!(%error, upstream = %target.upstream.url, "no connection");
                    let is_own = sockets::is_shortage(&error);
                    let fault = if is_own { Fault::Router } else { Fault::Connect };
                    return Err(Failed { fault, unsent: Some(Box::new(request)) });
                }
            },
        };
        let again = if reused { repeat_of(&request) } else { None };
        match sender.try_send_request(request).await {
            Ok(response) => {
                return Ok((response, Lease { sender, home: Arc::clone(idle) }));
            }
            Err(mut failed) => match (failed.take_message(), again) {
                (Some(unsent), _) if reused => {
                    request = unsent;
                    used = idle.take();
                }
                (Some(unsent), _) => {
                    let unsent = Some(Box::new(unsent));
                    return Err(Failed { fault: Fault::Connect, unsent });
                }
                (None, Some(again)) if is_lost(failed.error()) => {
                    request = again;
                    used = None;
                }
                (None, _) => return Err(Failed { fault: Fault::Reset, unsent: None }),
            },
        }
    }
}

/// The same request once more, when sending it twice does no harm.
fn repeat_of(request: &Request<Upload>) -> Option<Request<Upload>> {
    if !request.method().is_idempotent() || !request.body().is_end_stream() {
        return None;
    }
    let mut again = Request::new(Upload::default());
    request.method().clone_into(again.method_mut());
    request.uri().clone_into(again.uri_mut());
    request.headers().clone_into(again.headers_mut());
    *again.version_mut() = request.version();
    Some(again)
}

/// The connection ended; an answer that is none is another matter.
fn is_lost(error: &hyper::Error) -> bool {
    error.is_incomplete_message()
        || error.is_closed()
        || error.is_canceled()
        || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
}
