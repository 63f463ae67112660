//! How much a target can take: the rate rises until an objective breaks, then the place between
//! the last that held and the first that broke is halved. The search is pure; a run is one step.

use schemars::JsonSchema;
use serde::Serialize;

use super::result::{LoadResult, Percentiles};
use crate::base::units::Rate;
use crate::gate::verdict::{Cause, Verdict};

pub(crate) const SCHEMA: &str = "orca.load-capacity/v1";
/// Each rate is this much higher than the one before, in percent, until one breaks.
const RISE_PERCENT: u64 = 150;
/// The search ends when the rate that broke is at most this much higher, in percent.
const CLOSE_PERCENT: u64 = 110;
/// Below this part of the first rate nothing is tried.
const LOWEST_PART: u64 = 8;
/// A p95 this many times that of the lowest rate is past the knee.
const KNEE_TIMES: u64 = 2;
/// Of what one instance holds, plan with this share: the rest is for bursts and for a lost one.
const PLAN_PERCENT: u64 = 70;
/// Most rates tried.
const STEPS_MAX: usize = 20;

/// What one rate did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Point {
    pub(crate) asked_milli_per_s: u64,
    pub(crate) sent_milli_per_s: u64,
    pub(crate) requests: u64,
    pub(crate) failed_bp: u32,
    pub(crate) latency_us: Percentiles,
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
    /// The sending machine was out of breath: nothing is known about the target.
    pub(crate) generator_too_slow: bool,
    /// The rate is too low for so short a time: it must be held longer.
    #[serde(skip)]
    pub(crate) too_few: bool,
    /// Somebody ended the search.
    #[serde(skip)]
    pub(crate) is_cancelled: bool,
}

impl Point {
    pub(crate) fn of(asked: Rate, result: &LoadResult) -> Self {
        let judgement = result.judgement.as_ref();
        let cause = judgement.and_then(|judgement| judgement.cause);
        Self {
            asked_milli_per_s: asked.milli_per_s,
            sent_milli_per_s: result.rate_milli_per_s,
            requests: result.requests,
            failed_bp: share_bp(result.errors + result.dropped, result.requests + result.dropped),
            latency_us: result.latency_us,
            verdict: result.verdict,
            headline: judgement.map(|judgement| judgement.headline.clone()).unwrap_or_default(),
            generator_too_slow: cause == Some(Cause::GeneratorTooSlow),
            too_few: matches!(cause, Some(Cause::TooFewSamples | Cause::Undecided)),
            is_cancelled: cause == Some(Cause::Cancelled),
        }
    }

    /// A target of which nothing more was heard: at this rate it breaks.
    pub(crate) fn lost(asked: Rate, result: &LoadResult, why: String) -> Self {
        Self { verdict: Verdict::Fail, headline: why, ..Self::of(asked, result) }
    }
}

fn share_bp(part: u64, whole: u64) -> u32 {
    let share = (u128::from(part) * 10_000).checked_div(u128::from(whole)).unwrap_or(0);
    u32::try_from(share).unwrap_or(u32::MAX)
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Capacity {
    /// By rate, the lowest first.
    pub(crate) curve: Vec<Point>,
    /// The highest rate at which every objective held; what the target takes is between this
    pub(crate) holds_milli_per_s: Option<u64>,
    /// and this, the lowest at which one broke.
    pub(crate) breaks_milli_per_s: Option<u64>,
    /// The highest rate before answers take twice as long as at the lowest.
    pub(crate) knee_milli_per_s: Option<u64>,
    pub(crate) verdict: Verdict,
    pub(crate) headline: String,
    pub(crate) advice: Vec<String>,
}

/// The rate to try next; nothing when the answer is known or cannot be.
pub(crate) fn next(points: &[Point], from: Rate, to: Rate) -> Option<Rate> {
    let Some(last) = points.last() else { return Some(from) };
    if last.verdict == Verdict::Inconclusive || points.len() >= STEPS_MAX {
        return None;
    }
    let wanted = match (holds(points), breaks(points)) {
        (Some(low), None) => (low * RISE_PERCENT / 100).min(to.milli_per_s),
        (Some(low), Some(high)) if high * 100 > low * CLOSE_PERCENT => u64::midpoint(low, high),
        (None, Some(high)) if high / 2 >= from.milli_per_s / LOWEST_PART => high / 2,
        _ => return None,
    };
    let is_new = wanted > 0 && points.iter().all(|point| point.asked_milli_per_s != wanted);
    is_new.then_some(Rate { milli_per_s: wanted })
}

fn holds(points: &[Point]) -> Option<u64> {
    let held = points.iter().filter(|p| matches!(p.verdict, Verdict::Pass | Verdict::Waived));
    let broken = breaks(points).unwrap_or(u64::MAX);
    held.map(|p| p.asked_milli_per_s).filter(|rate| *rate < broken).max()
}

fn breaks(points: &[Point]) -> Option<u64> {
    let broke = points.iter().filter(|p| p.verdict == Verdict::Fail);
    broke.map(|p| p.asked_milli_per_s).min()
}

fn knee(curve: &[Point]) -> Option<u64> {
    let first = curve.first()?;
    let is_past =
        |point: &Point| point.latency_us.p95 > first.latency_us.p95.saturating_mul(KNEE_TIMES);
    let past = curve.iter().position(is_past)?;
    Some(curve[past.saturating_sub(1)].asked_milli_per_s)
}

/// Sums up what was tried. `peak` is what the service has to take, where it is known.
pub(crate) fn conclude(points: &[Point], peak: Option<Rate>) -> Capacity {
    let mut curve = points.to_vec();
    curve.sort_by_key(|point| point.asked_milli_per_s);
    let (holds, breaks) = (holds(points), breaks(points));
    let rate = |milli_per_s| Rate { milli_per_s };
    let undecided = points.iter().find(|point| point.verdict == Verdict::Inconclusive);
    let (verdict, headline) = match (holds, breaks, undecided) {
        (Some(low), Some(high), Some(point)) if point.is_cancelled => {
            let text = format!("stopped: {} holds and {} does not", rate(low), rate(high));
            (Verdict::Inconclusive, text)
        }
        (Some(low), Some(high), _) => {
            let broken = points.iter().find(|point| point.asked_milli_per_s == high);
            let why = broken.map(|point| point.headline.as_str()).unwrap_or_default();
            let text = format!("{} holds and {} does not: {why}", rate(low), rate(high));
            (Verdict::Pass, text)
        }
        (Some(low), None, None) => {
            (Verdict::Pass, format!("{} holds, and no more was asked", rate(low)))
        }
        (Some(low), None, Some(point)) => {
            let at = rate(point.asked_milli_per_s);
            let text = format!("{} holds; {at} is undecided: {}", rate(low), point.headline);
            (Verdict::Inconclusive, text)
        }
        (None, Some(high), _) => (Verdict::Fail, format!("not even {} holds", rate(high))),
        (None, None, Some(point)) => (Verdict::Inconclusive, point.headline.clone()),
        (None, None, None) => (Verdict::Inconclusive, "nothing was tried".to_owned()),
    };
    let advice = advice(points, holds, peak);
    Capacity {
        knee_milli_per_s: knee(&curve),
        curve,
        holds_milli_per_s: holds,
        breaks_milli_per_s: breaks,
        verdict,
        headline,
        advice,
    }
}

fn advice(points: &[Point], holds: Option<u64>, peak: Option<Rate>) -> Vec<String> {
    let mut advice = Vec::new();
    if points.iter().any(|point| point.generator_too_slow) {
        advice
            .push("the sending machine was the limit: use --shard on several machines".to_owned());
    }
    let Some(holds) = holds else { return advice };
    let planned = (holds * PLAN_PERCENT / 100).max(1);
    let one = Rate { milli_per_s: planned };
    advice.push(format!(
        "plan one instance with {one}, {PLAN_PERCENT} % of what it holds: the rest is for bursts and for a lost one"
    ));
    if let Some(peak) = peak {
        let instances = peak.milli_per_s.div_ceil(planned).max(1);
        advice.push(format!(
            "a peak of {peak} needs {instances} {}, if they share nothing that fills up first",
            if instances == 1 { "instance" } else { "instances" }
        ));
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(rate: u64, verdict: Verdict, p95: u64) -> Point {
        Point {
            asked_milli_per_s: rate * 1_000,
            sent_milli_per_s: rate * 1_000,
            requests: 1_000,
            failed_bp: 0,
            latency_us: Percentiles { p95, ..Percentiles::default() },
            verdict,
            headline: format!("at {rate}"),
            generator_too_slow: false,
            too_few: false,
            is_cancelled: false,
        }
    }

    /// A target that breaks above `limit` requests a second.
    fn search(limit: u64, from: u64, to: u64) -> Capacity {
        let mut points = Vec::new();
        while let Some(rate) = next(&points, Rate::per_second(from), Rate::per_second(to)) {
            let rate = rate.milli_per_s / 1_000;
            let verdict = if rate <= limit { Verdict::Pass } else { Verdict::Fail };
            points.push(point(rate, verdict, if rate * 2 <= limit { 1_000 } else { 5_000 }));
            assert!(points.len() <= STEPS_MAX);
        }
        conclude(&points, Some(Rate::per_second(1_000)))
    }

    #[test]
    fn the_search_closes_in_from_both_sides() {
        for (limit, from) in [(430, 50), (430, 800), (51, 50)] {
            let found = search(limit, from, 10_000);
            let (low, high) = (found.holds_milli_per_s.unwrap(), found.breaks_milli_per_s.unwrap());
            assert!(low <= limit * 1_000 && high > limit * 1_000, "{limit} {from}");
            assert!(high * 100 <= low * (CLOSE_PERCENT + 3), "{low} {high}");
            assert_eq!(found.verdict, Verdict::Pass);
            assert!(found.curve.is_sorted_by_key(|point| point.asked_milli_per_s));
        }
        let found = search(430, 50, 10_000);
        assert!(found.knee_milli_per_s.unwrap() <= 215_000);
        assert!(found.advice[1].contains("1000/s needs 4 instances"), "{:?}", found.advice);
    }

    #[test]
    fn what_never_breaks_always_breaks_or_cannot_be_told() {
        let all = search(u64::MAX / 4, 50, 200);
        assert_eq!((all.holds_milli_per_s, all.breaks_milli_per_s), (Some(200_000), None));
        let none = search(0, 50, 200);
        assert_eq!((none.verdict, none.holds_milli_per_s), (Verdict::Fail, None));
        let open = [point(50, Verdict::Inconclusive, 0)];
        assert_eq!(next(&open, Rate::per_second(50), Rate::per_second(200)), None);
        assert_eq!(conclude(&open, None).verdict, Verdict::Inconclusive);
        let mut stopped = vec![point(50, Verdict::Pass, 1), point(100, Verdict::Fail, 1)];
        stopped.push(Point { is_cancelled: true, ..point(75, Verdict::Inconclusive, 1) });
        let found = conclude(&stopped, None);
        assert_eq!(found.headline, "stopped: 50/s holds and 100/s does not");
        assert_eq!(found.verdict, Verdict::Inconclusive);
    }
}
