//! The admin API: JSON over HTTP on loopback, every call behind the token.
//!
//! `/revert` and `/previous` are one unconditional call each. Everything that may raise exposure
//! names the generation it saw and its epoch. An answer is given after the change is stored.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::redact::Secret;

use super::api::{
    CloseRequest, ERROR_SCHEMA, ErrorAnswer, LowerRequest, PreviousRequest, PromoteRequest,
    RaiseRequest, RenewRequest, RevertRequest, STATE_SCHEMA, StageRequest, StateAnswer,
    UpstreamHealth,
};
use super::control::{ChangeError, Changed, Control};
use super::lowered::Asked;
use super::prometheus;
use super::state::{Expected, Staging};

/// Largest request body read.
const BODY_BYTES_MAX: usize = 256 * 1024;

type Answer = Response<Full<Bytes>>;

/// Why a call is answered with an error.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("a bearer token is needed")]
    Unauthorized,
    #[error("no such call: {0}")]
    NotFound(String),
    #[error("unreadable body: {0}")]
    Body(String),
    #[error(
        "this orca is older than the router: it says when a grant ends, and not how long it lasts; \
         update orca where this was called (going back needs no update)"
    )]
    OlderOrca,
    #[error("{0}")]
    Change(#[from] ChangeError),
}

impl CallError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "bad_request"),
            Self::OlderOrca => (StatusCode::BAD_REQUEST, "older_orca"),
            Self::Change(ChangeError::Address(_)) => (StatusCode::BAD_REQUEST, "bad_upstream"),
            Self::Change(ChangeError::Refused(refusal)) => (StatusCode::CONFLICT, refusal.code()),
            Self::Change(ChangeError::Persist(_)) => {
                (StatusCode::INSUFFICIENT_STORAGE, "not_persisted")
            }
        }
    }
}

/// Serves for ever; the caller drops it.
pub(crate) async fn serve(listener: TcpListener, control: Arc<Control>, token: Secret) {
    let token = Digest::of(token.expose().as_bytes());
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the admin listener could not accept");
                tokio::time::sleep(super::server::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let control = Arc::clone(&control);
        let service = service_fn(move |request| {
            let control = Arc::clone(&control);
            async move { Ok::<_, Infallible>(answer(&control, token, request).await) }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new()
                .timer(hyper_util::rt::TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(control: &Control, token: Digest, request: Request<Incoming>) -> Answer {
    match call(control, token, request).await {
        Ok(answer) => answer,
        Err(error) => {
            let (status, code) = error.status_and_code();
            let known = !matches!(error, CallError::Unauthorized);
            let body = ErrorAnswer {
                schema: ERROR_SCHEMA.into(),
                code: code.into(),
                message: error.to_string(),
                state: known.then(|| control.state()),
            };
            json(status, &body)
        }
    }
}

async fn call(
    control: &Control,
    token: Digest,
    request: Request<Incoming>,
) -> Result<Answer, CallError> {
    let (head, body) = request.into_parts();
    let given = head
        .headers
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "))
        // Digests are compared, so timing tells nothing of the token itself.
        .map(Digest::of);
    if given != Some(token) {
        return Err(CallError::Unauthorized);
    }
    let path = head.uri.path();
    if head.method == Method::GET {
        return read(control, path);
    }
    if head.method != Method::POST {
        return Err(CallError::NotFound(format!("{} {path}", head.method)));
    }
    let bytes = Limited::new(body, BODY_BYTES_MAX)
        .collect()
        .await
        .map_err(|e| CallError::Body(e.to_string()))?
        .to_bytes();
    let changed = change(control, path, &bytes).await?;
    tracing::info!(
        call = path,
        generation = changed.state.generation,
        epoch = changed.state.epoch,
        weight = %changed.state.weight,
        "traffic changed by the admin API"
    );
    Ok(state_answer(control, changed))
}

fn read(control: &Control, path: &str) -> Result<Answer, CallError> {
    match path {
        "/state" => {
            let (state, persisted) = (control.state(), control.is_stored());
            Ok(state_answer(control, Changed { state, persisted }))
        }
        "/metrics.json" => Ok(json(StatusCode::OK, &control.metrics())),
        "/metrics" => {
            let text = prometheus::text(&control.metrics(), &control.state());
            Ok(respond(StatusCode::OK, "text/plain; version=0.0.4", text.into()))
        }
        "/health" => Ok(respond(StatusCode::OK, "text/plain; charset=utf-8", "ok".into())),
        _ => Err(CallError::NotFound(format!("GET {path}"))),
    }
}

async fn change(control: &Control, path: &str, body: &Bytes) -> Result<Changed, CallError> {
    let now = control.now();
    let changed = match path {
        "/revert" => {
            // Whatever the body says: it may only tell who asks.
            let RevertRequest { by, how } = parse(body).unwrap_or_default();
            let asked = Asked { how, by: by.as_deref() };
            control.lower(|state| Ok(state.revert_as(asked, now))).await
        }
        "/previous" => {
            let PreviousRequest { to, by } =
                if body.is_empty() { PreviousRequest::default() } else { parse(body)? };
            control.lower(|state| Ok(state.restore(to, now)?.lowered_by(by.as_deref()))).await
        }
        "/lower" => {
            let LowerRequest { weight } = parse(body)?;
            control.lower(|state| state.lower(weight)).await
        }
        // Served before it is stored, like a lowering: a full disk keeps no kill switch from users.
        "/close" => {
            let CloseRequest { closed } = parse(body)?;
            control.lower(|state| Ok(state.with_closed(closed))).await
        }
        "/stage" => {
            let StageRequest { canary, release, audience, expect_generation, epoch } = parse(body)?;
            let expected = Expected { generation: expect_generation, epoch };
            let staging = Staging { canary, release, audience };
            control.raise(|state| state.stage(staging.clone(), expected)).await
        }
        "/raise" => {
            let RaiseRequest { weight, grant_us, expect_generation, epoch } = granting(body)?;
            let expected = Expected { generation: expect_generation, epoch };
            control.raise(|state| state.raise(weight, grant_us, expected, now)).await
        }
        "/renew" => {
            let RenewRequest { epoch, grant_us } = granting(body)?;
            control.raise(|state| state.renew_grant(epoch, grant_us, now)).await
        }
        "/promote" => {
            let PromoteRequest { expect_generation, epoch } = parse(body)?;
            let expected = Expected { generation: expect_generation, epoch };
            control.raise(|state| state.promote(expected, now)).await
        }
        _ => return Err(CallError::NotFound(format!("POST {path}"))),
    };
    changed.map_err(CallError::from)
}

fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|e| CallError::Body(e.to_string()))
}

/// An orca from before grants were spans of time judges by what this router does not do any more.
fn granting<T: DeserializeOwned>(body: &Bytes) -> Result<T, CallError> {
    parse(body).map_err(|error| {
        let said = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
        if said.get("grant_until").is_some() { CallError::OlderOrca } else { error }
    })
}

fn state_answer(control: &Control, changed: Changed) -> Answer {
    let routing = control.routing();
    let ago = |at: Timestamp| u64::try_from(control.now().as_us() - at.as_us()).unwrap_or(0);
    let body = StateAnswer {
        lowered_us_ago: changed.state.lowered.map(|lowered| ago(lowered.at)),
        schema: STATE_SCHEMA.into(),
        state: changed.state,
        health: UpstreamHealth {
            base: routing.base.healthy.get(),
            canary: routing.canary.as_ref().and_then(|canary| canary.healthy.get()),
        },
        draining: control.draining.load(Ordering::Relaxed),
        persisted: changed.persisted,
    };
    json(StatusCode::OK, &body)
}

fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let bytes = serde_json::to_vec(body).expect("plain data always becomes JSON");
    respond(status, "application/json", bytes.into())
}

fn respond(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
