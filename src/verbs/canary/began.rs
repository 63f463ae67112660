//! The beginning of a stage, written down with what each arm had answered until then: another
//! process, or another machine, measures the stage from there.

use super::acts::Acts;
use crate::base::digest::Digest;
use crate::ledger::entry::{Body, StageBegan};

impl Acts<'_> {
    /// Tells the ledger of a stage that began. Nothing waits for it: the stage has its weight.
    pub(super) async fn write_beginning(&mut self) {
        let Some((stage, samples)) = self.watch.take_beginning() else { return };
        let ship = &self.fleet.ship;
        let mut note = ship.note(Body::StageBegan(StageBegan {
            rollout: self.started.rollout.clone(),
            stage: u32::try_from(stage + 1).unwrap_or(u32::MAX),
            weight: self.plan.stages[stage].weight,
            samples: samples.as_deref().map(Digest::of),
        }));
        note.epoch = Some(self.held.epoch);
        note.exhibits.extend(samples);
        if let Err(error) = ship.book.keep(note).await {
            ship.say(format!("ledger: {error}"));
        }
    }
}
