//! `watch.users`: what real users got from a release since it was promoted. The judges are the
//! canary's; the version before is no longer there to compare with, so its p95 and its traffic as
//! they were measured beside the canary stand in for it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arms::{self, ArmsPolicy};
use super::ports::{Measures, Platform, Samples};
use super::samples::{ArmSeen, Source, StageSeen};
use super::triggers::{RECENT, Triggers};
use crate::base::histogram::Histogram;
use crate::base::ids::CheckId;
use crate::base::units::{Micros, Rate, Weight};
use crate::gate::check::{Check, Look, RuleId, Series, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Unit};
use crate::slo::hard_limit::is_breached;
use crate::slo::statistics::quantile::ranks;

/// Takes what came since the watch began.
pub(crate) struct WatchedCheck {
    pub(crate) platform: Arc<dyn Platform>,
    pub(crate) began: Samples,
    pub(crate) recent: Option<Samples>,
    pub(crate) policy: WatchedPolicy,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchedPolicy {
    pub(crate) arms: ArmsPolicy,
    /// More than one in twenty of the last minute's answers beyond this, beyond doubt.
    pub(crate) p95_limit: Option<Micros>,
    /// Fewer requests than this in the last minute.
    pub(crate) traffic_min: Option<Rate>,
}

/// The version before, as it was measured beside the canary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Baseline {
    /// The upper end of the 99 % interval of its p95.
    pub(crate) p95: Option<Micros>,
    /// What both versions together got.
    pub(crate) traffic: Rate,
}

const RULE_TEXT: &str = "watch.users v1: live limit, last minute, objectives";
/// Fewer requests expected in the last minute say nothing about less traffic.
const EXPECTED_MIN: u64 = 100;

impl Baseline {
    /// From a stage in which both versions served.
    fn of(stage: &StageSeen) -> Option<Self> {
        let requests = stage.base.requests.saturating_add(stage.canary.requests);
        if stage.base.requests == 0 || stage.duration_us == 0 {
            return None;
        }
        let latency = Histogram::try_from(&stage.base.latency).ok()?;
        let upper = ranks(latency.count(), 9_500, 9_900).upper;
        let p95 = upper.and_then(|rank| latency.edges_at_rank(rank)).map(|(_, us)| Micros(us));
        Some(Self { p95, traffic: Rate::of(requests, Micros(stage.duration_us)) })
    }
}

impl Baseline {
    /// From the stages of a canary, newest first: the traffic of the newest in which both versions
    /// served, and the p95 of the newest that had enough answers for one.
    pub(crate) fn of_stages(stages: impl IntoIterator<Item = StageSeen>) -> Option<Self> {
        let mut known = stages.into_iter().filter_map(|stage| Self::of(&stage));
        let newest = known.next()?;
        let p95 = newest.p95.or_else(|| known.find_map(|stage| stage.p95));
        Some(Self { p95, ..newest })
    }
}

impl WatchedPolicy {
    /// Triggers that were asked for and that have nothing to go by.
    pub(crate) fn off(&self, asked: &Triggers) -> impl Iterator<Item = &'static str> {
        let slow = asked.p95_ratio_pct.is_some() && self.p95_limit.is_none();
        let quiet = asked.traffic_pct.is_some() && self.traffic_min.is_none();
        let names = [slow.then_some("p95_ratio_pct"), quiet.then_some("traffic_pct")];
        names.into_iter().flatten()
    }

    pub(crate) fn new(
        arms: ArmsPolicy,
        baseline: Option<Baseline>,
        traffic_pct: Option<u32>,
    ) -> Self {
        let percent = |of: u64, pct: u32| of.saturating_mul(u64::from(pct)) / 100;
        let p95 = baseline.and_then(|b| b.p95).zip(arms.p95_trigger_pct);
        let traffic = baseline.map(|b| b.traffic).zip(traffic_pct);
        Self {
            arms: ArmsPolicy { weight: Weight::FULL, decides: true, ..arms },
            p95_limit: p95.map(|(p95, pct)| Micros(percent(p95.0, pct))),
            traffic_min: traffic
                .map(|(rate, pct)| Rate { milli_per_s: percent(rate.milli_per_s, pct) }),
        }
    }
}

/// Everybody is on one version now: it takes the place of the new one, and the other is empty.
pub(crate) fn seen(began: &Samples, recent: Option<&Samples>, now: &Samples) -> StageSeen {
    let all = |earlier: &Samples| {
        let empty = StageSeen::uncounted();
        let both = StageSeen::between(earlier, now, Source::Users);
        StageSeen { canary: both.base, base: empty.base, ..both }
    };
    StageSeen { recent: recent.map(|recent| Box::new(all(recent))), ..all(began) }
}

/// What cannot wait for the end of the watch.
pub(crate) fn live_breach(policy: &WatchedPolicy, seen: &StageSeen) -> Option<Judgement> {
    arms::live_breach(&policy.arms, seen, "users")
        .or_else(|| slow(policy, seen))
        .or_else(|| quiet(policy, seen))
}

fn slow(policy: &WatchedPolicy, seen: &StageSeen) -> Option<Judgement> {
    const ONE_IN_TWENTY_PPM: u32 = 50_000;
    let limit = policy.p95_limit?;
    let recent: &ArmSeen = &seen.recent.as_deref()?.canary;
    let latency = Histogram::try_from(&recent.latency).ok()?;
    let beyond = latency.count_above(limit.0);
    is_breached(beyond, latency.count(), ONE_IN_TWENTY_PPM).then(|| {
        let text = format!(
            "{beyond} of the last {} answers took longer than {limit}, which the p95 of the \
             version before allows",
            latency.count()
        );
        failed("watch.p95_spike", text, beyond)
    })
}

fn quiet(policy: &WatchedPolicy, seen: &StageSeen) -> Option<Judgement> {
    let least = policy.traffic_min?;
    let recent = seen.recent.as_deref().filter(|recent| recent.duration_us >= RECENT.0)?;
    let rate = Rate::of(recent.canary.requests, Micros(recent.duration_us));
    let expected = u128::from(least.milli_per_s) * u128::from(recent.duration_us) / 1_000_000_000;
    (rate < least && expected >= u128::from(EXPECTED_MIN)).then(|| {
        let text = format!("only {rate} came in the last minute; at least {least} is usual");
        failed("watch.traffic", text, recent.canary.requests)
    })
}

fn failed(what: &str, headline: String, value: u64) -> Judgement {
    let finding = Finding {
        fingerprint: what.to_owned(),
        title: headline.clone(),
        place: None,
        value: i64::try_from(value).unwrap_or(i64::MAX),
        unit: Unit::Count,
        next: "mend it in a new commit, and tag a new candidate".to_owned(),
    };
    Judgement::fail(headline, RULE_TEXT, finding)
}

impl Check for WatchedCheck {
    type Policy = WatchedPolicy;
    type Seen = StageSeen;
    const RULE: RuleId = RuleId { name: "watch.users", version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new("watch.users").expect("a constant id")
    }

    fn policy(&self) -> WatchedPolicy {
        self.policy.clone()
    }

    async fn observe(&self, _: &Look) -> Result<StageSeen, Unseen> {
        if self.platform.capabilities().measures == Measures::Nothing {
            return Ok(StageSeen::uncounted());
        }
        let now = self.platform.samples().await.map_err(|error| {
            let next = "see whether the platform answers";
            Unseen::new(Cause::Unobserved, error.to_string(), next)
        })?;
        Ok(seen(&self.began, self.recent.as_ref(), &now))
    }

    fn judge(policy: &WatchedPolicy, seen: &StageSeen) -> Judgement {
        if seen.uncounted {
            let text = "the platform does not count users; other sources decide";
            return Judgement::not_applicable(text, RULE_TEXT);
        }
        live_breach(policy, seen).unwrap_or_else(|| arms::judge(&policy.arms, seen, "users"))
    }

    fn chart(_policy: &WatchedPolicy, seen: &StageSeen) -> Vec<Series> {
        arms::chart(seen, "latency of users since it was promoted")
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::tests::arm;
    use super::*;
    use crate::gate::verdict::Verdict;
    use crate::slo::compare::ComparisonPolicy;
    use crate::slo::judge_objectives::ObjectivesPolicy;

    fn policy(p95_pct: Option<u32>, traffic_pct: Option<u32>) -> WatchedPolicy {
        let arms = ArmsPolicy {
            objectives: ObjectivesPolicy {
                objectives: ["p95 < 100ms", "errors < 1%"].map(|o| o.parse().unwrap()).to_vec(),
                confidence_bp: 9_500,
                min_samples: 100,
            },
            comparison: ComparisonPolicy::default(),
            weight: Weight::from_basis_points(2_500).unwrap(),
            decides: true,
            error_trigger_ppm: Some(50_000),
            p95_trigger_pct: p95_pct,
            throughput: None,
        };
        // 100 requests a second, answered in 10 ms.
        let beside = StageSeen {
            base: arm(4_500, 0, 10_000),
            canary: arm(1_500, 0, 10_000),
            ..over(60, arm(0, 0, 1))
        };
        WatchedPolicy::new(arms, Baseline::of(&beside), traffic_pct)
    }

    fn over(secs: u64, canary: ArmSeen) -> StageSeen {
        StageSeen {
            canary,
            duration_us: secs * 1_000_000,
            uncounted: false,
            ..StageSeen::uncounted()
        }
    }

    #[test]
    fn what_decides_a_watch() {
        use Verdict::{Fail, Inconclusive, Pass};
        let good = || over(3_600, arm(300_000, 30, 10_000));
        let with = |recent: StageSeen| StageSeen { recent: Some(Box::new(recent)), ..good() };
        let minute = |requests, errors, us| over(60, arm(requests, errors, us));
        for (what, p95, traffic, seen, expected) in [
            ("quiet", None, None, good(), Pass),
            ("nobody came", None, None, over(3_600, arm(0, 0, 1)), Inconclusive),
            ("too few", None, None, over(3_600, arm(99, 0, 10_000)), Inconclusive),
            ("beyond the objective", None, None, over(3_600, arm(9_000, 400, 10_000)), Fail),
            ("errors now", None, None, with(minute(600, 60, 10_000)), Fail),
            ("twice as slow now", Some(200), None, with(minute(600, 0, 21_000)), Fail),
            ("nearly twice as slow", Some(200), None, with(minute(600, 0, 19_000)), Pass),
            ("nobody asked for p95", None, None, with(minute(600, 0, 21_000)), Pass),
            ("half of the traffic", None, Some(50), with(minute(3_001, 0, 10_000)), Pass),
            ("less than half", None, Some(50), with(minute(2_999, 0, 10_000)), Fail),
            ("half a minute only", None, Some(50), with(over(30, arm(10, 0, 10_000))), Pass),
        ] {
            let judged = WatchedCheck::judge(&policy(p95, traffic), &seen);
            assert_eq!(judged.verdict, expected, "{what}: {}", judged.headline);
        }
        let uncounted = WatchedCheck::judge(&policy(None, None), &StageSeen::uncounted());
        assert_eq!(uncounted.verdict, Verdict::NotApplicable);
    }

    #[test]
    fn a_stage_without_a_base_is_no_baseline() {
        assert_eq!(Baseline::of(&over(60, arm(100, 0, 10_000))), None);
        let little = StageSeen { base: arm(10, 0, 10_000), ..over(10, arm(10, 0, 10_000)) };
        let baseline = Baseline::of(&little).expect("both served");
        assert_eq!((baseline.p95, baseline.traffic), (None, Rate::per_second(2)));
        let asked =
            Triggers { p95_ratio_pct: Some(200), traffic_pct: Some(50), ..Triggers::default() };
        let off = |stages: Vec<StageSeen>| -> Vec<&str> {
            let arms = policy(Some(200), None).arms;
            let baseline = Baseline::of_stages(stages);
            WatchedPolicy::new(arms, baseline, Some(50)).off(&asked).collect()
        };
        let much = StageSeen { base: arm(4_500, 0, 10_000), ..over(60, arm(1_500, 0, 10_000)) };
        let all = over(60, arm(1_500, 0, 10_000));
        assert_eq!(off(vec![all.clone()]), ["p95_ratio_pct", "traffic_pct"]);
        assert_eq!(off(vec![all.clone(), little.clone()]), ["p95_ratio_pct"]);
        assert!(off(vec![all, little.clone(), much.clone()]).is_empty());
        let both = Baseline::of_stages([little, much]).expect("both served");
        assert_eq!(both.traffic, Rate::per_second(2), "the newest");
        assert!(both.p95.is_some(), "the newest that has one");
    }
}
