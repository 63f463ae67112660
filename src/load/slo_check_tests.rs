//! The judge by a table: pass, fail, both sides of each boundary, no data; and the check through a
//! real run against the sample service.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::base::units::Rate;
use crate::gate::engine::Progress as Telling;
use crate::load::plan::tests::draft;
use crate::load::plan::{Bounds, Draft, Shape};
use crate::load::recorder::Counts;
use crate::load::result::Raw;
use crate::load::sample_service::{Faults, SampleService, tests::settings};
use crate::slo::manifest::Manifest;

fn policy(overall: &[&str], endpoint: &[&str]) -> Policy {
    let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    Policy {
        overall: parse(overall),
        endpoints: BTreeMap::from([("GET /".to_owned(), parse(endpoint))]),
        confidence_bp: 9_500,
        min_samples: 10,
        errors: BTreeSet::from(["status_5xx".to_owned(), "timeout".to_owned()]),
    }
}

/// 1,000 requests of 1 ms in ten seconds, then changed.
fn seen(change: impl FnOnce(&mut LoadResult)) -> LoadResult {
    let plan = LoadPlan::new(draft(1), &Bounds::default()).unwrap();
    let mut counts = Counts { requests: 1_000, ..Counts::default() };
    counts.latency.record_many(1_000, 1_000);
    let raw = Raw { endpoints: vec![counts], sending_us: 10_000_000, ..Raw::default() };
    let mut result = LoadResult::new(&plan, raw);
    change(&mut result);
    result
}

fn errors(result: &mut LoadResult, kind: &str, count: u64) {
    let kinds = BTreeMap::from([(kind.to_owned(), count)]);
    (result.errors, result.errors_by_kind) = (count, kinds.clone());
    (result.endpoints[0].errors, result.endpoints[0].errors_by_kind) = (count, kinds);
}

/// A name, a policy, what is changed of [`seen`], and what the judge says.
type Case = (&'static str, Policy, fn(&mut LoadResult), Verdict, Option<Cause>);

fn hold<const N: usize>(cases: [Case; N]) {
    for (name, policy, change, verdict, cause) in cases {
        let judgement = judge(&policy, &seen(change));
        assert_eq!((judgement.verdict, judgement.cause), (verdict, cause), "{name}");
    }
}

#[test]
fn pass_fail_boundary_and_no_data() {
    use Verdict::{Fail, Inconclusive, NotApplicable, Pass};
    let cases: [Case; 15] = [
        ("both hold", policy(&["errors < 1%"], &["p95 < 5ms"]), |_| {}, Pass, None),
        ("an endpoint fails", policy(&["errors < 1%"], &["p95 < 500us"]), |_| {}, Fail, None),
        ("equal passes", policy(&["throughput > 100/s"], &[]), |_| {}, Pass, None),
        ("just above fails", policy(&["throughput > 100.1/s"], &[]), |_| {}, Fail, None),
        ("errors fail", policy(&["errors < 1%"], &[]), |r| errors(r, "status_5xx", 40), Fail, None),
        (
            "4xx is not asked",
            policy(&["errors < 1%"], &[]),
            |r| errors(r, "status_4xx", 40),
            Pass,
            None,
        ),
        ("dropped fail", policy(&["errors < 1%"], &[]), |r| r.dropped = 40, Fail, None),
        ("no objective", policy(&[], &[]), |_| {}, NotApplicable, None),
        (
            "stopped, even without objective",
            policy(&[], &[]),
            |r| r.partial = true,
            Inconclusive,
            Some(Cause::Cancelled),
        ),
        (
            "1 % of the time still",
            policy(&["errors < 1%"], &[]),
            |r| r.stood_still_us = 100_000,
            Pass,
            None,
        ),
        (
            "longer still",
            policy(&["errors < 1%"], &[]),
            |r| r.stood_still_us = 100_001,
            Inconclusive,
            Some(Cause::GeneratorTooSlow),
        ),
        ("1 % late", policy(&["errors < 1%"], &[]), |r| r.late_starts = 10, Pass, None),
        (
            "over 1 % late",
            policy(&["errors < 1%"], &[]),
            |r| r.late_starts = 11,
            Inconclusive,
            Some(Cause::GeneratorTooSlow),
        ),
        (
            "an endpoint is missing",
            policy(&["errors < 1%"], &["errors < 1%"]),
            |r| r.endpoints.clear(),
            Inconclusive,
            Some(Cause::NoData),
        ),
        (
            "too few",
            policy(&["errors < 1%"], &[]),
            |r| r.requests = 9,
            Inconclusive,
            Some(Cause::TooFewSamples),
        ),
    ];
    hold(cases);
}

#[test]
fn what_cannot_be_laid_to_the_target_and_what_must() {
    use Verdict::{Fail, Inconclusive, Pass};
    let cases: [Case; 5] = [
        (
            "no port was left for over 1 %",
            policy(&["errors < 1%"], &[]),
            |r| errors(r, "generator", 11),
            Inconclusive,
            Some(Cause::GeneratorTooSlow),
        ),
        ("as many gave up", policy(&["p95 < 5ms"], &[]), |r| errors(r, "timeout", 80), Fail, None),
        (
            "timeouts that decide nothing",
            policy(&["p95 < 5ms"], &[]),
            |r| errors(r, "timeout", 10),
            Pass,
            None,
        ),
        (
            "nine in ten are redirects",
            policy(&["errors < 1%"], &[]),
            |r| r.redirects = 900,
            Inconclusive,
            Some(Cause::NoData),
        ),
        ("some are", policy(&["errors < 1%"], &[]), |r| r.redirects = 899, Pass, None),
    ];
    hold(cases);
}

#[test]
fn a_percentile_among_requests_that_were_given_up_has_no_value() {
    let judgement = judge(&policy(&["p95 < 5ms"], &[]), &seen(|r| errors(r, "timeout", 80)));
    assert_eq!(judgement.headline, "p95 of all: no answer in time; the limit is 5ms");
    assert_eq!(judgement.measures[0].seen, None);
    assert_eq!(judgement.measures[0].interval(), "unknown to unknown");
    assert_eq!(judgement.findings[0].value, i64::MAX, "nobody can tolerate it by a number");
}

#[test]
fn measures_name_their_endpoint_and_findings_come_with_a_next_step() {
    let judgement = judge(&policy(&["errors < 1%"], &["p95 < 500us"]), &seen(|_| {}));
    let asked: Vec<_> = judgement.measures.iter().map(|m| m.asked.as_str()).collect();
    assert_eq!(asked, ["errors < 1%", "GET /: p95 < 500us"]);
    assert_eq!(judgement.findings.len(), 1);
    assert_eq!(judgement.next, ["find what changed p95 of GET /"]);
    let open = judge(&policy(&["errors < 1%"], &[]), &seen(|r| r.partial = true));
    assert!(open.measures.iter().all(|m| m.verdict == Verdict::Inconclusive));
}

#[test]
fn charts_show_time_and_percentiles() {
    let result = seen(|r| {
        let second = r#"{"t":3,"requests":9,"errors":0,"p50":1,"p95":2}"#;
        let second = serde_json::from_str(second).unwrap();
        r.seconds.push(second);
    });
    let charts = LoadCheck::chart(&policy(&[], &[]), &result);
    assert_eq!(charts[1].points, [(3, 2)]);
    assert_eq!(charts[2].points.len(), SPECTRUM.len());
    let empty = seen(|r| r.latency_histogram = (&Histogram::default()).into());
    assert!(LoadCheck::chart(&policy(&[], &[]), &empty)[2].points.is_empty());
}

#[test]
fn the_manifest_says_what_counts() {
    let text = "version: 1\ndefaults: {objectives: [errors < 1%], errors: [5xx, reset, protocol]}\nendpoints: [{name: a, path: /, objectives: [p95 < 1s]}]\n";
    let manifest = Manifest::parse(text, std::path::Path::new("m.yaml")).unwrap();
    let policy = Policy::of(&manifest);
    let counted: Vec<_> = policy.errors.iter().map(String::as_str).collect();
    let protocol = ["assertion", "closed_early", "malformed", "no_http2"];
    let reset = ["reset", "status_5xx", "status_other", "too_large"];
    assert_eq!(counted, [protocol, reset].concat());
    assert_eq!(policy.overall.len() + policy.endpoints["a"].len(), 2);
    let json = serde_json::to_value(&policy).unwrap();
    assert_eq!(serde_json::from_value::<Policy>(json).unwrap(), policy);
}

async fn observe(port: u16) -> Result<LoadResult, Unseen> {
    let shape = Shape::constant(Rate::per_second(100), Micros::from_millis(200));
    let plan = LoadPlan::new(Draft { shape, ..draft(port) }, &Bounds::default()).unwrap();
    let check = LoadCheck::new(plan, policy(&["errors < 20%"], &[]));
    let look = Look { cancel: CancellationToken::new(), progress: Telling::default() };
    Check::observe(&check, &look).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_run_is_seen_and_a_dead_target_is_not() {
    let address = "127.0.0.1:0".parse().unwrap();
    let service = SampleService::bind(address, settings(Faults::default())).await.unwrap();
    let port = service.address().unwrap().port();
    tokio::spawn(async move { service.run(&CancellationToken::new()).await });
    let seen = observe(port).await.unwrap();
    assert_eq!((seen.requests, seen.errors), (20, 0));
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let unseen = observe(port).await.unwrap_err();
    assert_eq!(unseen.cause, Cause::Unobserved);
}
