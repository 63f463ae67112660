//! The path of one request: decide, clean the head, send, count, answer.
//!
//! A request is counted exactly once for the arm it was decided for, also when the client leaves
//! before the answer. Only a request of which nothing was sent, because there was no connection to
//! the canary, goes to the base instead; it stays a canary error.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;
use tokio_util::task::TaskTracker;

use crate::base::clock::{self, Entropy};

use super::answers::{closing, of_fault, own};
use super::body::{AnswerBody, Passage};
use super::connection::Client;
use super::control::{Control, Routing, Target};
use super::exchange::{self, Failed};
use super::headers::Refused;
use super::metrics::{Fault, Outcome, Sample, Shard};
use super::pool::{Idle, Lease};
use super::split::{self, Arm, Decision, SERVED_BY_HEADER, Source, SplitSettings};
use super::upload::{Phase, Progress, Upload};
use super::{headers, maintenance, testers, upgrade};

/// How requests are handled. Fixed while the router runs.
#[derive(Debug, Clone)]
pub(crate) struct ProxySettings {
    pub(crate) split: SplitSettings,
    pub(crate) connect_timeout: Duration,
    /// Until the answer's head, and between its parts: a body that flows may take as long as it
    /// likes. The same between the parts of a request.
    pub(crate) response_timeout: Duration,
    /// Longest wait for a client's next request, and for the head of one.
    pub(crate) keep_alive: Duration,
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
    idle_max: usize,
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
    upload: Option<&'a Progress>,
    counted: bool,
}

impl<'a> Open<'a> {
    fn new(
        worker: &'a Worker,
        generation: u64,
        (arm, decision): (Arm, Decision),
        upload: Option<&'a Progress>,
    ) -> Self {
        let sample = Sample {
            generation,
            arm,
            source: decision.source,
            bucket: decision.bucket,
            by_weight: decision.by_weight && arm == decision.arm,
            latency_us: None,
            outcome: Outcome::Fault(Fault::Abandoned),
        };
        Self { worker, started: clock::monotonic(), sample, upload, counted: false }
    }

    fn end(mut self, outcome: Outcome) -> Sample {
        // A client that owes the rest of its request is not kept waiting.
        let waited = outcome != Outcome::Fault(Fault::Abandoned);
        self.sample.latency_us = waited.then(|| clock::elapsed_us(self.started));
        self.count(outcome);
        self.sample
    }

    fn count(&mut self, outcome: Outcome) {
        self.counted = true;
        self.sample.outcome = outcome;
        self.worker.shard.record(&self.sample);
    }
}

impl Drop for Open<'_> {
    /// The client left.
    fn drop(&mut self) {
        if self.counted {
            return;
        }
        let since = self.upload.map_or(Some(self.started), Progress::upstream_since);
        let fault = since.map_or(Fault::Abandoned, |since| {
            self.sample.latency_us = Some(clock::elapsed_us(self.started));
            let waited = clock::monotonic().saturating_duration_since(since);
            self.worker.control.leaving(waited, self.sample.source)
        });
        self.count(Outcome::Fault(fault));
    }
}

impl Worker {
    /// It keeps at most `idle_max` idle connections to each upstream.
    pub(crate) fn new(
        control: Arc<Control>,
        number: usize,
        settings: Arc<ProxySettings>,
        idle_max: usize,
    ) -> Self {
        let view = View {
            version: control.version(),
            routing: control.routing(),
            base: Arc::new(Idle::new(idle_max)),
            canary: Arc::new(Idle::new(idle_max)),
        };
        Self {
            shard: Arc::clone(&control.shards[number]),
            control,
            settings,
            view: Mutex::new(Arc::new(view)),
            entropy: Entropy::from_system(),
            idle_max,
            tracker: TaskTracker::new(),
        }
    }

    pub(super) fn keep_alive(&self) -> Duration {
        self.settings.keep_alive
    }

    fn view(&self) -> Arc<View> {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        let version = self.control.version();
        if view.version != version {
            let routing = self.control.routing();
            let none = || Arc::new(Idle::new(self.idle_max));
            let idle = |target| view.idle_of(target).unwrap_or_else(none);
            *view = Arc::new(View {
                version,
                base: idle(&routing.base),
                canary: routing.canary.as_ref().map_or_else(none, idle),
                routing,
            });
        }
        Arc::clone(&view)
    }

    /// Answers one request. While the router drains, an answer is the last on its connection.
    pub(crate) async fn handle(
        &self,
        client: &Arc<Client>,
        request: Request<Incoming>,
    ) -> Response<AnswerBody> {
        let response = self.pass_on(client, request).await;
        let is_last = self.control.draining.load(Ordering::Relaxed)
            && response.status() != StatusCode::SWITCHING_PROTOCOLS;
        if is_last { closing(response) } else { response }
    }

    async fn pass_on(
        &self,
        client: &Arc<Client>,
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
        let upgrade =
            headers::upgrade(&request).map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
        let (mut request, upload) = Upload::watched(request, client);
        let target = view.side(decision.arm).0;
        let from = (&client.peer, &self.control.id);
        if let Err(refused) = clean(&mut request, (settings, decision), from, target) {
            return closing(own(refused.status, refused.message));
        }
        let tunnel = upgrade.map(|(protocol, upgraded)| {
            request.headers_mut().insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, protocol);
            Tunnel { client: Arc::clone(client), upgraded }
        });
        let (arm, result) = self.deliver(&view, decision, request, upload.as_ref()).await;
        let mut response = match result {
            Ok(answer) => self.answer(answer, tunnel, upload),
            Err(fault) => of_fault(fault, upload.map(|upload| upload.phase())),
        };
        if let Some(cookie) = decision.cookie {
            split::add_cookie(response.headers_mut(), cookie);
        }
        if decision.source == Source::Probes {
            response.headers_mut().insert(SERVED_BY_HEADER, HeaderValue::from_static(arm.name()));
        }
        response
    }

    /// Sends to the decided arm, and without a connection to the canary to the base.
    async fn deliver(
        &self,
        view: &View,
        decision: Decision,
        request: Request<Upload>,
        upload: Option<&Arc<Progress>>,
    ) -> (Arm, Result<Answer, Fault>) {
        let arm = decision.arm;
        match self.attempt(view, (arm, decision), request, upload).await {
            Ok(answer) => (arm, Ok(answer)),
            Err(Failed { unsent: Some(unsent), .. }) if arm == Arm::Canary => {
                let second = self.attempt(view, (Arm::Base, decision), *unsent, upload).await;
                (Arm::Base, second.map_err(|failed| failed.fault))
            }
            Err(failed) => (arm, Err(failed.fault)),
        }
    }

    async fn attempt(
        &self,
        view: &View,
        (arm, decision): (Arm, Decision),
        request: Request<Upload>,
        upload: Option<&Arc<Progress>>,
    ) -> Result<Answer, Failed> {
        let watched = upload.map(AsRef::as_ref);
        let open = Open::new(self, view.routing.generation, (arm, decision), watched);
        let (target, idle) = view.side(arm);
        let limit = self.settings.response_timeout;
        let overdue = async {
            if let Some(upload) = upload {
                upload.again();
                upload.stalled(limit).await
            } else {
                tokio::time::sleep(limit).await;
                Phase::Sent
            }
        };
        let sent = tokio::select! {
            biased;
            sent = exchange::send(target, idle, request, self.settings.connect_timeout) => sent,
            waited_for = overdue => {
                let is_theirs = waited_for == Phase::Client;
                let fault = if is_theirs { Fault::Abandoned } else { Fault::Timeout };
                Err(Failed { fault, unsent: None })
            }
        };
        match sent {
            Ok((response, lease)) => {
                let sample = open.end(Outcome::Status(response.status().as_u16()));
                Ok(Answer { response, lease, sample, target: Arc::clone(target) })
            }
            Err(mut failed) => {
                // Whatever the upstream made of it, the client's request was none.
                if upload.is_some_and(|upload| upload.phase() == Phase::Broken) {
                    failed.fault = Fault::Abandoned;
                }
                open.end(Outcome::Fault(failed.fault));
                Err(failed)
            }
        }
    }

    fn answer(
        &self,
        answer: Answer,
        tunnel: Option<Tunnel>,
        upload: Option<Arc<Progress>>,
    ) -> Response<AnswerBody> {
        let Answer { mut response, lease, sample, target } = answer;
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let protocol = if switched { response.headers_mut().remove(UPGRADE) } else { None };
        headers::strip_hop_by_hop(response.headers_mut());
        *response.version_mut() = Version::HTTP_11;
        if switched {
            let Some(Tunnel { client, upgraded }) = tunnel else {
                return own(StatusCode::BAD_GATEWAY, "the upstream changed protocol unasked");
            };
            let upstream = hyper::upgrade::on(&mut response);
            let ends = target.tunnels.clone();
            upgrade::join(&self.tracker, (client, upgraded), upstream, ends);
            let headers = response.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            if let Some(protocol) = protocol {
                headers.insert(UPGRADE, protocol);
            }
            return response.map(|_| AnswerBody::Own(None));
        }
        let (shard, idle_limit) = (Arc::clone(&self.shard), self.settings.response_timeout);
        let passage = Passage { lease, shard, sample, upload, idle_limit };
        response.map(|inner| AnswerBody::passing(inner, passage))
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
    target: Arc<Target>,
}

/// What a client that may change protocol has.
struct Tunnel {
    client: Arc<Client>,
    upgraded: OnUpgrade,
}

/// Makes a client's head one for the upstream.
fn clean(
    request: &mut Request<Upload>,
    (settings, decision): (&SplitSettings, Decision),
    (peer, id): (&HeaderValue, &HeaderValue),
    target: &Target,
) -> Result<(), Refused> {
    if request.uri().scheme().is_some() {
        absolute_to_origin(request);
    }
    *request.version_mut() = Version::HTTP_11;
    let has_body = !request.body().is_end_stream();
    let map = request.headers_mut();
    headers::strip_hop_by_hop(map);
    if has_body && !map.contains_key(CONTENT_LENGTH) {
        // Without it a GET or a HEAD is taken to have no body.
        map.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if decision.is_claim {
        testers::strip(settings, map, decision.source == Source::Probes);
    }
    if !map.contains_key(HOST) {
        map.insert(HOST, target.authority.clone());
    }
    headers::add_forwarded(map, peer, id)
}

/// `GET http://host/path` names the host twice; the one in the target counts (RFC 9112, 3.2.2).
fn absolute_to_origin(request: &mut Request<Upload>) {
    let host = request.uri().authority().and_then(|a| HeaderValue::from_str(a.as_str()).ok());
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = path.map_or_else(http::Uri::default, http::Uri::from);
}
