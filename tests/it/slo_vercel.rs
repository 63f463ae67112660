//! Vercel Observability as a source of measurements, through the binary and against the fake: counts
//! of what it served, every call held against the contract, and whatever is missing counts as missing.

use std::process::Command;

use serde_json::Value;

use crate::support::fleet::browse;
use crate::support::vercel::{Fault, Kind, PROJECT, TEAM, TOKEN, Told, VercelFake};
use crate::support::{Run, World};

const HOUR_MS: i64 = 3_600_000;

const MANIFEST: &str = "\
version: 1
defaults:
  source: live
  min_samples: 20
  objectives: [p95 < 500ms, errors < 2%, uptime > 99% over 3h]
endpoints:
  - {name: checkout, path: /checkout, objectives: [errors < 2%]}
budget: {on_spent: close}
sources:
  live:
    type: vercel
    metric: vercel.request.count
    aggregation: sum
    filter: environment:production
    good: http_status < 500
    fast: duration_ms <= {limit_ms}
    endpoints:
      checkout: {filter: path:/checkout}
";

struct Place {
    world: World,
    vercel: VercelFake,
}

impl Place {
    fn start() -> Self {
        let world = World::repository();
        world.write("slo/slo_manifest.yaml", MANIFEST);
        world.write("orca.yaml", "version: 1\nservice: {name: shop, environment: production}\n");
        world.commit("chore: set up orca");
        let (vercel, _) = VercelFake::start(&"a".repeat(40));
        Self { world, vercel }
    }

    /// 4,000 requests of four hours: each fifth to the checkout.
    fn served(&self, status: impl Fn(u32) -> u16, took_ms: impl Fn(u32) -> f64) {
        self.vercel.change(|project| {
            project.metrics.served(4_000, 4 * HOUR_MS, |number, hit| {
                let path = if number % 5 == 0 { "/checkout" } else { "/" };
                path.clone_into(&mut hit.path);
                hit.status = status(number);
                hit.took_ms = took_ms(number);
            });
        });
    }

    /// As if everything had been served so much earlier.
    fn ago(&self, ms: i64) {
        self.vercel.change(|project| {
            project.metrics.hits.iter_mut().for_each(|hit| hit.at_ms -= ms);
        });
    }

    fn manifest(&self, change: [&str; 2]) {
        assert!(MANIFEST.contains(change[0]), "{change:?}");
        self.world.write("slo/slo_manifest.yaml", &MANIFEST.replace(change[0], change[1]));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command.env_remove("ORCA_TEST_NOW_US");
        command.env("VERCEL_API_URL", &self.vercel.api).env("VERCEL_TOKEN", TOKEN);
        command.env("VERCEL_ORG_ID", TEAM).env("VERCEL_PROJECT_ID", PROJECT);
        command
    }

    fn check(&self) -> Run {
        let run = Run::of(self.command(&["slo", "check", "--json"]));
        assert!(!run.stdout.contains(TOKEN) && !run.stderr.contains(TOKEN), "{run:?}");
        run
    }

    fn gate(&self) -> Run {
        Run::of(self.command(&["preflight", "--only", "budget", "--json"]))
    }

    fn queries(&self) -> usize {
        let asked = self.vercel.asked().into_iter();
        asked.filter(|asked| asked.line == "POST /metrics/v1").count()
    }
}

fn headline(run: &Run) -> String {
    run.json()["judgement"]["headline"].as_str().unwrap_or_default().to_owned()
}

fn window(checked: &Value, scope: &str, hours: u64) -> Value {
    let windows = checked["seen"]["windows"].as_array().expect("windows");
    let wanted = |w: &&Value| w["scope"] == scope && w["window_us"] == hours * 3_600_000_000;
    windows.iter().find(wanted).unwrap_or_else(|| panic!("{scope} {hours}: {checked}")).clone()
}

#[test]
fn requests_errors_and_latencies_are_counted_and_judged_with_intervals() {
    let place = Place::start();
    place.served(
        |n| if n % 400 == 111 { 503 } else { 200 },
        |n| if n % 100 == 0 { 900.0 } else { 90.0 },
    );
    let run = place.check().expect_code(0);
    let checked = run.json();
    let hour = window(&checked, "all", 1);
    let requests = hour["requests"].as_u64().unwrap();
    // Whole minutes that are over.
    assert!((950..=1_001).contains(&requests), "{hour}");
    assert_eq!(hour["errors"], 3, "{hour}");
    let slower = requests - hour["buckets"][0]["count"].as_u64().unwrap();
    assert_eq!(hour["buckets"][0]["le_us"], 500_000, "{hour}");
    assert!((9..=11).contains(&slower), "one in a hundred: {hour}");
    let checkout = window(&checked, "checkout", 1);
    let of_checkout = checkout["requests"].as_u64().unwrap();
    assert!(of_checkout.abs_diff(requests / 5) <= 1, "{checkout}");
    assert!(window(&checked, "all", 3)["covered_us"].as_u64().unwrap() >= 10_800_000_000);
    // What was asked, word by word; the contract was asked by the fake.
    let asked = place.vercel.change(|project| project.metrics.asked.clone());
    let filters: Vec<&str> = asked.iter().filter_map(|body| body["filter"].as_str()).collect();
    for filter in [
        "environment:production",
        "(environment:production) AND (http_status < 500)",
        "(environment:production) AND (duration_ms <= 500)",
        "(environment:production) AND (path:/checkout) AND (http_status < 500)",
    ] {
        assert!(filters.contains(&filter), "{filter}: {filters:?}");
    }
    assert_eq!(
        place.queries(),
        9,
        "two that find nothing, 3 of an hour, 2 of three, 2 of the checkout"
    );

    let budget = Run::of(place.command(&["slo", "budget", "--json"])).expect_code(0).json();
    // Twelve quarters of an hour that are over.
    assert!((7..=8).contains(&budget["budgets"][0]["failed"].as_u64().unwrap()), "{budget}");
    place.gate().expect_code(0);
    // A catastrophe is one here too.
    place.served(|_| 500, |_| 90.0);
    place.gate().expect_code(1);
    assert!(headline(&place.check().expect_code(1)).contains("errors of all"));
    Run::of(place.command(&["slo", "budget"])).expect_code(1);
}

#[test]
fn an_objective_of_another_phase_is_listed() {
    let place = Place::start();
    place.served(|_| 200, |_| 90.0);
    place.manifest(["[p95 < 500ms, errors", "[throughput > 5/s, p95 < 500ms, errors"]);
    let run = Run::of(place.command(&["slo", "check", "--json"])).expect_code(0);
    assert_eq!(run.json()["not_judged"], serde_json::json!(["all: throughput > 5/s"]), "{run:?}");
}

#[test]
fn what_was_really_served_is_what_is_counted() {
    let place = Place::start();
    place.manifest(["[p95 < 500ms, errors < 2%, uptime > 99% over 3h]", "[errors < 60%]"]);
    for _ in 0..25 {
        browse(&place.vercel.front);
    }
    // A minute that is not over is not counted.
    place.ago(120_000);
    let checked = place.check().expect_code(3).json();
    assert_eq!(window(&checked, "all", 1)["requests"], 25, "{checked}");
    assert_eq!(window(&checked, "all", 1)["errors"], 0, "none at all is zero, and said so");
    let gaps = window(&checked, "checkout", 1)["gaps"].clone();
    assert_eq!(gaps[0]["what"], "requests", "and nobody asked for the checkout: {gaps}");
}

#[test]
fn a_misspelled_name_is_no_data_and_never_a_service_without_errors() {
    let place = Place::start();
    place.served(|_| 200, |_| 90.0);
    assert!(headline(&place.check().expect_code(0)).contains("all 4 objectives"));
    for (change, says) in [
        (["http_status < 500", "htp_status < 500"], "not one of"),
        (["duration_ms <=", "duration <="], "not one of"),
        (["environment:production", "enviroment:production"], "Vercel finds no such request"),
        (["    good: http_status < 500\n", ""], "no filter of good requests"),
        (["    fast: duration_ms <= {limit_ms}\n", ""], "no filter of fast requests"),
    ] {
        place.manifest(change);
        let run = place.check().expect_code(3);
        assert_eq!(run.json()["judgement"]["cause"], "no_data", "{change:?}");
        assert!(headline(&run).contains(says), "{change:?}: {}", headline(&run));
    }
}

#[test]
fn an_unknown_metric_is_named_with_those_near_it() {
    let place = Place::start();
    place.served(|_| 200, |_| 90.0);
    place.manifest(["vercel.request.count", "vercel.request.cuont"]);
    let run = place.check().expect_code(4);
    for part in ["HTTP 400", "'vercel.request.cuont'", "vercel.request.count, vercel.request.bytes"]
    {
        assert!(run.stdout.contains(part), "{part}: {run:?}");
    }
    assert!(place.queries() <= 5, "one window is enough to learn it");
}

#[test]
fn plan_limit_token_and_silence_are_told_apart() {
    let place = Place::start();
    place.served(|_| 200, |_| 90.0);
    let fault = |kind| Fault { calls: "POST /metrics/v1", with: "", times: u32::MAX, kind };
    for (kind, says, most) in [
        (Kind::Refuse(402, "payment_required"), "Observability Plus", 1),
        (Kind::Refuse(403, "forbidden"), "VERCEL_TOKEN", 1),
        (Kind::Refuse(401, "unauthorized"), "VERCEL_TOKEN", 1),
        (
            Kind::Limited { retry_after: None, reset_secs: 200_000 },
            "the rate limit is used up until",
            3,
        ),
        (Kind::Limited { retry_after: Some("0"), reset_secs: 0 }, "the rate limit is used up", 2),
        (Kind::Refuse(500, "internal_server_error"), "vercel-status", 2),
    ] {
        let before = place.queries();
        place.vercel.fault(fault(kind));
        let run = place.check().expect_code(4);
        assert!(run.stdout.contains("ORCA-1741") && run.stdout.contains(says), "{says}: {run:?}");
        assert!(place.queries() - before <= most, "{says}: nobody is asked again and again");
        place.gate().expect_code(3);
        place.vercel.no_faults();
    }
    for (told, cause) in
        [(Told::Null, "no_data"), (Told::Empty, "no_data"), (Told::Fraction, "unobserved")]
    {
        place.vercel.change(|project| project.metrics.told = told);
        let run = place.check().expect_code(3);
        assert_eq!(run.json()["judgement"]["cause"], cause, "{told:?}: {}", headline(&run));
    }
}

#[test]
fn a_filter_that_is_not_heeded_is_found_out() {
    let place = Place::start();
    place.served(|_| 200, |_| 90.0);
    for (told, ago) in [
        (Told::Carelessly, 0),
        (Told::CarelesslyCompared, 0),
        // Nobody came in the last hour; the objective is about three.
        (Told::Carelessly, HOUR_MS * 3 / 2),
    ] {
        place.ago(ago);
        place.vercel.change(|project| project.metrics.told = told);
        let run = place.check().expect_code(4);
        assert!(run.stdout.contains("a name that nobody has"), "{told:?} {ago}: {run:?}");
    }
}

#[test]
fn a_total_outage_burns_the_budget_though_not_one_good_request_is_found() {
    let place = Place::start();
    let manifest = MANIFEST
        .replace("over 3h", "over 30d")
        .replace("{on_spent: close}", "{on_spent: warn, on_fast_burn: close}");
    place.world.write("slo/slo_manifest.yaml", &manifest);
    place.vercel.change(|project| project.metrics.served(6_000, 31 * 24 * HOUR_MS, |_, _| {}));
    place.gate().expect_code(0);
    place.ago(2 * HOUR_MS);
    place.vercel.change(|project| {
        project.metrics.served(2_000, 2 * HOUR_MS, |_, hit| hit.status = 500);
    });
    let burning = place.gate().expect_code(1);
    assert!(burning.stdout.contains("times too fast"), "{burning:?}");
}

#[test]
fn what_vercel_has_forgotten_is_not_vouched_for() {
    let place = Place::start();
    place.served(|_| 200, |_| 90.0);
    place.vercel.change(|project| project.metrics.kept_ms = 2 * HOUR_MS);
    for told in [Told::Truly, Told::ZeroFilled] {
        place.vercel.change(|project| project.metrics.told = told);
        let run = place.check().expect_code(3);
        assert!(headline(&run).contains("uptime > 99% over 3h is about"), "{}", headline(&run));
        place.gate().expect_code(3);
    }
    let mut bare = place.command(&["slo", "check"]);
    bare.env_remove("VERCEL_TOKEN");
    assert!(Run::of(bare).expect_code(2).stderr.contains("VERCEL_TOKEN"));
}
