//! A real Prometheus (Debian package) scrapes orca's router, and orca asks it: objectives, budgets,
//! silence, and rules that `promtool` accepts.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Fleet, Run, Running, fleet, quiet, wait_until};

const DEADLINE: Duration = Duration::from_mins(2);

/// Whether the programs of the package are here. Without apt they cannot be installed by the tests'
/// own script; with it, it was not run.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn is_installed() -> bool {
    let on_path = |program: &str| {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|folder| folder.join(program).exists())
    };
    let there = on_path("prometheus") && on_path("promtool");
    if !there {
        assert!(!on_path("apt-get"), "prometheus is missing: run scripts/setup-tests.sh");
        eprintln!("skipped: there is no prometheus here, and no apt-get to install it");
    }
    there
}

/// Scrapes the router every second.
fn start(fleet: &Fleet) -> (Running, String) {
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = free.expect("loopback has a free port").port();
    let admin = fleet.admin.trim_start_matches("http://");
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs:\n  - job_name: router\n    \
         authorization: {{credentials: {}}}\n    static_configs: [{{targets: [\"{admin}\"]}}]\n",
        fleet::TOKEN
    );
    let file = fleet.world.write("../prometheus.yml", &config);
    let mut command = Command::new("prometheus");
    command.args([
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", fleet.world.folder().join("../tsdb").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let running = Running::start(command);
    running.line_with("Server is ready to receive web requests");
    (running, format!("http://127.0.0.1:{port}"))
}

fn manifest(url: &str) -> String {
    format!(
        "version: 1
defaults:
  source: router
  min_samples: 100
  objectives: [p95 < 1s, errors < 2%, uptime > 99% over 5m]
endpoints:
  - name: trust
    path: /api/trust
    objectives: [errors < 2%]
budget: {{on_spent: close}}
sources:
  router: {{type: router, url: \"{url}\", window: 1m}}
  odd:
    type: prometheus
    url: \"{url}\"
    window: 1m
    total: sum(increase(nothing_of_this_name[{{window}}]))
    errors: >-
      sum(increase(orca_router_responses_total{{class=\"1xx\"}}[{{window}}]))
      / sum(increase(orca_router_responses_total{{class=\"1xx\"}}[{{window}}]))
    latency: sum by (le) (increase(nothing_of_this_name_bucket[{{window}}]))
  kept: {{type: file, path: seen.json, window: 1m}}
environments:
  - {{name: preview, hosts: [preview.example.com], objectives: [errors < 100%, uptime > 0.01% over 5m]}}
"
    )
}

fn check(fleet: &Fleet, more: &[&str]) -> (Run, Value) {
    let run = fleet.orca(&[&["slo", "check", "--json"], more].concat());
    let json = run.json();
    (run, json)
}

fn measure<'a>(checked: &'a Value, asked: &str) -> &'a Value {
    let measures = checked["judgement"]["measures"].as_array().expect("measures");
    measures.iter().find(|m| m["asked"] == asked).unwrap_or_else(|| panic!("{asked}: {checked}"))
}

fn ask(fleet: &Fleet, requests: &str) {
    let args = ["load", "--json", "--target", &fleet.front, "--rate", requests, "--duration", "2s"];
    let run = fleet.orca(&args);
    assert!(run.code.is_some_and(|code| code < 4), "{run:?}");
}

/// What Prometheus knows of all requests; a scrape comes every second.
fn requests(fleet: &Fleet) -> u64 {
    let (_, checked) = check(fleet, &[]);
    let windows = checked["seen"]["windows"].as_array().expect("windows");
    let minute = windows.iter().find(|w| w["window_us"] == 60_000_000).expect("a minute");
    minute["requests"].as_u64().unwrap_or(0)
}

#[test]
fn a_real_prometheus_tells_what_the_router_served() {
    if !is_installed() {
        return;
    }
    let _quiet = quiet();
    let fleet = Fleet::start(&[fleet::ALL]);
    let (prometheus, url) = start(&fleet);
    fleet.world.write("slo/slo_manifest.yaml", &manifest(&url));

    // Nobody has asked yet: no data, which is not zero errors.
    let (run, checked) = check(&fleet, &[]);
    assert_eq!(run.code, Some(3), "{run:?}");
    assert_eq!(checked["judgement"]["cause"], "no_data", "{checked}");

    // Two scrapes make a counter; then people come.
    wait_until("the router is scraped twice", DEADLINE, || {
        let (_, checked) = check(&fleet, &[]);
        let gaps = checked["seen"]["windows"][0]["gaps"].as_array().expect("gaps");
        gaps.iter().all(|gap| gap["what"] != "requests")
    });
    ask(&fleet, "300/s");
    wait_until("prometheus knows of the requests", DEADLINE, || requests(&fleet) >= 550);
    let (_, checked) = check(&fleet, &["--out", "seen.json"]);
    for asked in ["p95 < 1s", "errors < 2%"] {
        assert_eq!(measure(&checked, asked)["verdict"], "pass", "{checked}");
    }
    let long = measure(&checked, "uptime > 99% over 5m");
    assert_eq!(long["verdict"], "inconclusive", "five minutes are not over: {checked}");
    assert_eq!(checked["not_judged"], json!(["trust"]));
    let young = fleet.orca(&["slo", "budget"]).expect_code(3);
    assert!(young.stdout.contains("of the 5m that"), "nor is its budget known: {young:?}");

    // What was seen is judged again without Prometheus, to the same judgement.
    let (again, kept) = check(&fleet, &["--source", "kept"]);
    assert_eq!(again.code, Some(3), "{again:?}");
    let verdicts = |of: &Value| -> Vec<Value> {
        let measures = of["judgement"]["measures"].as_array().expect("measures");
        measures.iter().map(|m| m["verdict"].clone()).collect()
    };
    assert_eq!(verdicts(&kept), verdicts(&checked));

    // An empty answer and 0 of 0 are no data.
    let (run, odd) = check(&fleet, &["--source", "odd"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    let gaps = odd["seen"]["windows"][0]["gaps"].to_string();
    for text in ["answers nothing", "NaN", "no bucket"] {
        assert!(gaps.contains(text), "{text} in {gaps}");
    }

    every_third_fails(&fleet);
    rules_are_accepted(&fleet);

    // Without it nothing is known, and nothing is judged.
    drop(prometheus);
    let run = fleet.orca(&["slo", "check"]).expect_code(4);
    assert!(run.stderr.contains("ORCA-1741"), "{run:?}");
    fleet.orca(&["preflight", "--only", "budget"]).expect_code(3);
}

fn every_third_fails(fleet: &Fleet) {
    fleet::fail(&fleet.base, &json!({"errors": 3_333}));
    let before = requests(fleet);
    ask(fleet, "300/s");
    wait_until("prometheus knows of the failures", DEADLINE, || {
        let (run, _) = check(fleet, &[]);
        run.code == Some(1) && requests(fleet) > before
    });
    let (_, checked) = check(fleet, &[]);
    assert_eq!(measure(&checked, "errors < 2%")["verdict"], "fail", "{checked}");
    // The same numbers are good enough where the manifest asks for less.
    let (_, preview) = check(fleet, &["--environment", "preview"]);
    assert_eq!(measure(&preview, "errors < 100%")["verdict"], "pass", "{preview}");
    let budget = fleet.orca(&["slo", "budget", "--json"]).expect_code(1).json();
    let spent = budget["budgets"].as_array().expect("budgets");
    assert!(spent.iter().any(|b| b["left_ppm"].as_i64() < Some(0)), "{budget}");
    let gate = fleet.orca(&["preflight", "--only", "budget", "--json"]).expect_code(1).json();
    assert!(gate["headline"].as_str().is_some_and(|h| h.contains("budget")), "{gate}");
}

fn rules_are_accepted(fleet: &Fleet) {
    fleet.orca(&["slo", "alerts", "--out", "rules.json"]).expect_code(0);
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "rules"]).arg(fleet.world.folder().join(Path::new("rules.json")));
    let run = Run::of(promtool).expect_code(0);
    assert!(run.stdout.contains("SUCCESS"), "{run:?}");
    let board = fleet.orca(&["slo", "dashboard"]).expect_code(0).json();
    assert!(board["panels"].as_array().is_some_and(|panels| panels.len() > 3), "{board}");
}
