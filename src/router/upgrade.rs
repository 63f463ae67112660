//! Upgraded connections (WebSocket and others): after both sides agreed, bytes both ways.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::task::TaskTracker;

/// Copies between client and upstream until one side ends. The tracker lets a drain wait for it.
pub(crate) fn join(tracker: &TaskTracker, client: OnUpgrade, upstream: OnUpgrade) {
    tracker.spawn(async move {
        let (client, upstream) = match tokio::try_join!(client, upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was agreed but did not happen");
                return;
            }
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let copied = tokio::io::copy_bidirectional(&mut client, &mut upstream).await;
        if let Err(error) = copied {
            tracing::debug!(%error, "an upgraded connection broke");
        }
    });
}
