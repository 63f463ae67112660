//! How both arms of a canary are judged, by one source of requests at a time. Pure.
//!
//! In this order: a live limit beyond doubt, a canary that nobody reaches, the objectives on the
//! canary, the comparison with the base. When the base breaches too, the canary is not to blame:
//! that is a hold which names what both share.

use serde::{Deserialize, Serialize};

use super::samples::StageSeen;
use super::throughput::{self, Throughput};
use crate::base::histogram::Histogram;
use crate::base::units::Weight;
use crate::gate::check::Series;
use crate::gate::verdict::{Cause, Finding, Judgement, Unit, Verdict};
use crate::slo::compare::{ComparisonPolicy, compare};
use crate::slo::hard_limit::{is_breached, is_unreachable};
use crate::slo::judge_objectives::{ObjectivesPolicy, judge_objectives};
use crate::slo::objective::Limit;
use crate::slo::statistics::quantile::ranks;

/// The limits of one stage for one source of requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArmsPolicy {
    pub(crate) objectives: ObjectivesPolicy,
    pub(crate) comparison: ComparisonPolicy,
    /// The canary's share. At all of it there is no base to compare with.
    pub(crate) weight: Weight,
    /// Whether this source decides the stage, or is watched for a breach alone.
    pub(crate) decides: bool,
    /// More failures than this in the last minute act at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error_trigger_ppm: Option<u32>,
    /// A p95 of the last minute beyond this many percent of the base's acts at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) p95_trigger_pct: Option<u32>,
    /// Far fewer requests than the weight says act at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) throughput: Option<Throughput>,
}

/// Fewer keys on the base never say that the canary cannot be reached.
const UNREACHABLE_KEYS_MIN: u64 = 20;
const RULE: &str = "arms v1: live limit, reachability, objectives, comparison with the base";

pub(crate) fn judge(policy: &ArmsPolicy, seen: &StageSeen, who: &str) -> Judgement {
    throughput::told(policy, seen, who, judge_answers(policy, seen, who))
}

fn judge_answers(policy: &ArmsPolicy, seen: &StageSeen, who: &str) -> Judgement {
    if let Some(shared) = both_arms_breach(policy, seen) {
        let text = format!("both versions breach for {who}: {shared}; what they share is failing");
        return Judgement::inconclusive(Cause::BothBreach, text, RULE)
            .with_next("look at what both versions depend on; the canary waits");
    }
    if let Some(breach) = live_breach(policy, seen, who) {
        return breach;
    }
    if seen.canary.requests == 0 {
        let text = format!("no request by {who} reached the new version");
        return Judgement::inconclusive(Cause::NoData, text, RULE);
    }
    let scope = format!("the new version ({who})");
    let canary = seen.canary.sample(&scope, seen.duration_us);
    let absolute = judge_objectives(&policy.objectives, &canary);
    if absolute.verdict == Verdict::Fail {
        return absolute;
    }
    let compared = (policy.weight != Weight::FULL).then(|| {
        let base = seen.base.sample("base", seen.duration_us);
        compare(&policy.comparison, &base, &canary)
    });
    let worst = match compared {
        Some(compared) if compared.verdict > absolute.verdict => Judgement {
            measures: [absolute.measures.clone(), compared.measures.clone()].concat(),
            ..compared
        },
        Some(compared) => Judgement {
            measures: [absolute.measures.clone(), compared.measures].concat(),
            ..absolute
        },
        None => absolute,
    };
    if policy.decides || worst.verdict == Verdict::Fail {
        return worst;
    }
    let text = format!("no breach among {} requests by {who}", canary.attempts());
    Judgement::pass(text, "watched for breach alone").with_measures(worst.measures)
}

/// What cannot wait for the end of the bake.
pub(crate) fn live_breach(policy: &ArmsPolicy, seen: &StageSeen, who: &str) -> Option<Judgement> {
    if let Some(limit_ppm) = error_limit_ppm(policy)
        && is_breached(seen.canary.errors, seen.canary.requests, limit_ppm)
    {
        let text = format!(
            "{} of {} requests by {who} failed on the new version; the limit is {}",
            seen.canary.errors,
            seen.canary.requests,
            Unit::Ppm.show(i64::from(limit_ppm))
        );
        let ratio = seen.canary.errors.saturating_mul(1_000_000) / seen.canary.requests.max(1);
        let finding = finding(("canary.hard_limit", who), &text, ratio, Unit::Ppm);
        return Some(Judgement::fail(text, "exact 99 % lower bound beyond the limit", finding));
    }
    if let Some(spike) = spike(policy, seen.recent.as_deref().unwrap_or(seen), who) {
        return Some(spike);
    }
    let nobody = seen.canary.requests == 0 && seen.base.requests > 0;
    // A late answer or two of the base say nothing, even where the canary has all the weight.
    let enough = seen.base.sticky_keys >= UNREACHABLE_KEYS_MIN;
    if nobody && enough && is_unreachable(policy.weight, seen.base.sticky_keys) {
        let text = format!(
            "none of {} keys of {who} reached the new version at {}",
            seen.base.sticky_keys, policy.weight
        );
        let keys = seen.base.sticky_keys;
        let finding = finding(("canary.unreachable", who), &text, keys, Unit::Count);
        return Some(Judgement::fail(text, "chance explains it with less than 0.1 %", finding));
    }
    throughput::breach(policy, seen, who)
}

/// What the automatic triggers see in the traffic of the last minute.
fn spike(policy: &ArmsPolicy, recent: &StageSeen, who: &str) -> Option<Judgement> {
    let canary = &recent.canary;
    if let Some(limit_ppm) = policy.error_trigger_ppm
        && is_breached(canary.errors, canary.requests, limit_ppm)
    {
        let text = format!(
            "{} of the last {} requests by {who} failed on the new version; the trigger is {}",
            canary.errors,
            canary.requests,
            Unit::Ppm.show(i64::from(limit_ppm))
        );
        let ratio = canary.errors.saturating_mul(1_000_000) / canary.requests.max(1);
        let finding = finding(("canary.error_spike", who), &text, ratio, Unit::Ppm);
        return Some(Judgement::fail(text, "exact 99 % lower bound beyond the limit", finding));
    }
    let slow = slow_beyond_doubt(policy, recent)?;
    let text = format!(
        "{} of the last {} answers to {who} took longer than {} on the new version, which is {} % \
         of the base's p95",
        slow.answers,
        slow.of,
        Unit::Microseconds.show(i64::try_from(slow.limit_us).unwrap_or(i64::MAX)),
        slow.percent
    );
    let finding = finding(("canary.p95_spike", who), &text, slow.answers, Unit::Count);
    Some(Judgement::fail(text, "exact 99 % lower bound beyond one in twenty", finding))
}

fn finding((what, who): (&str, &str), title: &str, value: u64, unit: Unit) -> Finding {
    Finding {
        fingerprint: format!("{what}:{who}"),
        title: title.to_owned(),
        place: Some("canary".to_owned()),
        value: i64::try_from(value).unwrap_or(i64::MAX),
        unit,
        next: "mend it in a new commit, and tag a new candidate".to_owned(),
    }
}

/// Answers of the canary beyond the limit that the base's p95 gives.
struct Slow {
    answers: u64,
    of: u64,
    limit_us: u64,
    percent: u32,
}

/// The p95 is beyond the limit when more than one answer in twenty is; the base's p95 is taken at
/// the upper end of its 99 % interval.
fn slow_beyond_doubt(policy: &ArmsPolicy, seen: &StageSeen) -> Option<Slow> {
    const ONE_IN_TWENTY_PPM: u32 = 50_000;
    let percent = policy.p95_trigger_pct.filter(|_| policy.weight != Weight::FULL)?;
    let base = Histogram::try_from(&seen.base.latency).ok()?;
    let canary = Histogram::try_from(&seen.canary.latency).ok()?;
    let (_, base_us) = base.edges_at_rank(ranks(base.count(), 9_500, 9_900).upper?)?;
    let limit_us = base_us.saturating_mul(u64::from(percent)) / 100;
    let (answers, of) = (canary.count_above(limit_us), canary.count());
    is_breached(answers, of, ONE_IN_TWENTY_PPM).then_some(Slow { answers, of, limit_us, percent })
}

/// What both arms breach, when both do.
pub(crate) fn both_arms_breach(policy: &ArmsPolicy, seen: &StageSeen) -> Option<String> {
    if policy.weight == Weight::FULL {
        return None;
    }
    // A shared dependency that fails now is seen now, however long both did well.
    let recent = seen.recent.as_deref().unwrap_or(seen);
    let spikes = |arm: &super::samples::ArmSeen| {
        policy.error_trigger_ppm.is_some_and(|limit| is_breached(arm.errors, arm.requests, limit))
    };
    if spikes(&recent.base) && spikes(&recent.canary) {
        return Some(format!("{} of the base's last requests failed too", recent.base.errors));
    }
    let judged = |arm: &super::samples::ArmSeen| {
        judge_objectives(&policy.objectives, &arm.sample("base", seen.duration_us))
    };
    let (base, canary) = (judged(&seen.base), judged(&seen.canary));
    (base.verdict == Verdict::Fail && canary.verdict == Verdict::Fail).then_some(base.headline)
}

/// The manifest's limit on failures.
pub(super) fn error_limit_ppm(policy: &ArmsPolicy) -> Option<u32> {
    policy.objectives.objectives.iter().find_map(|objective| match objective.limit() {
        Limit::Ratio(limit) if objective.name() == "errors" => Some(limit.0.saturating_mul(100)),
        _ => None,
    })
}

/// The percentiles of both arms, side by side.
pub(crate) fn chart(seen: &StageSeen, title: &str) -> Vec<Series> {
    let arms = [("base", &seen.base), ("canary", &seen.canary)];
    arms.into_iter()
        .filter(|(_, arm)| arm.requests > 0)
        .filter_map(|(name, arm)| {
            let histogram = Histogram::try_from(&arm.latency).ok()?;
            let points = [5_000_u32, 7_500, 9_000, 9_500, 9_900, 9_990, 10_000]
                .into_iter()
                .map(|bp| {
                    let at = i64::from(bp) * 100;
                    let value = i64::try_from(histogram.quantile_us(bp)).unwrap_or(i64::MAX);
                    (at, value)
                })
                .collect();
            Some(Series {
                title: title.to_owned(),
                name: name.to_owned(),
                x_unit: "nines_ppm".to_owned(),
                y_unit: "us".to_owned(),
                points,
            })
        })
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::samples::tests::arm;
    use super::*;

    pub(in crate::rollout) fn policy(weight: u32, decides: bool) -> ArmsPolicy {
        ArmsPolicy {
            objectives: ObjectivesPolicy {
                objectives: ["p95 < 100ms", "errors < 1%"].map(|o| o.parse().unwrap()).to_vec(),
                confidence_bp: 9_500,
                min_samples: 100,
            },
            comparison: ComparisonPolicy { min_samples: 100, ..ComparisonPolicy::default() },
            weight: Weight::from_basis_points(weight).unwrap(),
            decides,
            error_trigger_ppm: None,
            p95_trigger_pct: None,
            throughput: None,
        }
    }

    /// The base answers in 10 ms, and twice that is the limit.
    #[test]
    fn a_p95_far_beyond_the_base_acts_at_once() {
        let slow = |answers: u64| {
            let mut latency = Histogram::default();
            latency.record_many(10_000, 100 - answers);
            latency.record_many(21_000, answers);
            super::super::samples::ArmSeen { latency: (&latency).into(), ..arm(100, 0, 10_000) }
        };
        for (trigger, weight, answers, acts) in [
            (Some(200), 500, 100, true),
            (Some(200), 500, 12, true),
            (Some(200), 500, 9, false),
            (Some(300), 500, 100, false),
            (Some(200), 10_000, 100, false),
            (None, 500, 100, false),
        ] {
            let policy = ArmsPolicy { p95_trigger_pct: trigger, ..policy(weight, true) };
            let live = live_breach(&policy, &seen(arm(5_000, 0, 10_000), slow(answers)), "users");
            assert_eq!(live.is_some(), acts, "{trigger:?} {weight} {answers}");
        }
        let policy = ArmsPolicy { p95_trigger_pct: Some(200), ..policy(500, true) };
        let few = seen(arm(20, 0, 10_000), slow(100));
        assert!(live_breach(&policy, &few, "users").is_none(), "the base is not known well enough");
    }

    /// A day of quiet must not hide what happens now.
    #[test]
    fn a_spike_shows_in_its_own_minute() {
        let quiet = || seen(arm(900_000, 0, 10_000), arm(100_000, 60, 10_000));
        let with = |errors: u64| StageSeen {
            recent: Some(Box::new(seen(arm(9_000, 0, 10_000), arm(600, errors, 10_000)))),
            ..quiet()
        };
        for (trigger, errors, acts) in
            [(Some(50_000), 60, true), (Some(50_000), 30, false), (None, 60, false)]
        {
            let policy = ArmsPolicy { error_trigger_ppm: trigger, ..policy(1_000, true) };
            let live = live_breach(&policy, &with(errors), "users");
            assert_eq!(live.is_some(), acts, "{trigger:?} {errors}");
            // The stage is judged by the same rule.
            assert_eq!(judge(&policy, &with(errors), "users").verdict == Verdict::Fail, acts);
        }
        let policy = ArmsPolicy { error_trigger_ppm: Some(50_000), ..policy(1_000, true) };
        let shared = StageSeen {
            recent: Some(Box::new(seen(arm(9_000, 900, 10_000), arm(600, 60, 10_000)))),
            ..quiet()
        };
        assert_eq!(judge(&policy, &shared, "users").verdict, Verdict::Inconclusive);
        let four = StageSeen {
            recent: Some(Box::new(seen(arm(9_000, 0, 10_000), arm(4, 4, 10_000)))),
            ..quiet()
        };
        assert!(live_breach(&policy, &four, "users").is_none(), "four failures are no spike");
    }

    fn seen(
        base: super::super::samples::ArmSeen,
        canary: super::super::samples::ArmSeen,
    ) -> StageSeen {
        StageSeen { base, canary, duration_us: 60_000_000, uncounted: false, recent: None }
    }

    #[test]
    fn what_decides_a_stage() {
        use Verdict::{Fail, Inconclusive, Pass};
        let good = || arm(5_000, 0, 10_000);
        for (what, weight, decides, base, canary, expected) in [
            ("alike", 500, true, good(), arm(2_000, 0, 10_000), Pass),
            ("errors beyond the limit", 500, true, good(), arm(2_000, 60, 10_000), Fail),
            ("too few to say", 500, true, good(), arm(99, 0, 10_000), Inconclusive),
            ("slow beyond the objective", 500, true, good(), arm(2_000, 0, 200_000), Fail),
            ("slower than base", 500, true, good(), arm(2_000, 0, 20_000), Fail),
            ("nobody came", 500, true, good(), arm(0, 0, 1), Fail),
            ("nobody came, few keys", 500, true, arm(20, 0, 10_000), arm(0, 0, 1), Inconclusive),
            ("nobody served at all", 500, true, arm(0, 0, 1), arm(0, 0, 1), Inconclusive),
            (
                "both breach",
                500,
                true,
                arm(5_000, 500, 10_000),
                arm(2_000, 200, 10_000),
                Inconclusive,
            ),
            ("all traffic, no base", 10_000, true, arm(0, 0, 1), arm(2_000, 0, 10_000), Pass),
            ("watched only, too few", 100, false, good(), arm(30, 0, 10_000), Pass),
            ("watched only, breach", 100, false, good(), arm(30, 10, 10_000), Fail),
            ("watched only, nobody", 100, false, good(), arm(0, 0, 1), Fail),
            ("watched only, few keys", 100, false, arm(20, 0, 10_000), arm(0, 0, 1), Inconclusive),
        ] {
            let judged = judge(&policy(weight, decides), &seen(base, canary), "users");
            assert_eq!(judged.verdict, expected, "{what}: {}", judged.headline);
        }
    }

    /// Four failures never act at once; the fifth does when the bound is beyond the limit.
    #[test]
    fn the_hard_limit_needs_five_failures() {
        for (errors, breached) in [(4, false), (5, true)] {
            let seen = seen(arm(100, 0, 1_000), arm(50, errors, 1_000));
            let live = live_breach(&policy(500, true), &seen, "users");
            assert_eq!(live.is_some(), breached, "{errors}");
        }
    }

    /// Story D: a healthy service with little traffic is never passed and never blamed.
    #[test]
    fn little_healthy_traffic_decides_nothing() {
        let policy = policy(500, true);
        let rng = crate::base::clock::Entropy::seeded(7);
        let (mut failed, seeds) = (0, 1_000);
        for _ in 0..seeds {
            let requests = 9 + rng.below(8);
            let errors = (0..requests).filter(|_| rng.below(1_000) < 3).count();
            let canary = arm(requests, u64::try_from(errors).unwrap(), 10_000);
            let judged = judge(&policy, &seen(arm(250, 1, 10_000), canary), "users");
            assert_ne!(judged.verdict, Verdict::Pass);
            failed += usize::from(judged.verdict == Verdict::Fail);
        }
        assert_eq!(failed, 0);
    }
}
