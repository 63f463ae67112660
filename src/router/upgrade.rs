//! Upgraded connections (WebSocket): after both sides agreed, bytes both ways.

use std::sync::Arc;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Client;

/// Copies between client and upstream until one side ends, or until users must leave that upstream.
/// The tracker lets a drain wait for it.
pub(crate) fn join(
    tracker: &TaskTracker,
    (place, client): (Arc<Client>, OnUpgrade),
    upstream: OnUpgrade,
    ends: CancellationToken,
) {
    tracker.spawn(async move {
        // The client keeps its place among all connections until the end.
        let _place = place;
        let (client, upstream) = match tokio::try_join!(client, upstream) {
            Ok(both) => both,
            Err(error) => {
                tracing::debug!(%error, "an upgrade was agreed but did not happen");
                return;
            }
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let copied = tokio::io::copy_bidirectional(&mut client, &mut upstream);
        tokio::select! {
            copied = copied => if let Err(error) = copied {
                tracing::debug!(%error, "an upgraded connection broke");
            },
            () = ends.cancelled() => {
                tracing::debug!("an upgraded connection ended: its version serves no users now");
            }
        }
    });
}
