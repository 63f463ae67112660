//! Who came since traffic was last moved: requests of users by sticky bucket, apart for each arm.
//!
//! Only requests that the weight alone sent to their arm: whoever is on a list says nothing of the
//! split. And only those that were answered, on both arms alike: clients ask again where an arm fails
//! or hangs, and what they ask then is no sign that users come. One array per worker and arm, made
//! when its first request comes.

use crate::base::bucket::BUCKETS;
use crate::base::visits::Visits;

use super::metrics::{Outcome, Sample};
use super::split::{Arm, Source};

/// Requests of each bucket on each arm.
#[derive(Debug, Clone, Default)]
pub(super) struct Arrived([Option<Box<[u32]>>; 2]);

impl Arrived {
    /// Counts a request when it is answered; a body that broke after that is no other request.
    pub(super) fn record(&mut self, sample: &Sample) {
        let answered = matches!(sample.outcome, Outcome::Status(status) if status < 500);
        let counts = answered && sample.by_weight && sample.source == Source::Users;
        let Some(bucket) = sample.bucket.filter(|_| counts) else { return };
        let arm = self.0[sample.arm as usize].get_or_insert_with(none);
        if let Some(count) = arm.get_mut(usize::from(bucket)) {
            *count = count.saturating_add(1);
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            let Some(theirs) = theirs else { continue };
            let mine = mine.get_or_insert_with(none);
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a = a.saturating_add(*b));
        }
    }

    pub(super) fn visits(&self, arm: Arm) -> Visits {
        self.0[arm as usize].iter().flatten().map(|count| u64::from(*count)).collect()
    }
}

fn none() -> Box<[u32]> {
    let buckets = usize::try_from(BUCKETS).expect("ten thousand");
    vec![0; buckets].into_boxed_slice()
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Fault;
    use super::*;

    #[test]
    fn only_answers_to_those_whom_the_weight_sent_are_counted_and_each_once() {
        let sample = Sample {
            generation: 1,
            arm: Arm::Canary,
            source: Source::Users,
            bucket: Some(9_999),
            by_weight: true,
            latency_us: Some(1),
            outcome: Outcome::Status(200),
        };
        let (mut one, mut two) = (Arrived::default(), Arrived::default());
        for sample in [
            sample,
            Sample { outcome: Outcome::BrokenBody(200), ..sample },
            Sample { outcome: Outcome::Fault(Fault::Abandoned), ..sample },
            Sample { outcome: Outcome::Fault(Fault::Timeout), ..sample },
            Sample { outcome: Outcome::Fault(Fault::Connect), ..sample },
            Sample { outcome: Outcome::Status(500), ..sample },
            Sample { outcome: Outcome::Status(503), ..sample },
            Sample { outcome: Outcome::Status(404), bucket: Some(3), ..sample },
            Sample { by_weight: false, ..sample },
            Sample { source: Source::Probes, ..sample },
            Sample { bucket: None, ..sample },
        ] {
            one.record(&sample);
        }
        two.record(&sample);
        two.record(&Sample { arm: Arm::Base, ..sample });
        one.merge(&two);
        let rows = |arm| one.visits(arm).rows().collect::<Vec<_>>();
        assert_eq!(rows(Arm::Canary), [(1, 1), (2, 1)]);
        assert_eq!(rows(Arm::Base), [(1, 1)]);
    }
}
