//! The course of a run in at most so many rows that memory and files stay small however long it
//! is. Every second has a row in runs of up to an hour; in longer ones each row covers 2, 4, 8 and
//! so on, known before the run, so that all its shards have the same rows.

use super::plan::LoadPlan;
use super::recorder::Counts;
use super::result::Second;
use crate::base::units::Micros;

/// Most rows of the planned time; the last answers may add some.
const ROWS_MAX: u64 = 3_600;

/// Rows that grow as seconds end.
#[derive(Debug)]
pub(super) struct Intervals {
    /// How many seconds a row covers.
    pub(super) secs: u64,
    /// Keeps histograms, for merging.
    is_detailed: bool,
    rows: Vec<Second>,
    /// The row under way, by the second it begins with.
    open: Option<(u64, Counts)>,
}

impl Intervals {
    pub(super) fn new(plan: &LoadPlan) -> Self {
        let secs = secs_of(plan.shape.duration());
        Self { secs, is_detailed: plan.detailed, rows: Vec::new(), open: None }
    }

    /// Adds what ended in second `t`; seconds come in order.
    pub(super) fn add(&mut self, t: u64, counts: Counts) {
        let first = t / self.secs * self.secs;
        match &mut self.open {
            Some((open, sum)) if *open == first => sum.merge(&counts),
            _ => {
                self.close();
                self.open = Some((first, counts));
            }
        }
    }

    fn close(&mut self) {
        let Some((t, counts)) = self.open.take() else { return };
        self.rows.push(self.row(t, &counts));
    }

    /// As much of one row as the plan asks for.
    pub(super) fn row(&self, t: u64, counts: &Counts) -> Second {
        let row = Second::of(t, counts);
        if self.is_detailed { row.with_histogram(&counts.latency) } else { row }
    }

    pub(super) fn finish(mut self) -> Vec<Second> {
        self.close();
        self.rows
    }
}

fn secs_of(duration: Micros) -> u64 {
    duration.0.div_ceil(1_000_000).div_ceil(ROWS_MAX).max(1).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::histogram::{EncodedHistogram, Histogram};
    use crate::base::units::Rate;
    use crate::load::plan::tests::draft;
    use crate::load::plan::{Bounds, DURATION_MAX, Draft, Shape};

    #[test]
    fn rows_are_few_however_long_a_run_is() {
        let secs = Micros::from_secs;
        for (duration, expected) in [
            (Micros::from_millis(100), 1),
            (secs(3_600), 1),
            (secs(3_601), 2),
            (secs(7_200), 2),
            (secs(4 * 3_600 + 1), 8),
            (DURATION_MAX, 256),
        ] {
            assert_eq!(secs_of(duration), expected, "{duration}");
            assert!(duration.0 / 1_000_000 / expected <= ROWS_MAX);
        }
    }

    /// Nothing is lost in a row of several seconds, and its percentiles are those of all of them.
    #[test]
    fn a_row_of_several_seconds_is_their_exact_sum() {
        let shape = Shape::constant(Rate::per_second(1), Micros::from_secs(7_200));
        let draft = Draft { shape, detailed: true, ..draft(80) };
        let mut intervals = Intervals::new(&LoadPlan::new(draft, &Bounds::default()).unwrap());
        let mut first = Histogram::default();
        // The third second had nothing to tell of.
        for t in [0, 1, 3, 4] {
            let mut counts = Counts { ended: 1, requests: 1, ..Counts::default() };
            counts.latency.record((t + 1) * 1_000);
            if t < 2 {
                first.record((t + 1) * 1_000);
            }
            intervals.add(t, counts);
        }
        let rows = intervals.finish();
        let seen: Vec<_> = rows.iter().map(|row| (row.t, row.requests)).collect();
        assert_eq!(seen, [(0, 2), (2, 1), (4, 1)]);
        assert_eq!(rows[0].histogram, Some(EncodedHistogram::from(&first)));
        assert_eq!((rows[0].p50, rows[0].p95), (1_000, 2_000));
    }
}
