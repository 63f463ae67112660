//! `load.slo`: the target under load keeps its objectives, as a whole and at each endpoint.
//!
//! A run that was stopped, or that this machine itself could not send in time, decides nothing.
//! Requests that were due and never sent count as failed and as slower than any limit.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;

use super::collector::Progress;
use super::driver::{self, Watch};
use super::fitness::{Unfit, unfit};
use super::plan::LoadPlan;
pub(crate) use super::policy::Policy;
use super::recorder::Failure;
use super::result::{EndpointResult, LoadResult};
use crate::base::histogram::{EncodedHistogram, Histogram};
use crate::base::ids::CheckId;
use crate::base::units::Micros;
use crate::gate::check::{Check, Look, Resource, RuleId, Series, Unseen};
use crate::gate::verdict::{Cause, Judgement, Measure, Verdict};
use crate::slo::judge_objectives::judge_objectives;
use crate::slo::objective::Objective;
use crate::slo::sample::{ALL, Sample};

const NAME: &str = "load.slo";
const RULE: &str = "load.slo v1";
/// Resolving, making ready and waiting for the last answers, beside the run itself.
const MARGIN: Duration = Duration::from_secs(30);
/// Seconds between two lines of progress.
const PROGRESS_EVERY: u64 = 5;
/// The points of the latency spectrum, in basis points.
const SPECTRUM: [u32; 9] = [1_000, 2_500, 5_000, 7_500, 9_000, 9_500, 9_900, 9_990, 10_000];

/// Judges a result. Pure.
pub(crate) fn judge(policy: &Policy, seen: &LoadResult) -> Judgement {
    let scopes = judge_scopes(policy, seen);
    let open = |why: Unfit| {
        let measures = measures(&scopes);
        let undecided =
            measures.into_iter().map(|m| Measure { verdict: Verdict::Inconclusive, ..m });
        let judgement = Judgement::inconclusive(why.cause, why.text, RULE);
        judgement.with_measures(undecided.collect()).with_next(why.next)
    };
    match unfit(seen) {
        Some(why) if why.cause == Cause::Cancelled => open(why),
        _ if policy.is_empty() => {
            Judgement::not_applicable("there is no objective to judge by", RULE)
        }
        Some(why) => open(why),
        None => conclude(&scopes, seen.requests.saturating_add(seen.dropped)),
    }
}

/// Each scope that has objectives, the whole first.
fn judge_scopes(policy: &Policy, seen: &LoadResult) -> Vec<(String, Judgement)> {
    let judged = samples(policy, seen).into_iter().map(|(name, objectives, sample)| {
        let judgement = match sample {
            Some(sample) => judge_objectives(&policy.of_scope(objectives), &sample),
            None => Judgement::inconclusive(Cause::NoData, format!("{name} was not asked"), RULE),
        };
        (name.to_owned(), judgement)
    });
    judged.collect()
}

/// The scopes that have objectives, these, and what was measured; the whole first.
pub(super) fn samples<'a>(
    policy: &'a Policy,
    seen: &LoadResult,
) -> Vec<(&'a str, &'a [Objective], Option<Sample>)> {
    let whole = Sample {
        scope: ALL.to_owned(),
        requests: seen.requests,
        errors: policy.failed(&seen.errors_by_kind),
        dropped: seen.dropped,
        timeouts: timeouts(&seen.errors_by_kind),
        duration: Micros(seen.duration_us),
        latency: seen.latency_histogram.clone(),
    };
    let each = policy.endpoints.iter().map(|(name, objectives)| {
        let endpoint = seen.endpoints.iter().find(|endpoint| endpoint.name == *name);
        let sample = endpoint.map(|of| endpoint_sample(policy, of, seen.duration_us));
        (name.as_str(), objectives.as_slice(), sample)
    });
    std::iter::once((ALL, policy.overall.as_slice(), Some(whole)))
        .chain(each)
        .filter(|(_, objectives, _)| !objectives.is_empty())
        .collect()
}

fn timeouts(by_kind: &BTreeMap<String, u64>) -> u64 {
    by_kind.get(Failure::Timeout.as_str()).copied().unwrap_or_default()
}

fn endpoint_sample(policy: &Policy, endpoint: &EndpointResult, duration_us: u64) -> Sample {
    Sample {
        scope: endpoint.name.clone(),
        requests: endpoint.requests,
        errors: policy.failed(&endpoint.errors_by_kind),
        dropped: endpoint.dropped,
        timeouts: timeouts(&endpoint.errors_by_kind),
        duration: Micros(duration_us),
        latency: endpoint.histogram.clone(),
    }
}

/// All measures; those of an endpoint carry its name.
fn measures(scopes: &[(String, Judgement)]) -> Vec<Measure> {
    let named = |scope: &str, measure: &Measure| {
        let asked = if scope == ALL {
            measure.asked.clone()
        } else {
            format!("{scope}: {}", measure.asked)
        };
        Measure { asked, ..measure.clone() }
    };
    scopes
        .iter()
        .flat_map(|(scope, judgement)| judgement.measures.iter().map(move |m| named(scope, m)))
        .collect()
}

fn conclude(scopes: &[(String, Judgement)], due: u64) -> Judgement {
    let worst = Verdict::worst(scopes.iter().map(|(_, judgement)| judgement.verdict));
    let worst = worst.unwrap_or(Verdict::Inconclusive);
    let all = measures(scopes);
    let mut judgement =
        Judgement::pass(format!("all {} objectives hold over {due} requests", all.len()), RULE);
    judgement.verdict = worst;
    if worst > Verdict::Pass {
        let mut bad = scopes.iter().map(|(_, j)| j).filter(|j| j.verdict == worst);
        if let Some(first) = bad.next() {
            judgement.cause = first.cause;
            judgement.headline.clone_from(&first.headline);
        }
        let more = bad.count();
        if more > 0 {
            judgement.headline.push_str(&format!(" (and {more} more)"));
        }
    }
    for (_, scope) in scopes {
        judgement.findings.extend(scope.findings.iter().cloned());
        for next in scope.next.iter().filter(|_| scope.verdict == worst) {
            if !judgement.next.contains(next) {
                judgement.next.push(next.clone());
            }
        }
    }
    judgement.with_measures(all)
}

/// Why not one request could be asked: all of them ended in the same way, before any answer.
pub(crate) fn unreachable(result: &LoadResult) -> Option<(Failure, String)> {
    let target = &result.target;
    let kind = nothing_but(&result.errors_by_kind, result.requests.saturating_sub(result.cut_off))?;
    let text = match kind {
        Failure::Connect => format!("not one connection to {target} could be made"),
        Failure::Malformed => format!("{target} speaks another protocol than the one asked for"),
        Failure::TlsExpired => format!("the certificate of {target} is not valid at this time"),
        Failure::TlsWrongHost => format!("the certificate of {target} is for another name"),
        Failure::TlsUntrusted => format!("no known authority vouches for {target}'s certificate"),
        Failure::Tls => format!("{target} agrees on no TLS: is it a port without it?"),
        Failure::NoHttp2 => format!("{target} does not offer HTTP/2"),
        _ => return None,
    };
    Some((kind, text))
}

/// The one way in which all `ended` requests failed before any answer, if there is one.
pub(super) fn nothing_but(by_kind: &BTreeMap<String, u64>, ended: u64) -> Option<Failure> {
    let all = |kind: &Failure| by_kind.get(kind.as_str()) == Some(&ended);
    Failure::BEFORE_ANY_ANSWER.into_iter().find(all).filter(|_| ended > 0)
}

/// One line for people about the second that just ended.
pub(crate) fn progress_line(news: &Progress, planned_secs: u64) -> String {
    let kinds: Vec<String> =
        news.errors_by_kind.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!(" ({})", kinds.join(", ")) };
    let unsent = match news.dropped {
        0 => String::new(),
        dropped => format!(", {dropped} never sent"),
    };
    let standing = news.standing.as_ref().map_or_else(String::new, |standing| {
        format!("; so far {}: {}", standing.verdict.label(), standing.headline)
    });
    format!(
        "load: {} of {planned_secs} s, {} requests, {} failed{kinds}{unsent}; now {}/s, p50 {}, p95 {}{standing}",
        news.second.t + 1,
        news.requests,
        news.errors,
        news.second.requests,
        Micros(news.second.p50),
        Micros(news.second.p95),
    )
}

/// Whether this second is one to tell people about.
pub(crate) fn is_told(news: &Progress) -> bool {
    (news.second.t + 1).is_multiple_of(PROGRESS_EVERY)
}

/// The whole seconds that a plan takes.
pub(crate) fn planned_secs(plan: &LoadPlan) -> u64 {
    plan.shape.duration().0.div_ceil(1_000_000)
}

/// Runs a load plan and judges what came of it.
#[derive(Debug)]
pub(crate) struct LoadCheck {
    plan: LoadPlan,
    policy: Policy,
}

impl LoadCheck {
    pub(crate) fn new(plan: LoadPlan, policy: Policy) -> Self {
        Self { plan, policy }
    }
}

impl Check for LoadCheck {
    type Policy = Policy;
    type Seen = LoadResult;

    const RULE: RuleId = RuleId { name: NAME, version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new(NAME).expect("the name of a check is a check id")
    }

    fn policy(&self) -> Policy {
        self.policy.clone()
    }

    async fn observe(&self, look: &Look) -> Result<LoadResult, Unseen> {
        let (sender, mut receiver) = unbounded_channel();
        let watch = Watch {
            progress: Some(sender),
            judge_by: Some(self.policy.clone()),
            keep_going: true,
            ..Watch::default()
        };
        let planned = planned_secs(&self.plan);
        let telling = async {
            while let Some(news) = receiver.recv().await {
                if is_told(&news) {
                    look.progress.say(progress_line(&news, planned));
                }
            }
        };
        let running = driver::run(&self.plan, watch, &look.cancel);
        let (result, ()) = tokio::join!(running, telling);
        let next = "see whether the target runs, then run this again";
        let result =
            result.map_err(|error| Unseen::new(Cause::Unobserved, error.to_string(), next))?;
        if let Some((_, text)) = unreachable(&result) {
            return Err(Unseen::new(Cause::Unobserved, text, next));
        }
        Ok(result)
    }

    fn judge(policy: &Policy, seen: &LoadResult) -> Judgement {
        judge(policy, seen)
    }

    fn chart(_: &Policy, seen: &LoadResult) -> Vec<Series> {
        vec![
            over_time("p50", seen, |second| second.p50),
            over_time("p95", seen, |second| second.p95),
            spectrum(&seen.latency_histogram),
        ]
    }

    fn timeout(&self) -> Duration {
        self.plan.shape.duration().duration() + self.plan.timeout.duration() + MARGIN
    }

    fn exclusive(&self) -> &'static [Resource] {
        &[Resource::Timing]
    }
}

fn over_time(
    name: &str,
    seen: &LoadResult,
    value: impl Fn(&super::result::Second) -> u64,
) -> Series {
    let points = seen.seconds.iter().map(|second| (signed(second.t), signed(value(second))));
    Series {
        title: "Latency over time".to_owned(),
        name: name.to_owned(),
        x_unit: "s".to_owned(),
        y_unit: "us".to_owned(),
        points: points.collect(),
    }
}

fn spectrum(encoded: &EncodedHistogram) -> Series {
    let histogram = Histogram::try_from(encoded).unwrap_or_default();
    let points = SPECTRUM
        .iter()
        .filter(|_| histogram.count() > 0)
        .map(|bp| (i64::from(*bp) * 100, signed(histogram.quantile_us(*bp))));
    Series {
        title: "Latency by percentile".to_owned(),
        name: "latency".to_owned(),
        x_unit: "nines_ppm".to_owned(),
        y_unit: "us".to_owned(),
        points: points.collect(),
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
#[path = "slo_check_tests.rs"]
mod tests;
