//! The HTTP of it: three kinds of listeners on one runtime.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use super::api::{self, Request};
use super::faults::{Fault, Kind};
use super::metrics::Hit;
use super::project::{Project, now_ms};
use super::{Asked, BYPASS, TOKEN, documents};
use crate::support::contract::{Contract, Exchange};

pub(super) struct Shared {
    project: Mutex<Project>,
    pub(super) faults: Mutex<Vec<Fault>>,
    pub(super) latency: Mutex<Duration>,
    pub(super) asked: Mutex<Vec<Asked>>,
    pub(super) departures: Mutex<Vec<String>>,
    contract: Option<Contract>,
    visitors: AtomicU64,
}

/// Fails only where everything fails.
const HEALTH: &str = "/api/health";

type Reply = http::Response<Full<Bytes>>;

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            project: Mutex::new(Project::new()),
            faults: Mutex::default(),
            latency: Mutex::default(),
            asked: Mutex::default(),
            departures: Mutex::default(),
            contract: Contract::published("vercel"),
            visitors: AtomicU64::new(0),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Project> {
        self.project.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) async fn serve_api(shared: &Arc<Shared>) -> String {
    let shared = Arc::clone(shared);
    let address = listen(move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.api(request).await }
    })
    .await;
    format!("http://{address}")
}

pub(super) async fn serve_front(shared: &Arc<Shared>) -> String {
    let shared = Arc::clone(shared);
    let address = listen(move |request| {
        let shared = Arc::clone(&shared);
        async move { Some(shared.front(&request).await) }
    })
    .await;
    format!("http://{address}")
}

/// Answers the deployment's address, without a scheme.
pub(super) async fn serve_deployment(shared: &Arc<Shared>, id: &str) -> String {
    let (shared, id) = (Arc::clone(shared), id.to_owned());
    listen(move |request| {
        let (shared, id) = (Arc::clone(&shared), id.clone());
        async move {
            let secret = request.headers().get("x-vercel-protection-bypass");
            let knows = secret.is_some_and(|secret| *secret == BYPASS);
            if shared.lock().is_protected && !knows {
                return Some(reply(401, &json!({"error": "Authentication Required"})));
            }
            Some(shared.page(&id, request.uri().path()).await)
        }
    })
    .await
}

/// Listens on a free port. An answer that is nothing breaks the connection.
async fn listen<F, Answering>(answer: F) -> String
where
    F: Fn(http::Request<Incoming>) -> Answering + Clone + Send + Sync + 'static,
    Answering: Future<Output = Option<Reply>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket has an address");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answering = answer(request);
                async move { answering.await.ok_or_else(|| std::io::Error::other("cut")) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address.to_string()
}

fn reply(status: u16, body: &Value) -> Reply {
    let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    http::Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .header("x-vercel-id", "iad1::fake")
        .body(Full::new(Bytes::from(bytes)))
        .expect("a sound answer")
}

fn limited(retry_after: Option<&str>, reset_secs: i64) -> Reply {
    let reset_ms = now_ms() + reset_secs * 1_000;
    let limit = json!({"remaining": 0, "reset": reset_ms / 1_000, "resetMs": reset_ms, "total": 6});
    let error = json!({"code": "rate_limited", "message": "Rate limit exceeded", "limit": limit});
    let mut reply = reply(429, &json!({ "error": error }));
    if let Some(text) = retry_after {
        let value = text.parse().expect("a header's value");
        reply.headers_mut().insert("retry-after", value);
    }
    reply
}

impl Shared {
    async fn api(&self, request: http::Request<Incoming>) -> Option<Reply> {
        let latency = *self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        tokio::time::sleep(latency).await;
        let (head, body) = request.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let path = head.uri.path().to_owned();
        let line = format!("{} {path}", head.method);
        let strikes = {
            let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
            Fault::strikes(&mut faults, &line)
        };
        let query = head.uri.query().unwrap_or_default();
        let authorized = head
            .headers
            .get("authorization")
            .is_some_and(|value| *value == format!("Bearer {TOKEN}"));
        let do_it = || {
            let (status, answer) = if authorized {
                let parsed = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let pairs: Vec<(String, String)> = query
                    .split('&')
                    .filter_map(|pair| pair.split_once('='))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                let method = head.method.as_str();
                let request = Request { method, path: &path, query: &pairs, body: &parsed };
                api::answer(&mut self.lock(), &request)
            } else {
                documents::error((403, "forbidden", "Not authorized"))
            };
            self.hold_against_contract(
                (head.method.as_str(), &path, query),
                &body,
                status,
                &answer,
            );
            reply(status, &answer)
        };
        let reply = match strikes {
            None => Some(do_it()),
            Some(Kind::LoseAnswer) => {
                do_it();
                None
            }
            Some(Kind::Refuse(status, code)) => {
                let (status, answer) = documents::error((status, code, "scripted"));
                Some(reply(status, &answer))
            }
            Some(Kind::Limited { retry_after, reset_secs }) => {
                Some(limited(retry_after, reset_secs))
            }
        };
        let status = reply.as_ref().map(|reply| reply.status().as_u16());
        let asked = Asked { line, status, at: Instant::now() };
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        reply
    }

    fn hold_against_contract(
        &self,
        (method, path, query): (&str, &str, &str),
        body: &[u8],
        status: u16,
        answer: &Value,
    ) {
        let Some(contract) = &self.contract else { return };
        let answer = if answer.is_null() { String::new() } else { answer.to_string() };
        let answer = answer.as_bytes();
        let found = contract.faults(&Exchange { method, path, query, body, status, answer });
        self.departures.lock().unwrap_or_else(PoisonError::into_inner).extend(found);
    }

    /// The production domain: a visitor keeps a bucket by cookie, and testers choose their side.
    async fn front(&self, request: &http::Request<Incoming>) -> Reply {
        let query = request.uri().query().unwrap_or_default();
        let cookies = request.headers().get("cookie").and_then(|value| value.to_str().ok());
        let kept = cookies
            .and_then(|text| text.split("; ").find_map(|one| one.strip_prefix("_vcrr_fake=")))
            .and_then(|bucket| bucket.parse::<u32>().ok());
        // Every hundred new visitors fill every bucket once, in an order that looks like chance.
        let bucket = kept.unwrap_or_else(|| {
            let number = self.visitors.fetch_add(1, Ordering::Relaxed);
            u32::try_from(number * 37 % 100).expect("below 100")
        });
        let forced = match query {
            text if text.contains("vcrrForceCanary=true") => Some(0),
            text if text.contains("vcrrForceStable=true") => Some(100),
            _ => None,
        };
        let blocks = |project: &mut Project| project.paused && !project.pause_is_late;
        if blocks(&mut self.lock()) {
            return reply(503, &json!({"error": "DEPLOYMENT_PAUSED"}));
        }
        let id = self.lock().serves(forced.unwrap_or(bucket));
        let (path, began) = (request.uri().path(), Instant::now());
        let mut reply = self.page(&id, path).await;
        let hit = Hit {
            at_ms: now_ms(),
            path: path.to_owned(),
            status: reply.status().as_u16(),
            took_ms: began.elapsed().as_secs_f64() * 1_000.0,
            deployment: id,
        };
        self.lock().metrics.hits.push(hit);
        if kept.is_none() {
            let cookie = format!("_vcrr_fake={bucket}; Path=/");
            reply.headers_mut().insert("set-cookie", cookie.parse().expect("a header's value"));
        }
        reply
    }

    /// What the application of a deployment answers.
    async fn page(&self, id: &str, path: &str) -> Reply {
        let is_built = |d: &&mut super::project::Deployment| d.ready_ms <= now_ms() && !d.canceled;
        let found = self.lock().deployment(id).filter(is_built).map(|deployment| {
            deployment.pages += u64::from(path != "/version" && path != HEALTH);
            deployment.clone()
        });
        let Some(deployment) = found else {
            return reply(404, &json!({"error": "DEPLOYMENT_NOT_FOUND"}));
        };
        let behaviour = deployment.behaviour;
        tokio::time::sleep(Duration::from_millis(behaviour.latency_ms)).await;
        if path == "/version" && !behaviour.nameless {
            let said = json!({"commit": deployment.commit, "deployment": deployment.id});
            return reply(200, &said);
        }
        match behaviour.fails_one_in {
            one_in if one_in > 1 && path == HEALTH => reply(200, &json!({"ok": true})),
            0 => reply(200, &json!({"ok": true})),
            one_in if deployment.pages.is_multiple_of(one_in) => reply(500, &json!({"ok": false})),
            _ => reply(200, &json!({"ok": true})),
        }
    }
}
