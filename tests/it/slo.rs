//! The judges as scripts use them: questions on standard input, answers in JSON, verdict and exit
//! code together.

use std::fs::File;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{Run, World};

/// Runs orca with `text` on standard input.
fn ask(world: &World, args: &[&str], text: &str) -> Run {
    let question = world.write("question.json", text);
    let mut command = world.command(args);
    let question = File::open(question).expect("it was just written");
    command.stdin(question).stdout(Stdio::piped()).stderr(Stdio::piped());
    Run::from(command.output().expect("orca runs"))
}

/// Numbers from the binomial distribution by scipy 1.17.1, as in the tables beside the judge.
#[test]
fn judge_answers_ratios_and_percentiles() {
    let world = World::new();
    let args = ["slo", "judge", "--stdin", "--json"];
    let samples: Vec<u64> = (1..=400).rev().collect();
    let quantile = |limit: u64| json!({"kind": "quantile", "q_bp": 9_500, "samples_us": samples, "limit_us": limit});
    let ratio = |n: u64, errors: u64, limit: u64| json!({"kind": "ratio", "n": n, "errors": errors, "limit_bp": limit, "confidence_bp": 9_500});
    for (question, code, verdict, more) in [
        (ratio(368, 0, 100), 0, "pass", json!({"lower_ppm": 0, "upper_ppm": 9_975})),
        (ratio(367, 0, 100), 3, "inconclusive", json!({"lower_ppm": 0})),
        (ratio(1_000, 30, 100), 1, "fail", json!({})),
        (ratio(0, 0, 100), 3, "inconclusive", json!({"lower_ppm": 0, "upper_ppm": 1_000_000})),
        (ratio(10, 10, 10_000), 0, "pass", json!({"upper_ppm": 1_000_000})),
        (quantile(389), 0, "pass", json!({"rank_lower": 371, "rank_upper": 389})),
        (quantile(388), 3, "inconclusive", json!({"rank_lower": 371, "rank_upper": 389})),
        (quantile(370), 1, "fail", json!({})),
    ] {
        let answer = ask(&world, &args, &question.to_string()).expect_code(code).json();
        assert_eq!(answer["schema"], "orca.slo-judge/v1");
        assert_eq!(answer["verdict"], verdict, "{question}");
        for (name, value) in more.as_object().unwrap() {
            assert_eq!(&answer[name], value, "{name} of {question}");
        }
    }
    for nonsense in ["", "{}", r#"{"kind":"ratio","n":1,"errors":2,"limit_bp":1}"#] {
        let refused = ask(&world, &args, nonsense).expect_code(2);
        assert!(refused.stdout.contains("ORCA-1002"), "{refused:?}");
    }
}

/// R's `wilcox.test` of these arms gives 6 to 39 around 22.5.
#[test]
fn the_oracle_answers_one_metric_and_a_whole_canary() {
    let world = World::new();
    let args = ["canary", "judge", "--stdin", "--json"];
    let metric = json!({
        "control": [1, 2, 3, 4], "experiment": [10, 20, 30, 40], "direction": "increase",
        "tolerance": 0.1, "conf_level": 0.95, "effect_size_measure": "meanRatio",
        "allowed_increase": 1.0, "allowed_decrease": 1.0, "critical": true, "nan_strategy": "remove",
    });
    let answer = ask(&world, &args, &metric.to_string()).expect_code(1).json();
    assert_eq!((&answer["classification"], &answer["critical"]), (&json!("High"), &json!(true)));
    assert_eq!(answer["effect_size"], 10.0);
    let near = |seen: &Value, expected: f64| (seen.as_f64().unwrap() - expected).abs() < 1e-6;
    assert!(near(&answer["ci"][0], 6.0) && near(&answer["ci"][1], 39.0), "{answer}");
    assert!(near(&answer["estimate"], 22.5), "{answer}");

    let whole = json!({"metrics": [
        {"name": "a", "groups": ["g"], "control": [1, 2], "experiment": [1, 2]},
        {"name": "b", "groups": ["g"], "control": [1, 2, 3, 4], "experiment": [10, 20, 30, 40]},
    ], "pass": 95, "marginal": 50});
    let answer = ask(&world, &args, &whole.to_string()).expect_code(3).json();
    assert_eq!((&answer["score"], &answer["classification"]), (&json!(50.0), &json!("Marginal")));
    let refused = ask(&world, &args, r#"{"control":[1]}"#).expect_code(2);
    assert!(refused.stdout.contains("missing field"), "{refused:?}");
}

#[test]
fn two_files_are_judged_by_either_judge() {
    let world = World::new();
    let arm = |from: u64| json!((0..500).map(|i| from + i).collect::<Vec<_>>()).to_string();
    world.write("base.json", &arm(1_000));
    world.write("slow.json", &arm(2_000));
    let judge = |more: &[&str]| world.orca(&[&["canary", "judge", "base.json"], more].concat());
    let same = judge(&["base.json", "--json"]).expect_code(0).json();
    assert_eq!(same["verdict"], "pass");
    let slow = judge(&["slow.json", "--json"]).expect_code(1).json();
    assert_eq!((&slow["verdict"], &slow["shift_us"]["estimate"]), (&json!("fail"), &json!(1_000)));
    let oracle = judge(&["slow.json", "--judge", "kayenta", "--json"]).expect_code(1).json();
    assert_eq!(oracle["classification"], "High");
    judge(&[]).expect_code(2);
    let asked = json!({"control": [1_000], "experiment": [1_000]}).to_string();
    let orca = ask(&world, &["canary", "judge", "--stdin", "--judge", "orca", "--json"], &asked);
    assert_eq!(orca.expect_code(3).json()["judgement"]["cause"], "too_few_samples");
}

/// The example of the `OpenSLO` project in its own words: an SLI that stands apart, and what orca has
/// no place for.
#[test]
fn an_openslo_file_becomes_a_manifest_and_nothing_is_lost_unseen() {
    let world = World::new();
    world.write(
        "openslo.yaml",
        "apiVersion: openslo/v1
kind: SLI
metadata: {name: good-answers}
spec:
  ratioMetric:
    counter: true
    bad: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(bad[30d]))'}}}
    total: {metricSource: {type: Prometheus, spec: {query: 'sum(increase(all[30d]))'}}}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout, displayName: Checkout}
spec:
  service: shop
  indicatorRef: good-answers
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{targetPercent: 99.9}]
",
    );
    let args = ["slo", "import", "openslo.yaml", "--out", "slo/slo_manifest.yaml", "--json"];
    let imported = world.orca(&args).expect_code(0).json();
    let lost = ["metadata.displayName = \"Checkout\"", "spec.service = \"shop\""]
        .map(|line| format!("SLO/checkout: {line}"));
    assert_eq!(imported["not_taken"], json!(lost));
    let explained = world.orca(&["slo", "explain", "--json"]).expect_code(0).json();
    assert_eq!(explained["objectives"][0]["objective"], "uptime >= 99.9% over 30d");
    let alerts = world.orca(&["slo", "alerts"]).expect_code(0).stdout;
    assert!(alerts.contains("sum(increase(bad[1h]))) / (sum(increase(all[1h])"), "{alerts}");
    // It overwrites nothing, and the address of the source is asked for by its name.
    world.orca(&args).expect_code(2);
    let check = world.orca(&["slo", "check"]).expect_code(2);
    assert!(check.stderr.contains("PROMETHEUS_URL"), "{check:?}");

    world.write("none.yaml", "kind: Service\nmetadata: {name: shop}\nspec: {description: all}\n");
    let refused = world.orca(&["slo", "import", "none.yaml"]).expect_code(2);
    assert!(refused.stderr.contains("ORCA-1742"), "{refused:?}");
    assert!(refused.stderr.contains("spec.description"), "{refused:?}");
}
