//! `deploy.criteria`: the seven things that must be known of a standby before everybody is sent to
//! it. Pure: what was asked of it is brought here, and stands in the exhibit.
//!
//! What was not measured is Inconclusive, never a pass: then nobody is switched.

use serde::{Deserialize, Serialize};

use crate::base::ids::CheckId;
use crate::base::units::{BasisPoints, Micros};
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Cause, Finding, Judgement, Measure, Unit, Verdict};
use crate::slo::judge_objectives::{ObjectivesPolicy, judge_objectives};
use crate::slo::objective::Objective;
use crate::slo::sample::Sample;

pub(crate) const ID: &str = "deploy.criteria";
const RULE_TEXT: &str = "deploy.criteria v1";
/// How many criteria there are.
const COUNT: usize = 7;

/// The limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Criteria {
    /// Of the health endpoint.
    pub(crate) health_path: String,
    /// Share of requests that the standby answers at all, at least.
    pub(crate) uptime_bp: u32,
    /// Share of failed requests, at most.
    pub(crate) errors_bp: u32,
    pub(crate) p95_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) requests_min: u64,
    /// Two-sided, in basis points.
    pub(crate) confidence_bp: u32,
}

/// What was asked of the standby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StandbySeen {
    pub(crate) health: Asked,
    pub(crate) smoke: Vec<Smoke>,
    /// The load on its own address; absent when none was sent.
    pub(crate) load: Option<LoadSeen>,
    /// Why none was sent.
    pub(crate) no_load: Option<String>,
}

/// One request and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Asked {
    /// Absent when no answer came.
    pub(crate) status: Option<u16>,
    /// Why the answer is not right, or why there is none.
    pub(crate) wrong: Option<String>,
    pub(crate) took_us: u64,
}

/// One smoke test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Smoke {
    pub(crate) endpoint: String,
    pub(crate) asked: Asked,
}

/// What load measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadSeen {
    pub(crate) sample: Sample,
    /// How many requests got no answer, or one of 500 and above.
    pub(crate) unanswered: u64,
}

/// One criterion, judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) measure: Measure,
    pub(crate) cause: Option<Cause>,
    pub(crate) why: String,
    pub(crate) findings: Vec<Finding>,
}

/// All seven, in the order of the seed: health, uptime, errors, p95, p99, traffic, smoke.
pub(crate) fn rows(policy: &Criteria, seen: &StandbySeen) -> [Row; COUNT] {
    [
        health(policy, &seen.health),
        measured("uptime", policy, seen, uptime(policy)),
        measured("errors", policy, seen, format!("errors <= {}", BasisPoints(policy.errors_bp))),
        measured("p95", policy, seen, format!("p95 <= {}us", policy.p95_us)),
        measured("p99", policy, seen, format!("p99 <= {}us", policy.p99_us)),
        traffic(policy, seen),
        smoke(&seen.smoke),
    ]
}

/// The load run is the window: nobody else asks a standby.
fn uptime(policy: &Criteria) -> String {
    format!("uptime >= {} over 1s", BasisPoints(policy.uptime_bp))
}

fn plain(asked: String, unit: Unit, samples: u64) -> Measure {
    let verdict = Verdict::Inconclusive;
    Measure { asked, seen: None, lower: None, upper: None, limit: None, unit, samples, verdict }
}

fn row(name: &'static str, measure: Measure, why: String) -> Row {
    let is_open = measure.verdict == Verdict::Inconclusive;
    let cause = is_open.then_some(Cause::Unobserved);
    Row { name, measure, cause, why, findings: Vec::new() }
}

fn finding(fingerprint: String, title: &str, place: &str, next: &str) -> Finding {
    Finding {
        fingerprint,
        title: title.to_owned(),
        place: Some(place.to_owned()),
        value: 1,
        unit: Unit::Count,
        next: next.to_owned(),
    }
}

/// A wall in front of the deployment says nothing about it.
fn is_wall(asked: &Asked) -> bool {
    matches!(asked.status, Some(401 | 403))
}

fn health(policy: &Criteria, asked: &Asked) -> Row {
    let path = &policy.health_path;
    let mut measure = plain(format!("GET {path} answers 200"), Unit::Count, 1);
    measure.seen = asked.status.map(i64::from);
    measure.limit = Some(200);
    let (verdict, why) = match asked.status {
        Some(200) => (Verdict::Pass, format!("answered 200 in {}", Micros(asked.took_us))),
        None => {
            let why = asked.wrong.clone().unwrap_or_else(|| "no answer came".to_owned());
            (Verdict::Inconclusive, why)
        }
        Some(status) if is_wall(asked) => {
            let why = format!(
                "HTTP {status}: the deployment is protected; export its bypass secret as \
                 VERCEL_AUTOMATION_BYPASS_SECRET"
            );
            (Verdict::Inconclusive, why)
        }
        Some(status) => (Verdict::Fail, format!("answered {status}, not 200")),
    };
    measure.verdict = verdict;
    let mut row = row("health", measure, why);
    if is_wall(asked) {
        row.cause = Some(Cause::Denied);
    }
    if verdict == Verdict::Fail {
        let next = "see its log; deploy.health in orca.yaml names the path";
        row.findings.push(finding("health".to_owned(), &row.why, path, next));
    }
    row
}

fn measured(name: &'static str, policy: &Criteria, seen: &StandbySeen, asked: String) -> Row {
    let Some(load) = &seen.load else {
        let why = seen.no_load.clone().unwrap_or_else(|| "it was not measured".to_owned());
        return row(name, plain(asked, Unit::Count, 0), why);
    };
    let objective: Result<Objective, _> = asked.parse();
    let Ok(objective) = objective else {
        return row(name, plain(asked, Unit::Count, 0), "the limit is out of range".to_owned());
    };
    let policy = ObjectivesPolicy {
        objectives: vec![objective],
        confidence_bp: policy.confidence_bp,
        min_samples: policy.requests_min,
    };
    let mut sample = load.sample.clone();
    if name == "uptime" {
        sample.errors = load.unanswered;
    }
    let judged = judge_objectives(&policy, &sample);
    let measure = judged.measures.into_iter().next();
    let mut measure = measure.unwrap_or_else(|| plain(asked, Unit::Count, sample.attempts()));
    if name == "uptime" {
        "answered while it was loaded".clone_into(&mut measure.asked);
    }
    let why = match measure.verdict {
        Verdict::Pass => {
            let seen = measure.seen.map(|value| measure.unit.show(value)).unwrap_or_default();
            format!("{seen} of {} requests", measure.samples)
        }
        _ => judged.headline,
    };
    Row { name, measure, cause: judged.cause, why, findings: judged.findings }
}

fn traffic(policy: &Criteria, seen: &StandbySeen) -> Row {
    let asked = format!("at least {} requests", policy.requests_min);
    let Some(load) = &seen.load else {
        let why = seen.no_load.clone().unwrap_or_else(|| "it was not measured".to_owned());
        return row("traffic", plain(asked, Unit::Count, 0), why);
    };
    let sent = load.sample.requests;
    let mut measure = plain(asked, Unit::Count, sent);
    measure.seen = i64::try_from(sent).ok();
    measure.limit = i64::try_from(policy.requests_min).ok();
    if sent >= policy.requests_min {
        measure.verdict = Verdict::Pass;
        return row("traffic", measure, format!("{sent} requests were sent to it"));
    }
    let why = format!("{sent} requests decide nothing: load it longer, or at a higher rate");
    Row { cause: Some(Cause::TooFewSamples), ..row("traffic", measure, why) }
}

fn smoke(tests: &[Smoke]) -> Row {
    let count = u64::try_from(tests.len()).unwrap_or(u64::MAX);
    let mut measure = plain("every safe endpoint answers right".to_owned(), Unit::Count, count);
    measure.limit = i64::try_from(count).ok();
    if tests.is_empty() {
        let why = "no endpoint of the manifest is marked safe: true".to_owned();
        return Row { cause: Some(Cause::NoData), ..row("smoke", measure, why) };
    }
    let is_wrong = |test: &&Smoke| test.asked.wrong.is_some();
    let wrong: Vec<&Smoke> = tests.iter().filter(is_wrong).collect();
    let right = tests.len() - wrong.len();
    measure.seen = i64::try_from(right).ok();
    let Some(first) = wrong.first() else {
        measure.verdict = Verdict::Pass;
        return row("smoke", measure, format!("{right} of {count} smoke tests passed"));
    };
    let said = first.asked.wrong.clone().unwrap_or_default();
    let why = format!("{} of {count} failed: {}: {said}", wrong.len(), first.endpoint);
    if wrong.iter().all(|test| test.asked.status.is_none() || is_wall(&test.asked)) {
        return row("smoke", measure, why);
    }
    measure.verdict = Verdict::Fail;
    let findings = wrong.iter().map(|test| {
        let title = test.asked.wrong.clone().unwrap_or_default();
        let fingerprint = format!("smoke:{}", test.endpoint);
        let next = "ask it by hand at the deployment's own address";
        finding(fingerprint, &format!("{}: {title}", test.endpoint), &test.endpoint, next)
    });
    Row { findings: findings.collect(), ..row("smoke", measure, why) }
}

/// Brings what was seen to the judge.
pub(crate) struct CriteriaCheck {
    pub(crate) policy: Criteria,
    pub(crate) seen: StandbySeen,
}

impl Check for CriteriaCheck {
    type Policy = Criteria;
    type Seen = StandbySeen;
    const RULE: RuleId = RuleId { name: ID, version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new(ID).expect("a constant id")
    }

    fn policy(&self) -> Criteria {
        self.policy.clone()
    }

    async fn observe(&self, _: &Look) -> Result<StandbySeen, Unseen> {
        Ok(self.seen.clone())
    }

    fn judge(policy: &Criteria, seen: &StandbySeen) -> Judgement {
        let rows = rows(policy, seen);
        let mut judgement = Judgement::pass(format!("all {COUNT} criteria hold"), RULE_TEXT);
        let worst = Verdict::worst(rows.iter().map(|row| row.measure.verdict));
        judgement.verdict = worst.unwrap_or(Verdict::Inconclusive);
        let mut bad = rows
            .iter()
            .filter(|row| row.measure.verdict > Verdict::Pass)
            .filter(|row| row.measure.verdict == judgement.verdict);
        if let Some(first) = bad.next() {
            let more = bad.count();
            let and = if more > 0 { format!(" (and {more} more)") } else { String::new() };
            judgement.headline = format!("{}: {}{and}", first.name, first.why);
            judgement.cause = first.cause.filter(|_| judgement.verdict == Verdict::Inconclusive);
        }
        judgement.findings = rows.iter().flat_map(|row| row.findings.clone()).collect();
        judgement.next = judgement.findings.iter().map(|f| f.next.clone()).take(1).collect();
        judgement.with_measures(rows.into_iter().map(|row| row.measure).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::histogram::Histogram;
    use crate::slo::sample::Counts;

    fn policy() -> Criteria {
        Criteria {
            health_path: "/api/health".to_owned(),
            uptime_bp: 9_950,
            errors_bp: 100,
            p95_us: 500_000,
            p99_us: 1_000_000,
            requests_min: 100,
            confidence_bp: 9_500,
        }
    }

    fn answered(status: u16) -> Asked {
        let wrong = (status >= 400).then(|| format!("HTTP {status}"));
        Asked { status: Some(status), wrong, took_us: 1_000 }
    }

    fn load(requests: u64, errors: u64, unanswered: u64, latency_us: u64) -> LoadSeen {
        let mut latency = Histogram::default();
        latency.record_many(latency_us, requests);
        let counts = Counts { requests, errors, dropped: 0, duration: Micros::from_secs(10) };
        LoadSeen { sample: Sample::new("all", counts, &latency), unanswered }
    }

    fn sound() -> StandbySeen {
        StandbySeen {
            health: answered(200),
            smoke: vec![Smoke { endpoint: "trust".to_owned(), asked: answered(200) }],
            load: Some(load(2_000, 0, 0, 20_000)),
            no_load: None,
        }
    }

    #[test]
    fn each_criterion_passes_fails_and_stays_open_by_itself() {
        use Verdict::{Fail, Inconclusive, Pass};
        let with = |change: &dyn Fn(&mut StandbySeen)| {
            let mut seen = sound();
            change(&mut seen);
            seen
        };
        let none = Asked { status: None, wrong: Some("timeout".to_owned()), took_us: 0 };
        for (name, seen, verdict) in [
            ("health", sound(), Pass),
            ("health", with(&|s| s.health = answered(204)), Fail),
            ("health", with(&|s| s.health = answered(500)), Fail),
            ("health", with(&|s| s.health = answered(401)), Inconclusive),
            ("health", with(&|s| s.health = none.clone()), Inconclusive),
            ("uptime", sound(), Pass),
            ("uptime", with(&|s| s.load = Some(load(2_000, 60, 60, 1))), Fail),
            ("uptime", with(&|s| s.load = Some(load(2_000, 60, 0, 1))), Pass),
            ("uptime", with(&|s| s.load = Some(load(300, 0, 0, 1))), Inconclusive),
            ("errors", with(&|s| s.load = Some(load(2_000, 100, 0, 1))), Fail),
            ("errors", with(&|s| s.load = Some(load(2_000, 20, 0, 1))), Inconclusive),
            ("errors", with(&|s| s.load = None), Inconclusive),
            ("p95", with(&|s| s.load = Some(load(2_000, 0, 0, 600_000))), Fail),
            ("p99", with(&|s| s.load = Some(load(2_000, 0, 0, 600_000))), Pass),
            ("p99", with(&|s| s.load = Some(load(2_000, 0, 0, 1_100_000))), Fail),
            ("traffic", with(&|s| s.load = Some(load(100, 0, 0, 1))), Pass),
            ("traffic", with(&|s| s.load = Some(load(99, 0, 0, 1))), Inconclusive),
            ("traffic", with(&|s| s.load = None), Inconclusive),
            ("smoke", sound(), Pass),
            ("smoke", with(&|s| s.smoke[0].asked = answered(503)), Fail),
            ("smoke", with(&|s| s.smoke[0].asked = none.clone()), Inconclusive),
            ("smoke", with(&|s| s.smoke.clear()), Inconclusive),
        ] {
            let rows = rows(&policy(), &seen);
            let row = rows.iter().find(|row| row.name == name).unwrap();
            assert_eq!(row.measure.verdict, verdict, "{name}: {}", row.why);
            assert_eq!(row.findings.is_empty(), verdict != Fail, "{name}: {}", row.why);
            assert_eq!(row.cause.is_some(), verdict == Inconclusive, "{name}: {}", row.why);
            assert!(!row.why.is_empty());
        }
    }

    #[test]
    fn the_worst_criterion_is_the_verdict_and_the_headline() {
        let all = CriteriaCheck::judge(&policy(), &sound());
        assert_eq!((all.verdict, all.measures.len()), (Verdict::Pass, COUNT));
        assert_eq!(all.headline, "all 7 criteria hold");
        let mut seen = sound();
        seen.load = None;
        seen.no_load = Some("it is not healthy".to_owned());
        let open = CriteriaCheck::judge(&policy(), &seen);
        assert_eq!(open.verdict, Verdict::Inconclusive);
        assert_eq!(open.headline, "uptime: it is not healthy (and 4 more)");
        seen.health = answered(500);
        let failed = CriteriaCheck::judge(&policy(), &seen);
        assert_eq!(failed.verdict, Verdict::Fail);
        assert_eq!(failed.headline, "health: answered 500, not 200");
        assert_eq!(failed.findings.len(), 1);
    }
}
