//! `smoke.tests`: every smoke test against a deployment, once. A test that passed only after a
//! retry is told, and fails where the policy is strict.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::outcome::{Outcome, SmokeSeen, TestSeen};
use crate::base::digest::Digest;
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Measure, Unit, Verdict};

pub(crate) const ID: &str = "smoke.tests";
const RULE_TEXT: &str = "smoke.tests v1: every test passes";

/// What is tolerated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Whether a test that passed only after a retry fails.
    pub(crate) strict: bool,
    /// Whether only critical tests were run.
    pub(crate) critical: bool,
    /// What the tests say, where a ruling must not count for others of the same name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tests: Option<Digest>,
}

/// Runs the tests; its cancel ends them.
#[async_trait]
pub(crate) trait Suite: Send + Sync {
    async fn run(&self, cancel: &CancellationToken) -> Result<SmokeSeen, Unseen>;
}

/// Brings a suite to the judge.
pub(crate) struct SmokeCheck {
    pub(crate) suite: Arc<dyn Suite>,
    pub(crate) policy: Policy,
}

impl Check for SmokeCheck {
    type Policy = Policy;
    type Seen = SmokeSeen;
    const RULE: RuleId = RuleId { name: ID, version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new(ID).expect("a constant id")
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    async fn observe(&self, look: &Look) -> Result<SmokeSeen, Unseen> {
        self.suite.run(&look.cancel).await
    }

    fn judge(policy: &Policy, seen: &SmokeSeen) -> Judgement {
        judge(policy, seen)
    }
}

/// The verdict over a run.
pub(crate) fn judge(policy: &Policy, seen: &SmokeSeen) -> Judgement {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let tally = seen.tally();
    let is_bad = |test: &&TestSeen| match test.outcome() {
        Outcome::Passed => false,
        Outcome::Flaky => policy.strict,
        Outcome::Failed => true,
    };
    let bad: Vec<&TestSeen> = seen.tests.iter().filter(is_bad).collect();
    let mut judgement = Judgement::pass(seen.summary(), RULE_TEXT);
    judgement.findings = bad.iter().map(|test| finding(test)).collect();
    let undecided = if seen.planned == 0 {
        Some((Cause::NoData, "there is no smoke test to run".to_owned()))
    } else if seen.is_unreachable() {
        let why = seen.tests.iter().find_map(TestSeen::why).unwrap_or_default();
        Some((Cause::Unobserved, format!("nobody was reached: {why}")))
    } else if bad.is_empty() && seen.tests.len() < seen.planned {
        Some((Cause::Cancelled, seen.summary()))
    } else {
        None
    };
    if let Some((cause, headline)) = undecided {
        judgement.verdict = Verdict::Inconclusive;
        judgement.cause = Some(cause);
        judgement.headline = headline;
        judgement.findings.clear();
    } else if let Some(first) = bad.first() {
        judgement.verdict = Verdict::Fail;
        let why = first.why().unwrap_or_default();
        judgement.headline = format!("{}: {}: {why}", seen.summary(), first.name);
        judgement.next = judgement.findings.iter().map(|f| f.next.clone()).take(1).collect();
    }
    let passed = if policy.strict { tally.passed } else { tally.passed + tally.flaky };
    let critical = if policy.critical { "critical " } else { "" };
    let measure = Measure {
        asked: format!("all {} {}smoke tests pass", seen.planned, critical),
        seen: Some(count(passed)),
        lower: None,
        upper: None,
        limit: Some(count(seen.planned)),
        unit: Unit::Count,
        samples: u64::try_from(seen.tests.len()).unwrap_or(u64::MAX),
        verdict: judgement.verdict,
    };
    judgement.with_measures(vec![measure])
}

fn finding(test: &TestSeen) -> Finding {
    let why = test.why().unwrap_or_default();
    let flaky = if test.outcome() == Outcome::Flaky { "flaky: " } else { "" };
    Finding {
        fingerprint: format!("{}:{}", test.file, test.name),
        title: format!("{}: {flaky}{why}", test.name),
        place: Some(format!("{}:{}", test.file, test.line)),
        value: 1,
        unit: Unit::Count,
        next: format!("orca smoke {} --target URL asks it again", test.file),
    }
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::{of, seen};
    use super::*;

    fn judged(strict: bool, run: &SmokeSeen) -> Judgement {
        let judged = judge(&Policy { strict, critical: true, tests: None }, run);
        assert_eq!(judged.measures[0].verdict, judged.verdict);
        judged
    }

    #[test]
    fn a_run_passes_fails_or_stays_open() {
        use Verdict::{Fail, Inconclusive, Pass};
        let stopped = |statuses: &[u16]| {
            let mut run = of(vec![seen("a", statuses)]);
            run.planned = 2;
            run
        };
        for (run, lax, strict) in [
            (of(vec![seen("a", &[200])]), Pass, Pass),
            (of(vec![seen("a", &[500, 200])]), Pass, Fail),
            (of(vec![seen("a", &[200]), seen("b", &[500])]), Fail, Fail),
            (of(vec![seen("a", &[200]), seen("b", &[0])]), Fail, Fail),
            (of(vec![seen("a", &[0])]), Inconclusive, Inconclusive),
            (of(Vec::new()), Inconclusive, Inconclusive),
            (stopped(&[200]), Inconclusive, Inconclusive),
            (stopped(&[500]), Fail, Fail),
        ] {
            for (is_strict, verdict) in [(false, lax), (true, strict)] {
                let judged = judged(is_strict, &run);
                assert_eq!(judged.verdict, verdict, "{run:?}");
                assert_eq!(judged.cause.is_some(), verdict == Inconclusive, "{run:?}");
                assert_eq!(judged.findings.is_empty(), verdict != Fail, "{run:?}");
            }
        }
    }

    #[test]
    fn the_headline_says_how_many_and_the_first_reason() {
        let run = of(vec![seen("a", &[200]), seen("b", &[500]), seen("c", &[404])]);
        let judged = judged(false, &run);
        assert_eq!(
            judged.headline,
            "1 of 3 passed, 2 failed, in 1.23 s: b: status is 500; asked: 2xx"
        );
        assert_eq!(judged.findings[1].fingerprint, "synthetics/a.http:c");
        assert_eq!(judged.findings[1].place.as_deref(), Some("synthetics/a.http:3"));
    }
}
