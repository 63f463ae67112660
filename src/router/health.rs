//! Health checks of both upstreams. They inform; they move no traffic, because a router that
//! moves users away from a failing canary would hide the failure from the gate that judges it.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::control::{Control, Target};

/// How upstreams are checked.
#[derive(Debug, Clone)]
pub(crate) struct HealthSettings {
    pub(crate) path: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

/// Checks for ever; the caller drops it.
pub(crate) async fn watch(control: Arc<Control>, settings: HealthSettings) {
    let mut interval = tokio::time::interval(settings.interval);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let routing = control.routing();
        let canary = async {
            if let Some(canary) = &routing.canary {
                check(canary, &settings).await;
            }
        };
        tokio::join!(check(&routing.base, &settings), canary);
    }
}

async fn check(target: &Target, settings: &HealthSettings) {
    let ok = tokio::time::timeout(settings.timeout, probe(target, settings)).await;
    let ok = matches!(ok, Ok(Some(status)) if status < 400);
    let before = target.healthy.get();
    target.healthy.set(ok);
    if before != Some(ok) {
        let (deployment, path) = (&target.upstream.deployment, &settings.path);
        if ok {
            tracing::info!(%deployment, %path, "upstream is healthy");
        } else {
            tracing::warn!(%deployment, %path, "upstream is not healthy");
        }
    }
}

async fn probe(target: &Target, settings: &HealthSettings) -> Option<u16> {
    let stream = target.address.connect(settings.timeout).await.ok()?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.ok()?;
    let request = http::Request::get(settings.path.as_str())
        .header(http::header::HOST, target.authority.clone())
        .header(http::header::USER_AGENT, "orca-router-health")
        .header(super::testers::PROBE_HEADER, "health")
        .body(Empty::<bytes::Bytes>::new())
        .ok()?;
    // Both are dropped together, which closes the connection whatever the body does.
    tokio::select! {
        response = sender.send_request(request) => Some(response.ok()?.status().as_u16()),
        _ = connection => None,
    }
}
