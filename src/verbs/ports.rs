//! What verbs need of the outside beyond the domains' own ports.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::base::units::{Micros, Rate};
use crate::rollout::criteria::{Asked, Smoke};
use crate::rollout::ports::{Door, Platform};
use crate::rollout::tally::Tally;
use crate::verbs::ship::PhaseGate;

/// Sends the same load to both versions at once: equal arrival schedules, tagged as probes, safe
/// endpoints only.
#[async_trait]
pub(crate) trait PairedLoad: Send + Sync {
    /// Why it could not run at all, where that is known before.
    fn lacks(&self) -> Option<String>;

    /// Runs for `duration` or until cancelled, through the platform's doors, and counts in `tally`
    /// as it goes. The answer is why it could not run.
    async fn run(
        &self,
        platform: &dyn Platform,
        pace: (Rate, Micros),
        tally: &Tally,
        cancel: CancellationToken,
    ) -> Result<(), String>;
}

/// Asks a version by itself, past the split.
#[async_trait]
pub(crate) trait Ask: Send + Sync {
    /// The status of one GET of `path`, within a second; the error is why there was no answer.
    async fn get(&self, door: &Door, path: &str) -> Result<u16, String>;
}

/// Asks a version that has no users yet, at its own address.
#[async_trait]
pub(crate) trait Standby: Send + Sync {
    /// One request of the health endpoint.
    async fn health(&self, door: &Door) -> Asked;

    /// Every safe endpoint of the manifest and every smoke test that changes nothing, once each.
    async fn smoke(&self, door: &Door) -> Vec<Smoke>;

    /// The load gate, aimed at it: safe endpoints only, because production's data is behind it.
    fn load(&self, door: &Door) -> Result<PhaseGate, String>;
}
