//! What happened during a stage: the difference of two cumulative snapshots, users and probes
//! apart. Plain data, so that it is the exhibit a stage is judged by.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ports::{Samples, SourceSamples};
use crate::base::histogram::{EncodedHistogram, Histogram};
use crate::base::units::{Micros, Weight};
use crate::base::visits::Visits;
use crate::slo::sample::{Counts, Sample};
use crate::slo::statistics::arrivals::arrivals;

/// Who made the requests. The two are never pooled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Users,
    Probes,
}

/// One source on both arms during a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StageSeen {
    pub(crate) base: ArmSeen,
    pub(crate) canary: ArmSeen,
    pub(crate) duration_us: u64,
    /// Set where the platform does not count this source at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) uncounted: bool,
    /// The last minute of it, where triggers look at that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) recent: Option<Box<StageSeen>>,
}

/// One source on one arm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmSeen {
    pub(crate) requests: u64,
    pub(crate) errors: u64,
    pub(crate) errors_by_kind: BTreeMap<String, u64>,
    pub(crate) latency: EncodedHistogram,
    /// Different sticky keys seen.
    pub(crate) sticky_keys: u64,
    /// How many requests each of them made since the weight last changed, where the platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) visits: Option<Visits>,
}

impl StageSeen {
    /// What `source` did between the two snapshots.
    pub(crate) fn between(earlier: &Samples, later: &Samples, source: Source) -> Self {
        let of = |samples: &super::ports::ArmSamples| match source {
            Source::Users => samples.users.clone(),
            Source::Probes => samples.probes.clone(),
        };
        let span = later.at.since_us(earlier.at).max(0);
        Self {
            base: ArmSeen::between(&of(&earlier.base), &of(&later.base)),
            canary: ArmSeen::between(&of(&earlier.canary), &of(&later.canary)),
            duration_us: u64::try_from(span).unwrap_or(0),
            uncounted: false,
            recent: None,
        }
    }

    /// The same, with what happened since a later snapshot.
    pub(crate) fn with_recent(
        self,
        since: Option<&Samples>,
        now: &Samples,
        source: Source,
    ) -> Self {
        let recent = since.map(|since| {
            let mut recent = Self::between(since, now, source);
            // Known of the whole stage alone.
            (recent.base.visits, recent.canary.visits) = (None, None);
            Box::new(recent)
        });
        Self { recent, ..self }
    }

    /// With those who came as an earlier look at this stage saw them, where they are counted anew
    /// since: users went back, and what they did before is what brought them back. Or the router began
    /// anew; then those who came since are believed as soon as they are enough at this `weight`.
    pub(crate) fn or_who_came(mut self, earlier: Option<&Self>, weight: Weight) -> Self {
        let requests = |arm: &ArmSeen| arm.visits.as_ref().map_or(0, Visits::requests);
        let Some(earlier) = earlier else { return self };
        let both = |seen: &Self| requests(&seen.base).saturating_add(requests(&seen.canary));
        let gone = requests(&self.canary) == 0 && requests(&earlier.canary) > 0;
        let few = || match (&self.base.visits, &self.canary.visits) {
            (Some(base), Some(canary)) => arrivals(base, canary, weight).is_err(),
            _ => true,
        };
        if gone || (both(&self) < both(earlier) && few()) {
            self.base.visits.clone_from(&earlier.base.visits);
            self.canary.visits.clone_from(&earlier.canary.visits);
        }
        self
    }

    /// Nothing, because nobody counts it.
    pub(crate) fn uncounted() -> Self {
        let nothing = SourceSamples::default();
        let arm = || ArmSeen::between(&nothing, &nothing);
        Self { base: arm(), canary: arm(), duration_us: 0, uncounted: true, recent: None }
    }
}

impl ArmSeen {
    /// Counters that went backwards began anew: then the later ones are all there is.
    pub(super) fn between(earlier: &SourceSamples, later: &SourceSamples) -> Self {
        let restarted = later.requests < earlier.requests;
        let nothing = SourceSamples::default();
        let earlier = if restarted { &nothing } else { earlier };
        let errors_by_kind: BTreeMap<String, u64> = later
            .errors_by_kind
            .iter()
            .map(|(kind, count)| {
                let before = earlier.errors_by_kind.get(kind).copied().unwrap_or(0);
                (kind.clone(), count.saturating_sub(before))
            })
            .filter(|(_, count)| *count > 0)
            .collect();
        Self {
            requests: later.requests.saturating_sub(earlier.requests),
            errors: errors_by_kind.values().sum(),
            errors_by_kind,
            latency: EncodedHistogram::from(&later.latency.since(&earlier.latency)),
            sticky_keys: later.sticky_keys,
            visits: later.visits.clone(),
        }
    }

    /// The arm as the statistics take it.
    pub(crate) fn sample(&self, scope: &str, duration_us: u64) -> Sample {
        let counts = Counts {
            requests: self.requests,
            errors: self.errors,
            dropped: 0,
            duration: Micros(duration_us),
        };
        let latency = Histogram::try_from(&self.latency).unwrap_or_default();
        Sample::new(scope, counts, &latency)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An arm with `requests` of `latency_us` each, of which `errors` failed.
    pub(in crate::rollout) fn arm(requests: u64, errors: u64, latency_us: u64) -> ArmSeen {
        let mut latency = Histogram::default();
        latency.record_many(latency_us, requests);
        ArmSeen {
            requests,
            errors,
            errors_by_kind: BTreeMap::new(),
            latency: EncodedHistogram::from(&latency),
            sticky_keys: requests,
            visits: None,
        }
    }

    /// Who came is of one look on both arms, and of the last one in which traffic was as it was.
    #[test]
    fn who_came_outlasts_the_end_of_a_stage() {
        let seen = |base: u64, canary: u64| {
            let came = |requests: u64| {
                let rows = if requests == 0 { vec![] } else { vec![(1, requests)] };
                ArmSeen { visits: Some(Visits::try_from(rows).unwrap()), ..arm(0, 0, 1) }
            };
            StageSeen { base: came(base), canary: came(canary), ..StageSeen::uncounted() }
        };
        for (what, earlier, now, expected) in [
            ("the first look", None, (90, 10), (90, 10)),
            ("more came", Some((90, 10)), (180, 20), (180, 20)),
            ("nothing happened", Some((90, 10)), (90, 10), (90, 10)),
            ("users went back", Some((90, 10)), (5, 0), (90, 10)),
            ("long ago", Some((90, 10)), (500, 0), (90, 10)),
            ("the router began anew", Some((90, 10)), (30, 3), (90, 10)),
            ("and has more by now", Some((90, 10)), (95, 9), (95, 9)),
            ("and has enough by now", Some((9_000, 1_000)), (4_500, 400), (4_500, 400)),
            ("users went back late", Some((9_000, 1_000)), (4_500, 0), (9_000, 1_000)),
            ("nobody ever came", Some((90, 0)), (500, 0), (500, 0)),
        ] {
            let earlier = earlier.map(|(base, canary)| seen(base, canary));
            let tenth = Weight::from_basis_points(1_000).unwrap();
            let now = seen(now.0, now.1).or_who_came(earlier.as_ref(), tenth);
            let of = |arm: &ArmSeen| arm.visits.as_ref().unwrap().requests();
            assert_eq!((of(&now.base), of(&now.canary)), expected, "{what}");
        }
    }

    #[test]
    fn a_stage_is_a_difference_and_a_restart_is_not_negative() {
        let source = |requests: u64, failed: u64| {
            let mut latency = Histogram::default();
            latency.record_many(1_000, requests);
            let errors_by_kind = BTreeMap::from([("status_5xx".to_owned(), failed)]);
            SourceSamples { requests, errors_by_kind, latency, sticky_keys: 7, visits: None }
        };
        for (before, after, requests, errors) in
            [((10, 1), (30, 4), 20, 3), ((30, 4), (5, 2), 5, 2), ((0, 0), (0, 0), 0, 0)]
        {
            let seen = ArmSeen::between(&source(before.0, before.1), &source(after.0, after.1));
            assert_eq!((seen.requests, seen.errors), (requests, errors));
            let count = Histogram::try_from(&seen.latency).unwrap().count();
            assert_eq!(count, requests);
        }
    }
}
