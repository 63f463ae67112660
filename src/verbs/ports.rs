//! What verbs need of the outside beyond the domains' own ports.

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::base::units::{Micros, Rate};

/// Sends the same load to both versions at once: equal arrival schedules, tagged as probes, safe
/// endpoints only.
#[async_trait]
pub(crate) trait PairedLoad: Send + Sync {
    /// Runs for `duration` or until cancelled. The answer is why it could not run.
    async fn run(
        &self,
        rate: Rate,
        duration: Micros,
        cancel: CancellationToken,
    ) -> Result<(), String>;
}
