//! How a run stands while it is under way, by the judge that decides in the end; and when nothing
//! that is still to come can save it: then every request that is left is taken to be answered at
//! once and well, and the judge still says fail.

use super::plan::{LoadPlan, Shape};
use super::recorder::Counts;
use super::result::{LoadResult, Raw};
use super::schedule::{Mix, Schedule};
use super::slo_check::{self, Policy};
use crate::base::units::Micros;
use crate::gate::verdict::Verdict;

/// How a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
}

/// Judges a run that is under way.
#[derive(Debug)]
pub(super) struct Outlook {
    plan: LoadPlan,
    policy: Policy,
    /// Requests due over the whole run, by endpoint; nothing for a closed loop, which has no end
    /// of requests.
    planned: Option<Vec<u64>>,
}

impl Outlook {
    pub(super) fn new(plan: &LoadPlan, policy: Policy) -> Self {
        let planned = match &plan.shape {
            Shape::Open(stages) if plan.shard.is_whole() => {
                let tickets = Schedule::new(stages).tickets();
                Some(Mix::new(&plan.endpoints).counts(tickets, plan.endpoints.len()))
            }
            _ => None,
        };
        Self { plan: plan.clone(), policy, planned }
    }

    /// What the judge would say if the run ended now.
    pub(super) fn standing(&self, counts: &[Counts], sending_us: u64) -> Standing {
        let (verdict, headline) = self.judge(counts.to_vec(), sending_us);
        Standing { verdict, headline }
    }

    /// Why the run cannot pass any more, after `sending_us` of it.
    pub(super) fn certain_breach(&self, counts: &[Counts], sending_us: u64) -> Option<String> {
        let planned = self.planned.as_ref()?;
        let is_flawless = |c: &Counts| c.failures.total() + c.dropped == 0;
        let slowest = counts.iter().map(|c| c.latency.max_us()).max().unwrap_or_default();
        let limit = self.policy.latency_us_min().unwrap_or(u64::MAX);
        if counts.iter().all(is_flawless) && slowest <= limit {
            return None;
        }
        if self.judge(counts.to_vec(), sending_us).0 != Verdict::Fail {
            return None;
        }
        let (verdict, headline) =
            self.judge(at_best(counts, planned), self.plan.shape.duration().0);
        let after = Micros(sending_us);
        (verdict == Verdict::Fail).then(|| format!("after {after} nothing could save: {headline}"))
    }

    fn judge(&self, endpoints: Vec<Counts>, sending_us: u64) -> (Verdict, String) {
        let raw = Raw { endpoints, sending_us, ..Raw::default() };
        let judgement = slo_check::judge(&self.policy, &LoadResult::new(&self.plan, raw));
        (judgement.verdict, judgement.headline)
    }
}

/// As it would be if all went well from here on.
fn at_best(counts: &[Counts], planned: &[u64]) -> Vec<Counts> {
    let mut best = counts.to_vec();
    for (counts, planned) in best.iter_mut().zip(planned) {
        let left = planned.saturating_sub(counts.requests + counts.dropped);
        let unanswered = counts.requests.saturating_sub(counts.ended);
        counts.requests += left;
        counts.ended = counts.requests;
        counts.latency.record_many(1, left + unanswered);
    }
    best
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::base::units::Rate;
    use crate::load::plan::tests::draft;
    use crate::load::plan::{Bounds, Draft, Shape};
    use crate::load::recorder::{Failure, Outcome, Recorder};

    /// Of 10,000 requests so many were answered and so many failed; slow ones took a second.
    fn certain(objective: &str, (good, slow, failed): (u64, u64, u64)) -> bool {
        let shape = Shape::constant(Rate::per_second(1_000), Micros::from_secs(10));
        let plan = LoadPlan::new(Draft { shape, ..draft(80) }, &Bounds::default()).unwrap();
        let policy = Policy {
            overall: vec![objective.parse().unwrap()],
            endpoints: BTreeMap::new(),
            confidence_bp: 9_500,
            min_samples: 100,
            errors: BTreeSet::from(["status_5xx".to_owned()]),
        };
        let mut recorder = Recorder::new(1);
        let mut add = |times: u64, latency_us: u64, answer| {
            for _ in 0..times {
                recorder.sent(0);
                recorder.ended(0, Outcome { latency_us, service_us: 1, answer });
            }
        };
        add(good, 1_000, Ok(200));
        add(slow, 1_000_000, Ok(200));
        add(failed, 1, Err(Failure::Status5xx));
        let outlook = Outlook::new(&plan, policy);
        outlook.certain_breach(&recorder.swap(), 3_000_000).is_some()
    }

    #[test]
    fn only_what_nothing_can_save_stops_a_run() {
        for (objective, seen, expected) in [
            ("errors < 1%", (3_000, 0, 0), false),
            // 3 % so far, but 0.9 % of all if the rest goes well.
            ("errors < 1%", (2_910, 0, 90), false),
            ("errors < 1%", (2_000, 0, 1_000), true),
            ("p95 < 500ms", (2_600, 400, 0), false),
            ("p95 < 500ms", (2_000, 1_000, 0), true),
            // Certain, but on fewer requests than the policy asks for.
            ("errors < 1%", (0, 0, 99), false),
        ] {
            assert_eq!(certain(objective, seen), expected, "{objective} {seen:?}");
        }
    }
}
