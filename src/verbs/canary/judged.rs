//! The ruling of a stage in the words of the machine. Pure.

use crate::gate::ruling::RulingRecord;
use crate::gate::verdict::{Cause, Verdict};
use crate::rollout::decision::StageJudgement;
use crate::rollout::machine::StageNext;
use crate::rollout::throughput;

/// What the checks of a stage come to. A version that is not well hurts users, whoever counts them:
/// its own answers weigh on both sources, and nothing goes on before they are known.
pub(super) fn stage_judgement(record: &RulingRecord) -> StageJudgement {
    let of = |check: &str| record.checks.iter().find(|c| c.check.as_str() == check);
    let health = of("canary.health").map_or(Verdict::Pass, |c| c.counted);
    let weighed = |verdict: Verdict| if health.opens() { verdict } else { verdict.max(health) };
    let users = of("canary.users").map_or(Verdict::Inconclusive, |c| c.counted);
    let probes = of("canary.probes").map(|c| c.counted).filter(|v| *v != Verdict::NotApplicable);
    // A Fail of either wins, and is what people must read.
    let failed = record.checks.iter().find(|c| c.counted == Verdict::Fail);
    let both = record.checks.iter().find(|c| c.judgement.cause == Some(Cause::BothBreach));
    // What is only a warning is told whoever speaks for the stage.
    let headline = match (failed, of("canary.users")) {
        (Some(failed), _) => failed.judgement.headline.clone(),
        (None, Some(users)) => throughput::warned(&record.headline, &users.judgement),
        (None, None) => record.headline.clone(),
    };
    StageJudgement {
        users: weighed(users),
        probes: probes.map(weighed),
        cause: record.cause,
        headline,
        both_arms_breach: both.map(|c| c.judgement.headline.clone()),
    }
}

/// A stage whose ruling the ledger did not take: nobody may go on from it.
pub(super) fn unrecorded(why: &str) -> StageJudgement {
    StageJudgement {
        users: Verdict::Inconclusive,
        probes: None,
        cause: Some(Cause::Unobserved),
        headline: format!("the ruling could not be kept: {why}"),
        both_arms_breach: None,
    }
}

/// A stage that went on passed; one that did not either failed or could not decide.
pub(super) fn verdict_of(judged: &StageJudgement, next: StageNext) -> Verdict {
    if judged.users == Verdict::Fail || judged.probes == Some(Verdict::Fail) {
        return Verdict::Fail;
    }
    match next {
        StageNext::Raise | StageNext::Done if judged.users == Verdict::Waived => Verdict::Waived,
        StageNext::Raise | StageNext::Done => Verdict::Pass,
        StageNext::Hold | StageNext::Abort => Verdict::Inconclusive,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::digest::Digest;
    use crate::base::ids::{CheckId, CommitId, Environment};
    use crate::gate::ruling::{CheckRecord, Mode, Subject};
    use crate::gate::verdict::Judgement;
    use crate::rollout::decision::{Decision, decide};
    use crate::rollout::plan::DecideBy;

    fn check(name: &str, counted: Verdict, cause: Option<Cause>) -> CheckRecord {
        CheckRecord {
            check: CheckId::new(name).unwrap(),
            rule: name.to_owned(),
            rule_version: 1,
            required: true,
            judgement: Judgement { cause, ..Judgement::pass(format!("{name} said"), "v1") },
            policy: Digest::of(b"policy"),
            exhibit: Digest::of(b"exhibit"),
            observed_at: Timestamp::from_us(1),
            max_age_us: 1,
            waivers: Vec::new(),
            counted,
        }
    }

    /// A stage that goes on says what it was warned of, though another check speaks for it.
    #[test]
    fn a_warning_is_told_whoever_speaks_for_the_stage() {
        let said = |users: Verdict, row: Verdict| {
            let mut warning = check("canary.users", users, None);
            warning.judgement.verdict = users;
            warning.judgement.headline = "well; warning: few users".to_owned();
            warning.judgement.measures.push(crate::gate::verdict::Measure {
                asked: "requests >= 80 %".to_owned(),
                seen: Some(7_000),
                lower: None,
                upper: None,
                limit: Some(8_000),
                unit: crate::gate::verdict::Unit::BasisPoints,
                samples: 1,
                verdict: row,
            });
            let record = record(vec![warning, check("canary.health", Verdict::Pass, None)]);
            stage_judgement(&record).headline
        };
        let both = "seen; users: well; warning: few users";
        assert_eq!(said(Verdict::Pass, Verdict::Fail), both);
        assert_eq!(said(Verdict::Inconclusive, Verdict::Fail), both);
        assert_eq!(said(Verdict::Pass, Verdict::Pass), "seen");
        assert_eq!(said(Verdict::Pass, Verdict::NotApplicable), "seen");
        assert_eq!(said(Verdict::Fail, Verdict::Fail), "well; warning: few users", "it failed");
    }

    fn record(checks: Vec<CheckRecord>) -> RulingRecord {
        let subject = Subject {
            commit: CommitId::new("4".repeat(40)).unwrap(),
            digest: None,
            environment: Environment::new("production").unwrap(),
        };
        RulingRecord {
            gate: "stage-1".to_owned(),
            subject,
            mode: Mode::Enforce,
            checks,
            verdict: Verdict::Inconclusive,
            cause: None,
            headline: "seen".to_owned(),
        }
    }

    /// Whoever decides the stage, it goes on only where the version itself was well.
    #[test]
    fn the_versions_own_health_weighs_on_whoever_decides() {
        use Decision::{Back, Hold, Proceed};
        use Verdict::{Fail, Inconclusive, NotApplicable, Pass};
        let shared = Some(Cause::BothBreach);
        for (what, health, users, probes, by, expected) in [
            ("not asked for", None, Pass, NotApplicable, DecideBy::Users, Proceed),
            ("well", Some((Pass, None)), Pass, NotApplicable, DecideBy::Users, Proceed),
            ("well, users not", Some((Pass, None)), Fail, Pass, DecideBy::Paired, Back),
            ("unknown", Some((Inconclusive, None)), Pass, NotApplicable, DecideBy::Users, Hold),
            ("unknown, paired", Some((Inconclusive, None)), Pass, Pass, DecideBy::Paired, Hold),
            ("unknown, users fail", Some((Inconclusive, None)), Fail, Pass, DecideBy::Users, Back),
            ("ill", Some((Fail, None)), Pass, Pass, DecideBy::Paired, Back),
            ("both ill", Some((Inconclusive, shared)), Fail, Pass, DecideBy::Users, Hold),
        ] {
            let mut checks =
                vec![check("canary.users", users, None), check("canary.probes", probes, None)];
            checks.extend(health.map(|(counted, cause)| check("canary.health", counted, cause)));
            let record = record(checks);
            assert_eq!(decide(by, &stage_judgement(&record)), expected, "{what}");
        }
    }
}
