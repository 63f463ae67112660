//! The sample service of the demo: a target, which is why it lives beside the generator. Answers on
//! loopback only, with latency, errors and start-up faults that can be set, also while it runs
//! (`PUT /_control`). The same seed gives the same sequence of slow and failing answers.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::base::units::BasisPoints;

/// Largest request body read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// What this service says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Version {
    pub(crate) commit: String,
    pub(crate) digest: String,
}

/// How badly it behaves. The default is well.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Faults {
    /// Every answer takes this long.
    pub(crate) base_ms: u64,
    /// This share of answers takes `slow_ms` longer.
    pub(crate) slow: BasisPoints,
    pub(crate) slow_ms: u64,
    /// This share of answers is a 500.
    pub(crate) errors: BasisPoints,
    /// Errors only here, such as `POST /checkout`; everywhere when absent.
    pub(crate) errors_at: Option<String>,
    /// So many first health checks answer 503.
    pub(crate) unhealthy_first: u64,
}

/// What it is started with.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) version: Version,
    pub(crate) faults: Faults,
    pub(crate) seed: u64,
    /// Takes this long to start listening.
    pub(crate) boot_delay: Duration,
    /// Does not start at all.
    pub(crate) refuses_boot: bool,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum ServiceError {
    #[error("the sample service was told not to start")]
    Refused,
    #[error("{0} is not an address of this machine alone")]
    NotLoopback(SocketAddr),
    #[error("cannot listen on {address}: {cause}")]
    Listen { address: SocketAddr, cause: std::io::Error },
}

#[derive(Debug)]
struct Service {
    version: Version,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    faults: Faults,
    random: fastrand::Rng,
}

/// What will happen to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fate {
    delay_ms: u64,
    fails: bool,
}

impl State {
    fn fate(&mut self, route: &str) -> Fate {
        let mut hits = |share: BasisPoints| self.random.u32(0..10_000) < share.0;
        let (slow, fails) = (hits(self.faults.slow), hits(self.faults.errors));
        let is_here = self.faults.errors_at.as_deref().is_none_or(|at| at == route);
        Fate {
            delay_ms: self.faults.base_ms + if slow { self.faults.slow_ms } else { 0 },
            fails: fails && is_here,
        }
    }

    /// Whether this health check answers well.
    fn health(&mut self) -> bool {
        let is_well = self.faults.unhealthy_first == 0;
        self.faults.unhealthy_first = self.faults.unhealthy_first.saturating_sub(1);
        is_well
    }
}

/// A listening service; its port is known before it is run.
#[derive(Debug)]
pub(crate) struct SampleService {
    listener: TcpListener,
    service: Arc<Service>,
}

impl SampleService {
    /// Starts listening on `address`, which must be loopback.
    pub(crate) async fn bind(
        address: SocketAddr,
        settings: Settings,
    ) -> Result<Self, ServiceError> {
        if !address.ip().is_loopback() {
            return Err(ServiceError::NotLoopback(address));
        }
        tokio::time::sleep(settings.boot_delay).await;
        if settings.refuses_boot {
            return Err(ServiceError::Refused);
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|cause| ServiceError::Listen { address, cause })?;
        let state =
            State { faults: settings.faults, random: fastrand::Rng::with_seed(settings.seed) };
        let service = Service { version: settings.version, state: Mutex::new(state) };
        Ok(Self { listener, service: Arc::new(service) })
    }

    pub(crate) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `cancel`.
    pub(crate) async fn run(self, cancel: &CancellationToken) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => return,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                // Out of files: wait for a connection to end rather than spin.
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let service = Arc::clone(&self.service);
            connections.spawn(async move {
                let answer = hyper::service::service_fn(move |request| {
                    let service = Arc::clone(&service);
                    async move { Ok::<_, Infallible>(service.answer(request).await) }
                });
                let mut server = hyper::server::conn::http1::Builder::new();
                server.timer(TokioTimer::new());
                let _ = server.serve_connection(TokioIo::new(stream), answer).await;
            });
        }
    }
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let route = format!("{} {}", request.method(), request.uri().path());
        match route.as_str() {
            "PUT /_control" => return self.control(request).await,
            "GET /_control" => {
                let faults = self.with_state(|state| state.faults.clone());
                return json(StatusCode::OK, &faults);
            }
            "GET /version" => return json(StatusCode::OK, &self.version),
            "GET /health" => {
                let is_well = self.with_state(State::health);
                return if is_well {
                    text(StatusCode::OK, "ok")
                } else {
                    text(StatusCode::SERVICE_UNAVAILABLE, "starting")
                };
            }
            _ => {}
        }
        let is_post = request.method() == Method::POST;
        if is_post && Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await.is_err() {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "body too large");
        }
        let fate = self.with_state(|state| state.fate(&route));
        if fate.delay_ms > 0 {
            tokio::time::sleep(Duration::from_millis(fate.delay_ms)).await;
        }
        if fate.fails {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "this answer was told to fail");
        }
        match route.as_str() {
            "GET /" => text(StatusCode::OK, "the sample service"),
            "GET /api/trust" => json(StatusCode::OK, &serde_json::json!({"score": 97})),
            "GET /api/agents" => json(StatusCode::OK, &serde_json::json!({"agents": ["a", "b"]})),
            "POST /checkout" => json(StatusCode::CREATED, &serde_json::json!({"order": "placed"})),
            _ => text(StatusCode::NOT_FOUND, "no such page"),
        }
    }

    async fn control(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "body too large");
        };
        match serde_json::from_slice::<Faults>(&body.to_bytes()) {
            Ok(faults) => {
                self.with_state(|state| state.faults = faults.clone());
                json(StatusCode::OK, &faults)
            }
            Err(error) => text(StatusCode::BAD_REQUEST, &error.to_string()),
        }
    }

    fn with_state<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn text(status: StatusCode, body: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_owned()));
    *response.status_mut() = status;
    response
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("answers are plain data");
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn settings(faults: Faults) -> Settings {
        Settings {
            version: Version { commit: "a".repeat(40), digest: "sha256:ab".into() },
            faults,
            seed: 7,
            boot_delay: Duration::ZERO,
            refuses_boot: false,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_fates() {
        let faults = Faults {
            slow: BasisPoints(5_000),
            slow_ms: 9,
            errors: BasisPoints::ALL,
            errors_at: Some("POST /checkout".into()),
            unhealthy_first: 1,
            ..Faults::default()
        };
        let state = || State { faults: faults.clone(), random: fastrand::Rng::with_seed(3) };
        let fates = |mut state: State| (0..50).map(|_| state.fate("GET /")).collect::<Vec<_>>();
        assert_eq!(fates(state()), fates(state()));
        assert!(fates(state()).iter().any(|f| f.delay_ms == 9));
        assert!(fates(state()).iter().all(|f| !f.fails));
        let mut one = state();
        assert!(one.fate("POST /checkout").fails);
        assert_eq!((one.health(), one.health()), (false, true));
    }

    #[tokio::test]
    async fn it_refuses_what_is_not_loopback_and_can_refuse_to_start() {
        let open = "0.0.0.0:0".parse().unwrap();
        let refused = SampleService::bind(open, settings(Faults::default())).await;
        assert!(matches!(refused, Err(ServiceError::NotLoopback(_))));
        let loopback = "127.0.0.1:0".parse().unwrap();
        let told = Settings { refuses_boot: true, ..settings(Faults::default()) };
        let refused = SampleService::bind(loopback, told).await;
        assert!(matches!(refused, Err(ServiceError::Refused)));
    }
}
