//! The path of one request: decide, clean the head, send, count, answer.
//!
//! A request is counted exactly once for the arm it was decided for, also when the client leaves
//! before the answer. Only a request that could not be connected to the canary, and is safe to
//! repeat, goes to the base instead; it stays a canary error.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, HeaderValue, UPGRADE};
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use tokio_util::task::TaskTracker;

use crate::base::clock::{self, Entropy};

use super::body::AnswerBody;
use super::control::{Control, Routing, Target};
use super::metrics::{Fault, Outcome, Sample, Shard};
use super::pool::{Idle, Lease};
use super::split::{self, Arm, Decision, SERVED_BY_HEADER, Source, SplitSettings};
use super::{headers, maintenance, testers, upgrade};

/// How requests are handled. Fixed while the router runs.
#[derive(Debug, Clone)]
pub(crate) struct ProxySettings {
    pub(crate) split: SplitSettings,
    pub(crate) connect_timeout: Duration,
    /// Until the answer's head; a body may stream for as long as it likes.
    pub(crate) response_timeout: Duration,
    /// The router's own health on the public listener, for a balancer in front.
    pub(crate) health_path: String,
}

/// One thread's view of the world.
#[derive(Debug)]
pub(crate) struct Worker {
    control: Arc<Control>,
    shard: Arc<Shard>,
    settings: Arc<ProxySettings>,
    view: Mutex<Arc<View>>,
    entropy: Entropy,
    pub(crate) tracker: TaskTracker,
}

/// The routing as this worker last saw it, with its own idle connections.
#[derive(Debug)]
struct View {
    version: u64,
    routing: Arc<Routing>,
    base: Arc<Idle>,
    canary: Arc<Idle>,
}

impl View {
    fn idle_of(&self, target: &Arc<Target>) -> Option<Arc<Idle>> {
        if Arc::ptr_eq(&self.routing.base, target) {
            return Some(Arc::clone(&self.base));
        }
        let canary = self.routing.canary.as_ref()?;
        Arc::ptr_eq(canary, target).then(|| Arc::clone(&self.canary))
    }

    fn side(&self, arm: Arm) -> (&Arc<Target>, &Arc<Idle>) {
        match (arm, &self.routing.canary) {
            (Arm::Canary, Some(canary)) => (canary, &self.canary),
            _ => (&self.routing.base, &self.base),
        }
    }
}

/// Counts its request when it ends, also when it is dropped.
struct Open<'a> {
    worker: &'a Worker,
    started: Instant,
    sample: Sample,
    counted: bool,
}

impl<'a> Open<'a> {
    fn new(worker: &'a Worker, generation: u64, arm: Arm, decision: Decision) -> Self {
        let sample = Sample {
            generation,
            arm,
            source: decision.source,
            bucket: decision.bucket,
            by_weight: decision.by_weight && arm == decision.arm,
            latency_us: 0,
            outcome: Outcome::Fault(Fault::Abandoned),
        };
        Self { worker, started: clock::monotonic(), sample, counted: false }
    }

    fn end(mut self, outcome: Outcome) -> Sample {
        self.count(outcome);
        self.sample
    }

    fn count(&mut self, outcome: Outcome) {
        self.counted = true;
        self.sample.outcome = outcome;
        self.sample.latency_us = clock::elapsed_us(self.started);
        self.worker.shard.record(&self.sample);
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        if !self.counted {
            self.count(Outcome::Fault(Fault::Abandoned));
        }
    }
}

impl Worker {
    pub(crate) fn new(control: Arc<Control>, number: usize, settings: Arc<ProxySettings>) -> Self {
        let view = View {
            version: control.version(),
            routing: control.routing(),
            base: Arc::default(),
            canary: Arc::default(),
        };
        Self {
            shard: Arc::clone(&control.shards[number]),
            control,
            settings,
            view: Mutex::new(Arc::new(view)),
            entropy: Entropy::from_system(),
            tracker: TaskTracker::new(),
        }
    }

    fn view(&self) -> Arc<View> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.control.version();
        if view.version != version {
            let routing = self.control.routing();
            let idle = |target| view.idle_of(target).unwrap_or_default();
            *view = Arc::new(View {
                version,
                base: idle(&routing.base),
                canary: routing.canary.as_ref().map(idle).unwrap_or_default(),
                routing,
            });
        }
        Arc::clone(&view)
    }

    /// Answers one request. `peer` is the client's address as text.
    pub(crate) async fn handle(
        &self,
        peer: &HeaderValue,
        mut request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        if request.uri().path() == self.settings.health_path {
            return self.own_health();
        }
        if let Err(refused) = headers::check(&request) {
            return closing(own(refused.status, refused.message));
        }
        let view = self.view();
        let settings = &self.settings.split;
        let decision = split::decide(&view.routing.split, settings, request.headers(), || {
            self.entropy.next_u64()
        });
        if view.routing.closed && decision.source == Source::Users {
            return maintenance::answer(request.headers());
        }
        let upgrade = headers::upgrade(request.headers())
            .map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        clean(&mut request, (settings, decision.source), peer, view.side(decision.arm).0);
        let client = upgrade.map(|(protocol, client)| {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, protocol);
            client
        });
        let (arm, result) = self.deliver(&view, decision, request).await;
        let mut response = match result {
            Ok(answer) => self.answer(answer, client),
            Err(fault) => fault_answer(fault),
        };
        if let Some(cookie) = decision.cookie {
            split::add_cookie(response.headers_mut(), cookie);
        }
        if decision.source == Source::Probes {
            response.headers_mut().insert(SERVED_BY_HEADER, HeaderValue::from_static(arm.name()));
        }
        response
    }

    /// Sends to the decided arm, and after a failed connect to the canary to the base.
    async fn deliver(
        &self,
        view: &View,
        decision: Decision,
        request: Request<Incoming>,
    ) -> (Arm, Result<Answer, Fault>) {
        let arm = decision.arm;
        let repeatable = request.method().is_idempotent();
        match self.attempt(view, arm, decision, request).await {
            Ok(answer) => (arm, Ok(answer)),
            Err((Fault::Connect, Some(unsent))) if arm == Arm::Canary && repeatable => {
                let second = self.attempt(view, Arm::Base, decision, unsent).await;
                (Arm::Base, second.map_err(|(fault, _)| fault))
            }
            Err((fault, _)) => (arm, Err(fault)),
        }
    }

    async fn attempt(
        &self,
        view: &View,
        arm: Arm,
        decision: Decision,
        request: Request<Incoming>,
    ) -> Result<Answer, (Fault, Option<Request<Incoming>>)> {
        let open = Open::new(self, view.routing.generation, arm, decision);
        let (target, idle) = view.side(arm);
        let sent = tokio::time::timeout(
            self.settings.response_timeout,
            send(target, idle, request, self.settings.connect_timeout),
        );
        match sent.await {
            Ok(Ok((response, lease))) => {
                let sample = open.end(Outcome::Status(response.status().as_u16()));
                Ok(Answer { response, lease, sample })
            }
            Ok(Err((fault, unsent))) => {
                open.end(Outcome::Fault(fault));
                Err((fault, unsent))
            }
            Err(_) => {
                open.end(Outcome::Fault(Fault::Timeout));
                Err((Fault::Timeout, None))
            }
        }
    }

    fn answer(&self, answer: Answer, client: Option<OnUpgrade>) -> Response<AnswerBody> {
        let Answer { mut response, lease, sample } = answer;
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = if switched { response.headers_mut().remove(UPGRADE) } else { None };
        headers::strip_hop_by_hop(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        if switched {
            let Some(client) = client else {
                return own(StatusCode::BAD_GATEWAY, "the upstream changed protocol unasked");
            };
            upgrade::join(&self.tracker, client, hyper::upgrade::on(&mut response));
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = protocol {
                headers.insert(UPGRADE, protocol);
            }
            return response.map(|_| AnswerBody::Own(None));
        }
        let shard = Arc::clone(&self.shard);
        response.map(|inner| AnswerBody::passing(inner, lease, shard, sample))
    }

    fn own_health(&self) -> Response<AnswerBody> {
        if self.control.draining.load(Ordering::Relaxed) {
            own(StatusCode::SERVICE_UNAVAILABLE, "draining")
        } else {
            own(StatusCode::OK, "ok")
        }
    }
}

/// An upstream's answer before its body was read.
struct Answer {
    response: Response<Incoming>,
    lease: Lease,
    sample: Sample,
}

async fn send(
    target: &Target,
    idle: &Arc<Idle>,
    mut request: Request<Incoming>,
    connect_timeout: Duration,
) -> Result<(Response<Incoming>, Lease), (Fault, Option<Request<Incoming>>)> {
    loop {
        let used = idle.take();
        let reused = used.is_some();
        let mut sender = match used {
            Some(sender) => sender,
            None => match target.address.open(connect_timeout).await {
                Ok(sender) => sender,
                Err(error) => {
                    tracing::debug!(%error, upstream = %target.upstream.url, "no connection");
                    return Err((Fault::Connect, Some(request)));
                }
            },
        };
        match sender.try_send_request(request).await {
            Ok(response) => {
                return Ok((response, Lease { sender, home: Arc::clone(idle) }));
            }
            Err(mut failed) => match failed.take_message() {
                Some(unsent) if reused => request = unsent,
                Some(unsent) => return Err((Fault::Connect, Some(unsent))),
                None => return Err((Fault::Reset, None)),
            },
        }
    }
}

/// Makes a client's head one for the upstream.
fn clean(
    request: &mut Request<Incoming>,
    (settings, source): (&SplitSettings, Source),
    peer: &HeaderValue,
    target: &Target,
) {
    if request.uri().scheme().is_some() {
        absolute_to_origin(request);
    }
    *request.version_mut() = Version::HTTP_11;
    let map = request.headers_mut();
    headers::strip_hop_by_hop(map);
    testers::strip(settings, map, source == Source::Probes);
    if !map.contains_key(HOST) {
        map.insert(HOST, target.authority.clone());
    }
    headers::add_forwarded(map, peer);
}

/// `GET http://host/path` names the host twice; the one in the target counts (RFC 9112, 3.2.2).
fn absolute_to_origin(request: &mut Request<Incoming>) {
    let host = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(http::Uri::default, http::Uri::from);
}

fn fault_answer(fault: Fault) -> Response<AnswerBody> {
    match fault {
        Fault::Timeout => own(StatusCode::GATEWAY_TIMEOUT, "the upstream did not answer in time"),
        Fault::Connect => own(StatusCode::BAD_GATEWAY, "no connection to the upstream"),
        Fault::Reset | Fault::Body | Fault::Abandoned => {
            own(StatusCode::BAD_GATEWAY, "the upstream closed the connection")
        }
    }
}

/// An answer by the router itself.
fn own(status: StatusCode, message: &'static str) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::Own(Some(Bytes::from_static(message.as_bytes()))));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

fn closing(mut response: Response<AnswerBody>) -> Response<AnswerBody> {
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
