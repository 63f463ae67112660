//! Wakes senders when their ticket is due. tokio's wheel turns once a millisecond and rounds up.

use std::time::Instant;

pub(crate) const RESOLUTION: &str = "1ms";

/// One worker's timer.
#[derive(Debug)]
pub(crate) struct Timer;

impl Timer {
    #[expect(clippy::unnecessary_wraps, reason = "timers that use the system may fail")]
    pub(crate) fn new() -> Result<Self, std::io::Error> {
        Ok(Self)
    }

    pub(crate) async fn until(&self, due: Instant) {
        tokio::time::sleep_until(due.into()).await;
    }
}
