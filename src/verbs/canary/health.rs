//! Whether the new version has not been healthy for too long. Asked seldom: it is a request too.

use std::time::{Duration, Instant};

use super::judging::Triggers;
use crate::base::clock;
use crate::rollout::machine::Event;
use crate::rollout::ports::{Arm, Platform};

/// How often it is asked, at most.
const ASK_EVERY: Duration = Duration::from_secs(5);

/// Since when it has not answered.
#[derive(Debug, Default)]
pub(super) struct Health {
    asked: Option<Instant>,
    unhealthy: Option<(Instant, String)>,
}

impl Health {
    /// Asks when it is time; a breach once it has been unhealthy for as long as the trigger says.
    pub(super) async fn look(
        &mut self,
        platform: &dyn Platform,
        triggers: Triggers,
    ) -> Option<Event> {
        let limit = triggers.unhealthy_for?;
        if self.asked.is_some_and(|at| clock::since(at) < ASK_EVERY.min(limit.duration() / 4)) {
            return None;
        }
        let now = clock::monotonic();
        self.asked = Some(now);
        match platform.identity(Arm::Canary).await {
            Ok(_) => self.unhealthy = None,
            Err(error) => {
                self.unhealthy.get_or_insert_with(|| (now, error.to_string()));
            }
        }
        let (since, why) = self.unhealthy.as_ref()?;
        (clock::since(*since) >= limit.duration()).then(|| Event::HardLimit {
            headline: format!("the new version has not been healthy for {limit}: {why}"),
            both_arms_breach: None,
        })
    }
}
