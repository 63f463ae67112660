//! `slo.budget`: what may fail over a long window has not failed already.
//!
//! A spent budget closes the gate, or only warns, as the manifest says; so does a budget that burns
//! so fast that people are to be paged. Without data it cannot be judged, nor by a part of its window:
//! what is not known may have spent it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::burn::{Severity, Standing, budget_of, standing, windows};
use super::objective::{Objective, span};
use super::raw::OnBreach;
use super::telemetry::{Observed, Telemetry, Wanted};
use crate::base::ids::CheckId;
use crate::base::units::Micros;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Measure, Unit, Verdict};

const RULE: &str = "slo.budget v2";
const PPM: i64 = 1_000_000;

/// What a budget is held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BudgetPolicy {
    /// Scope and objective of each budget.
    pub(crate) budgets: Vec<(String, Objective)>,
    /// Of the budget, in basis points: with less than this left it counts as spent.
    pub(crate) keep_bp: u32,
    pub(crate) on_spent: OnBreach,
    pub(crate) on_fast_burn: OnBreach,
}

impl BudgetPolicy {
    /// What has to be asked of the source.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        let mut wanted: Vec<Wanted> = Vec::new();
        for (scope, objective) in &self.budgets {
            for window in
                budget_of(objective).map(|(_, period)| windows(period)).unwrap_or_default()
            {
                let question = Wanted::counts(scope, window);
                if !wanted.contains(&question) {
                    wanted.push(question);
                }
            }
        }
        wanted
    }
}

/// Where every budget stands; `None` for one that nothing is known of.
pub(crate) fn standings(policy: &BudgetPolicy, seen: &Observed) -> Vec<Option<Standing>> {
    policy.budgets.iter().map(|(scope, objective)| standing(scope, *objective, seen)).collect()
}

pub(crate) fn judge(policy: &BudgetPolicy, seen: &Observed) -> Judgement {
    let mut measures = Vec::new();
    let mut findings = Vec::new();
    let mut unknown = None;
    let mut warnings = Vec::new();
    for (standing, (scope, objective)) in standings(policy, seen).iter().zip(&policy.budgets) {
        let Some(standing) = standing else {
            unknown.get_or_insert_with(|| why_unknown(scope, *objective, seen));
            measures.push(measure(policy, (scope, objective), None, Verdict::Inconclusive));
            continue;
        };
        let mut verdict = Verdict::Pass;
        for (breach, on_breach) in breaches(policy, standing) {
            match on_breach {
                OnBreach::Close => {
                    verdict = Verdict::Fail;
                    findings.push(breach);
                }
                OnBreach::Warn => warnings.push(breach.title),
            }
        }
        if verdict == Verdict::Pass
            && let Some(why) = why_open(policy, standing, seen)
        {
            verdict = Verdict::Inconclusive;
            unknown.get_or_insert(why);
        }
        measures.push(measure(policy, (scope, objective), Some(standing), verdict));
    }
    let judgement = if let Some(first) = findings.first() {
        let mut failed = Judgement::fail(first.title.clone(), RULE, first.clone());
        failed.findings = findings;
        failed.with_next("orca explain slo.budget")
    } else if let Some((cause, text)) = unknown {
        Judgement::inconclusive(cause, text, RULE)
    } else if measures.is_empty() {
        Judgement::not_applicable("no objective has a budget: none names a window", RULE)
    } else if let Some(first) = warnings.first() {
        Judgement::pass(format!("{first} (the manifest only warns)"), RULE)
    } else {
        Judgement::pass(format!("{} error budgets are not spent", measures.len()), RULE)
    };
    judgement.with_measures(measures)
}

fn measure(
    policy: &BudgetPolicy,
    (scope, objective): (&String, &Objective),
    standing: Option<&Standing>,
    verdict: Verdict,
) -> Measure {
    Measure {
        asked: format!("{scope}: left of the budget of {objective}"),
        seen: standing.map(|s| s.left_ppm),
        lower: None,
        upper: None,
        limit: Some(i64::from(policy.keep_bp) * 100),
        unit: Unit::Ppm,
        samples: standing.map_or(0, |s| s.requests),
        verdict,
    }
}

/// What is wrong with a budget, and what the manifest does about it.
fn breaches(policy: &BudgetPolicy, standing: &Standing) -> Vec<(Finding, OnBreach)> {
    let Standing { scope, objective, failed, allowed, left_ppm, .. } = standing;
    let finding = |kind: &str, title: String, value| Finding {
        fingerprint: format!("budget-{kind}:{scope}:{objective}"),
        title,
        place: Some(scope.clone()),
        value,
        unit: Unit::Ppm,
        next: format!("find what fails on {scope}: orca slo budget"),
    };
    let mut breaches = Vec::new();
    if is_spent(policy, standing) {
        let title = format!(
            "the error budget of {scope} is spent: {failed} requests failed where {objective} \
             allows {allowed}"
        );
        breaches.push((finding("spent", title, PPM - left_ppm), policy.on_spent));
    }
    let burning = standing.burns.iter().find(|b| b.fires && b.severity == Severity::Page);
    if let Some(burn) = burning {
        let rate = burn.rate_milli.unwrap_or_default();
        let title = format!(
            "the error budget of {scope} burns {}.{} times too fast over the last {}",
            rate / 1_000,
            rate % 1_000 / 100,
            Micros(burn.window_us)
        );
        let value = i64::try_from(rate.saturating_mul(1_000)).unwrap_or(i64::MAX);
        breaches.push((finding("burn", title, value), policy.on_fast_burn));
    }
    breaches
}

fn is_spent(policy: &BudgetPolicy, standing: &Standing) -> bool {
    standing.left_ppm < i64::from(policy.keep_bp) * 100
}

/// Why a budget that closes nothing by what is known cannot be said to be kept.
fn why_open(
    policy: &BudgetPolicy,
    standing: &Standing,
    seen: &Observed,
) -> Option<(Cause, String)> {
    let Standing { scope, objective, .. } = standing;
    let whole = seen.window(scope, Micros(standing.window_us))?;
    if !is_spent(policy, standing) && !whole.is_covered() {
        if let Some(gap) = whole.gap("coverage") {
            let text = format!("no {} of {scope} from {}: {}", gap.what, seen.source, gap.detail);
            return Some((gap.cause, text));
        }
        let text = format!(
            "{} has data for {} of the {} that {objective} of {scope} is about",
            seen.source,
            span(Micros(whole.covered_us)),
            span(Micros(whole.window_us))
        );
        return Some((Cause::TooFewSamples, text));
    }
    if policy.on_fast_burn != OnBreach::Close {
        return None;
    }
    let pages = standing.burns.iter().filter(|burn| burn.severity == Severity::Page);
    let gaps = pages.flat_map(|burn| {
        let long = (burn.window_us, burn.rate_milli);
        let short = (burn.short_window_us, burn.short_rate_milli);
        // Both have to be above it: where one is known not to be, the other does not matter.
        let kept = |rate: Option<u64>| rate.is_some_and(|rate| rate <= burn.threshold_milli);
        let matters = !kept(long.1) && !kept(short.1);
        [long, short].into_iter().filter(move |(_, rate)| matters && rate.is_none())
    });
    let mut gaps = gaps.filter_map(|(window_us, _)| {
        let known = seen.window(scope, Micros(window_us))?;
        // Without requests nothing burns; without an answer nobody knows.
        let gap = match known.requests {
            Some(0) => None,
            Some(_) => known.gap("errors"),
            None => known.gap("requests").filter(|gap| gap.cause != Cause::NoData),
        }?;
        let over = span(Micros(window_us));
        let text =
            format!("no {} of {scope} over {over} from {}: {}", gap.what, seen.source, gap.detail);
        Some((gap.cause, text))
    });
    gaps.next()
}

fn why_unknown(scope: &str, objective: Objective, seen: &Observed) -> (Cause, String) {
    let known = budget_of(&objective).and_then(|(_, period)| seen.window(scope, period));
    let gap = known.and_then(|known| known.gap("requests").or_else(|| known.gap("errors")));
    if let Some(gap) = gap {
        let text = format!("no {} of {scope} from {}: {}", gap.what, seen.source, gap.detail);
        return (gap.cause, text);
    }
    (Cause::NoData, format!("{} knows of no request to {scope} for {objective}", seen.source))
}

/// Asks the source of the manifest.
pub(crate) struct BudgetCheck {
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) policy: BudgetPolicy,
}

impl Check for BudgetCheck {
    type Policy = BudgetPolicy;
    type Seen = Observed;
    const RULE: RuleId = RuleId { name: "slo.budget", version: 2 };

    fn id(&self) -> CheckId {
        CheckId::new("slo.budget").expect("a constant id")
    }

    fn policy(&self) -> BudgetPolicy {
        self.policy.clone()
    }

    async fn observe(&self, _: &Look) -> Result<Observed, Unseen> {
        self.telemetry.observe(&self.policy.wanted()).await
    }

    fn judge(policy: &BudgetPolicy, seen: &Observed) -> Judgement {
        judge(policy, seen)
    }
}

#[cfg(test)]
mod tests {
    use super::super::telemetry::{Gap, WindowSeen};
    use super::*;

    const HOUR: u64 = 3_600_000_000;

    fn policy(keep_bp: u32, on_spent: OnBreach, on_fast_burn: OnBreach) -> BudgetPolicy {
        let objective = "uptime > 99% over 30d".parse().unwrap();
        let budgets = vec![("all".to_owned(), objective)];
        BudgetPolicy { budgets, keep_bp, on_spent, on_fast_burn }
    }

    fn window(us: u64, requests: u64, errors: u64) -> WindowSeen {
        WindowSeen {
            scope: "all".to_owned(),
            window_us: us,
            covered_us: us,
            requests: Some(requests),
            errors: Some(errors),
            ..WindowSeen::default()
        }
    }

    #[test]
    fn spent_burning_kept_and_unknown() {
        use OnBreach::{Close, Warn};
        use Verdict::{Fail, Inconclusive, Pass};
        let month = |errors| window(720 * HOUR, 100_000, errors);
        let covered = |of, hours: u64| WindowSeen { covered_us: hours * HOUR, ..of };
        let three_days = |errors| covered(month(errors), 72);
        let burning = [window(HOUR, 1_000, 145), window(HOUR / 12, 100, 15)];
        for (policy, windows, expected) in [
            (policy(0, Close, Warn), vec![month(0)], Pass),
            (policy(0, Close, Warn), vec![month(1_000)], Pass),
            (policy(0, Close, Warn), vec![month(1_001)], Fail),
            (policy(0, Warn, Warn), vec![month(1_001)], Pass),
            (policy(1_000, Close, Warn), vec![month(900)], Pass),
            (policy(1_000, Close, Warn), vec![month(901)], Fail),
            (policy(0, Close, Warn), [&burning[..], &[month(200)]].concat(), Pass),
            (policy(0, Close, Close), [&burning[..], &[month(200)]].concat(), Fail),
            (policy(0, Close, Warn), vec![month(0), window(HOUR, 0, 0)], Pass),
            (policy(0, Close, Warn), vec![window(720 * HOUR, 0, 0)], Inconclusive),
            // Three days are not thirty: what is not known may have spent it. What is spent, is.
            (policy(0, Close, Warn), vec![three_days(0)], Inconclusive),
            (policy(0, Close, Warn), vec![three_days(1_000)], Inconclusive),
            (policy(0, Close, Warn), vec![three_days(1_001)], Fail),
            (policy(0, Warn, Warn), vec![three_days(1_001)], Pass),
            (policy(0, Close, Warn), vec![covered(month(0), 684)], Pass),
            (policy(0, Close, Close), [&burning[..], &[three_days(0)]].concat(), Fail),
            (policy(0, Close, Warn), vec![], Inconclusive),
        ] {
            let judgement = judge(&policy, &Observed::new("prom", windows.clone()));
            assert_eq!(judgement.verdict, expected, "{windows:?}: {}", judgement.headline);
        }
        let none = BudgetPolicy { budgets: vec![], ..policy(0, Close, Close) };
        let seen = Observed::new("prom", vec![]);
        assert_eq!(judge(&none, &seen).verdict, Verdict::NotApplicable);
    }

    #[test]
    fn an_alert_that_nobody_can_judge_closes_where_it_would_close() {
        use OnBreach::{Close, Warn};
        let gap =
            |what: &str, cause| Gap { what: what.to_owned(), cause, detail: "nothing".to_owned() };
        let without = |what: &str, cause, of: WindowSeen| {
            let requests = of.requests.filter(|_| what != "requests");
            WindowSeen { requests, errors: None, gaps: vec![gap(what, cause)], ..of }
        };
        let (hour, short) = (|errors| window(HOUR, 1_000, errors), |n| window(HOUR / 12, 100, n));
        let no_errors = |of| without("errors", Cause::NoData, of);
        let rows: [(_, [WindowSeen; 2], _); 8] = [
            (Close, [no_errors(hour(0)), no_errors(short(0))], Verdict::Inconclusive),
            (Warn, [no_errors(hour(0)), no_errors(short(0))], Verdict::Pass),
            (Close, [hour(145), no_errors(short(0))], Verdict::Inconclusive),
            // It cannot fire any more.
            (Close, [hour(0), no_errors(short(0))], Verdict::Pass),
            (Close, [no_errors(hour(0)), short(0)], Verdict::Pass),
            (Close, [hour(145), no_errors(window(HOUR / 12, 0, 0))], Verdict::Pass),
            (Close, [hour(145), without("requests", Cause::NoData, short(0))], Verdict::Pass),
            (
                Close,
                [hour(145), without("requests", Cause::Timeout, short(0))],
                Verdict::Inconclusive,
            ),
        ];
        for (on_fast_burn, [long, short], expected) in rows {
            let windows = vec![window(720 * HOUR, 100_000, 200), long, short];
            let seen = Observed::new("prom", windows);
            let judgement = judge(&policy(0, Close, on_fast_burn), &seen);
            assert_eq!(judgement.verdict, expected, "{seen:?}: {}", judgement.headline);
        }
    }

    #[test]
    fn what_the_source_did_not_tell_is_named() {
        let gap = Gap {
            what: "errors".to_owned(),
            cause: Cause::Denied,
            detail: "the token was refused".to_owned(),
        };
        let seen = WindowSeen { gaps: vec![gap], errors: None, ..window(720 * HOUR, 5, 0) };
        let policy = policy(0, OnBreach::Close, OnBreach::Warn);
        let judgement = judge(&policy, &Observed::new("prom", vec![seen]));
        assert_eq!(judgement.cause, Some(Cause::Denied));
        assert_eq!(judgement.headline, "no errors of all from prom: the token was refused");
        assert_eq!(policy.wanted().len(), 8, "six hours are asked once");
    }
}
