//! Whether a canary gets the requests that its weight says, over the whole stage so far. A version
//! that answers well and that users leave is seen here and nowhere else. Pure.
//!
//! Far fewer, beyond doubt, is a breach like any other trigger's; fewer is a warning that stands in
//! the headline and closes nothing. Too few visitors say nothing, and hold nothing up: that is told
//! as not judged. What counts as doubt is said in `slo::statistics::arrivals`.

use serde::{Deserialize, Serialize};

use super::arms::{ArmsPolicy, error_limit_ppm};
use super::samples::StageSeen;
use crate::gate::verdict::{Finding, Judgement, Measure, Unit, Verdict};
use crate::slo::hard_limit::is_breached;
use crate::slo::statistics::arrivals::{Arrivals, arrivals};

/// Limits in percent of the requests that the weight says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Throughput {
    /// Fewer bring users back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) back_pct: Option<u32>,
    /// Fewer are a warning.
    pub(crate) warn_pct: u32,
}

/// Why it is not judged, or what was seen.
fn look(policy: &ArmsPolicy, seen: &StageSeen) -> Result<Arrivals, String> {
    let (Some(base), Some(canary)) = (&seen.base.visits, &seen.canary.visits) else {
        return Err("the platform does not tell how many requests each user makes".to_owned());
    };
    // Clients that are not answered ask again: a base that fails makes a sound version look left.
    let limit_ppm = error_limit_ppm(policy).or(policy.error_trigger_ppm);
    if limit_ppm.is_some_and(|limit| is_breached(seen.base.errors, seen.base.requests, limit)) {
        let (errors, requests) = (seen.base.errors, seen.base.requests);
        return Err(format!(
            "{errors} of {requests} requests failed on the base, and clients ask again"
        ));
    }
    arrivals(base, canary, policy.weight).map_err(|unknown| unknown.to_string())
}

fn is_below(arrivals: &Arrivals, pct: u32) -> bool {
    arrivals.upper_bp < u64::from(pct) * 100
}

fn show(basis_points: u64) -> String {
    Unit::BasisPoints.show(i64::try_from(basis_points).unwrap_or(i64::MAX))
}

/// What brings users back.
pub(super) fn breach(policy: &ArmsPolicy, seen: &StageSeen, who: &str) -> Option<Judgement> {
    let pct = policy.throughput?.back_pct?;
    let arrived = look(policy, seen).ok().filter(|arrived| is_below(arrived, pct))?;
    let text = format!(
        "the new version gets {} of the requests by {who} that its weight of {} says, at most {}; \
         the trigger is {pct} %: they do not come back, or do not arrive",
        show(arrived.seen_bp),
        policy.weight,
        show(arrived.upper_bp)
    );
    let finding = Finding {
        fingerprint: format!("canary.throughput:{who}"),
        title: text.clone(),
        place: Some("canary".to_owned()),
        // What is missing, so that more is worse.
        value: i64::try_from(10_000_u64.saturating_sub(arrived.seen_bp)).unwrap_or(i64::MAX),
        unit: Unit::BasisPoints,
        next: "use the new version as a user does and see where it ends; mend it in a new commit, \
               and tag a new candidate"
            .to_owned(),
    };
    Some(Judgement::fail(text, "99.5 % upper bound of the requests below the trigger", finding))
}

/// The judgement with what was seen of this, and with its warning.
pub(super) fn told(
    policy: &ArmsPolicy,
    seen: &StageSeen,
    who: &str,
    mut judgement: Judgement,
) -> Judgement {
    let Some(limits) = policy.throughput else { return judgement };
    let arrived = look(policy, seen);
    let row = |pct: u32, warns| measure(policy, (pct, warns), &arrived, seen.canary.requests, who);
    judgement.measures.extend(limits.back_pct.map(|pct| row(pct, false)));
    judgement.measures.push(row(limits.warn_pct, true));
    let low = arrived.ok().filter(|arrived| is_below(arrived, limits.warn_pct));
    if let Some(low) = low.filter(|_| judgement.verdict != Verdict::Fail) {
        judgement.headline.push_str(&format!(
            "; warning: the new version gets only {} of the requests by {who} that its weight says",
            show(low.seen_bp)
        ));
    }
    judgement
}

fn measure(
    policy: &ArmsPolicy,
    (pct, warns): (u32, bool),
    arrived: &Result<Arrivals, String>,
    samples: u64,
    who: &str,
) -> Measure {
    let kind = if warns { " (a warning)" } else { "" };
    let asked =
        format!("requests by {who} >= {pct} % of what its weight of {} says{kind}", policy.weight);
    let limit = Some(i64::from(pct) * 100);
    let value = |basis_points: u64| i64::try_from(basis_points).ok();
    let unit = Unit::BasisPoints;
    match arrived {
        Ok(arrived) => Measure {
            asked,
            seen: value(arrived.seen_bp),
            lower: value(arrived.lower_bp),
            upper: value(arrived.upper_bp),
            limit,
            unit,
            samples,
            verdict: if is_below(arrived, pct) { Verdict::Fail } else { Verdict::Pass },
        },
        Err(why) => Measure {
            asked: format!("{asked}; not judged: {why}"),
            seen: None,
            lower: None,
            upper: None,
            limit,
            unit,
            samples,
            verdict: Verdict::NotApplicable,
        },
    }
}

/// The headline of a stage for which another check speaks, with what users were warned of.
pub(crate) fn warned(headline: &str, users: &Judgement) -> String {
    let is_open = matches!(users.verdict, Verdict::Pass | Verdict::Inconclusive);
    let warns = is_open && users.measures.iter().any(|m| m.verdict == Verdict::Fail);
    if warns && headline != users.headline {
        return format!("{headline}; users: {}", users.headline);
    }
    headline.to_owned()
}

/// One sentence about the stage so far, where it is asked for.
pub(crate) fn sentence(policy: &ArmsPolicy, seen: &StageSeen) -> Option<String> {
    policy.throughput?;
    Some(match look(policy, seen) {
        Ok(arrived) => format!("{} of the requests that its weight says", show(arrived.seen_bp)),
        Err(why) => format!("not judged: {why}"),
    })
}

#[cfg(test)]
mod tests {
    use super::super::arms::tests::policy as of_arms;
    use super::super::arms::{judge, live_breach};
    use super::super::samples::ArmSeen;
    use super::super::samples::tests::arm;
    use super::*;
    use crate::base::visits::Visits;

    const USUAL: Throughput = Throughput { back_pct: Some(50), warn_pct: 80 };

    fn policy(weight: u32, decides: bool, throughput: Option<Throughput>) -> ArmsPolicy {
        ArmsPolicy { throughput, ..of_arms(weight, decides) }
    }

    /// Each of so many visitors made so many requests, and all went well.
    fn came(visitors: u64, each: u64) -> ArmSeen {
        let visits = if visitors == 0 { vec![] } else { vec![(each, visitors)] };
        ArmSeen {
            visits: Some(Visits::try_from(visits).unwrap()),
            ..arm(visitors * each, 0, 10_000)
        }
    }

    fn seen(base: ArmSeen, canary: ArmSeen) -> StageSeen {
        StageSeen { base, canary, duration_us: 60_000_000, uncounted: false, recent: None }
    }

    #[test]
    fn far_fewer_go_back_and_fewer_are_a_warning() {
        use Verdict::{Fail, NotApplicable, Pass};
        let base = || came(9_500, 10);
        let silent = |arm: ArmSeen| ArmSeen { visits: None, ..arm };
        let failing = |errors: u64| ArmSeen { errors, ..base() };
        // (what, weight, base, canary, the two measures, the verdict)
        for (what, weight, base, canary, rows, expected) in [
            ("as many", 500, base(), came(500, 10), [Pass, Pass], Pass),
            ("more", 500, base(), came(500, 30), [Pass, Pass], Pass),
            ("not beyond doubt", 500, base(), came(500, 8), [Pass, Pass], Pass),
            ("fewer", 500, base(), came(500, 6), [Pass, Fail], Pass),
            ("half", 500, base(), came(500, 5), [Pass, Fail], Pass),
            ("far fewer", 500, base(), came(500, 4), [Fail, Fail], Fail),
            ("far fewer users", 500, base(), came(200, 10), [Fail, Fail], Fail),
            ("too few users", 25, base(), came(24, 10), [NotApplicable, NotApplicable], Pass),
            ("nobody on the base", 500, came(0, 1), came(500, 4), [NotApplicable; 2], Pass),
            ("the base fails", 500, failing(90_000), came(500, 1), [NotApplicable; 2], Pass),
            ("it fails a little", 500, failing(900), came(500, 4), [Fail, Fail], Fail),
            ("not told", 500, silent(base()), silent(came(500, 4)), [NotApplicable; 2], Pass),
        ] {
            let seen = seen(base, canary);
            let watched = policy(weight, false, Some(USUAL));
            let judged = judge(&watched, &seen, "users");
            assert_eq!(judged.verdict, expected, "{what}: {}", judged.headline);
            let said: Vec<Verdict> = judged.measures.iter().rev().map(|m| m.verdict).collect();
            assert_eq!([said[1], said[0]], rows, "{what}: {:?}", judged.measures);
            let live = live_breach(&watched, &seen, "users");
            assert_eq!(live.is_some(), expected == Fail, "{what}");
            let warned = judged.headline.contains("warning: the new version gets only");
            assert_eq!(warned, rows[1] == Fail && expected == Pass, "{what}: {}", judged.headline);
            let sentence = sentence(&watched, &seen).unwrap();
            let open = sentence.starts_with("not judged: ");
            assert_eq!(open, rows[0] == NotApplicable, "{what}: {sentence}");
        }
    }

    /// Nobody came, so nothing was hurt, and the stage says that this was not judged.
    #[test]
    fn a_stage_that_nobody_reached_says_what_is_not_judged() {
        use crate::gate::check::Check;
        let few = ArmSeen { sticky_keys: 15, ..came(9_500, 10) };
        let nobody = seen(few, came(0, 1));
        let watched = policy(500, false, Some(USUAL));
        let judged = super::super::users::UsersCheck::judge(&watched, &nobody);
        assert_eq!(judged.verdict, Verdict::Pass, "{}", judged.headline);
        let told: Vec<_> = judged.measures.iter().map(|m| (m.verdict, m.asked.as_str())).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        for (verdict, asked) in told {
            assert_eq!(verdict, Verdict::NotApplicable, "{asked}");
            assert!(asked.ends_with("no visitor of the canary is known"), "{asked}");
        }
        // Watched for breach alone, and yet nobody can reach it: chance does not do that.
        let unreachable = seen(came(9_500, 10), came(0, 1));
        let judged = super::super::users::UsersCheck::judge(&watched, &unreachable);
        assert_eq!(judged.verdict, Verdict::Fail, "{}", judged.headline);
        assert_eq!(judged.findings[0].fingerprint, "canary.unreachable:users");
    }

    /// Whoever decides the stage, a limit of its own, and nothing where nobody asked.
    #[test]
    fn each_limit_stands_for_itself() {
        let few = || seen(came(9_500, 10), came(500, 4));
        let limits = |back_pct, warn_pct| Some(Throughput { back_pct, warn_pct });
        for (limits, decides, measures, warns, expected) in [
            (None, true, 0, false, Verdict::Pass),
            (Some(USUAL), true, 2, false, Verdict::Fail),
            (Some(USUAL), false, 2, false, Verdict::Fail),
            (limits(Some(30), 80), true, 2, true, Verdict::Pass),
            (limits(Some(30), 30), true, 2, false, Verdict::Pass),
            (limits(None, 80), true, 1, true, Verdict::Pass),
        ] {
            let judged = judge(&policy(500, decides, limits), &few(), "users");
            assert_eq!(judged.verdict, expected, "{limits:?}: {}", judged.headline);
            let mine = judged.measures.iter().filter(|m| m.asked.starts_with("requests by users"));
            assert_eq!(mine.count(), measures, "{limits:?}");
            assert_eq!(judged.headline.contains("warning"), warns, "{limits:?}");
        }
        assert_eq!(sentence(&policy(500, true, None), &few()), None);
    }

    #[test]
    fn a_breach_says_what_was_seen_and_what_to_do() {
        let few = seen(came(9_500, 10), came(500, 4));
        let judged = judge(&policy(500, true, Some(USUAL)), &few, "users");
        assert_eq!(
            judged.headline,
            "the new version gets 40 % of the requests by users that its weight of 5 % says, at \
             most 48.09 %; the trigger is 50 %: they do not come back, or do not arrive"
        );
        let finding = &judged.findings[0];
        assert_eq!(
            (finding.value, finding.fingerprint.as_str()),
            (6_000, "canary.throughput:users")
        );
        assert!(judged.next[0].contains("as a user does"), "{:?}", judged.next);
        // What both versions breach outranks it, and a failure of another kind is named first.
        let failing = |arm: ArmSeen, errors| ArmSeen { errors, ..arm };
        let both = seen(failing(came(9_500, 10), 9_500), failing(came(500, 4), 200));
        let judged = judge(&policy(500, true, Some(USUAL)), &both, "users");
        assert_eq!(judged.verdict, Verdict::Inconclusive, "{}", judged.headline);
        let errors = seen(came(9_500, 10), failing(came(500, 4), 200));
        let judged = judge(&policy(500, true, Some(USUAL)), &errors, "users");
        assert!(judged.headline.contains("failed on the new version"), "{}", judged.headline);
        assert_eq!(judged.measures.len(), 2, "and both are told");
    }

    /// Limits that were never written leave the bytes of a policy as they were.
    #[test]
    fn a_policy_from_before_is_read_and_written_as_it_was() {
        let before = serde_json::to_value(policy(500, true, None)).unwrap();
        assert!(before.get("throughput").is_none(), "{before}");
        let read: ArmsPolicy = serde_json::from_value(before).unwrap();
        assert_eq!(read.throughput, None);
        let arm = serde_json::to_value(arm(1, 0, 1)).unwrap();
        assert!(arm.get("visits").is_none(), "{arm}");
        let now = serde_json::to_value(policy(500, true, Some(USUAL))).unwrap();
        assert_eq!(now["throughput"], serde_json::json!({"back_pct": 50, "warn_pct": 80}));
    }
}
