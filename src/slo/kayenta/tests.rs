//! Kayenta's own test vectors: `tests/fixtures/canary/kayenta.json` holds the numbers of its
//! `ClassifierSuite` and `MannWhitneySuite` (the latter partly from R's `wilcox.test`).

use serde_json::Value;

use super::arm::{Arm, NanStrategy, Outliers};
use super::classify::{Direction, EffectMeasure, Metric, Thresholds, classify};
use super::interval::{interval, rank_z};

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/canary/kayenta.json")).unwrap()
}

fn arm(case: &Value, name: &str, nan: NanStrategy) -> Arm {
    let values: Vec<_> = case[name].as_array().unwrap().iter().map(Value::as_f64).collect();
    Arm::of(&values, nan, Outliers::Keep)
}

fn metric(case: &Value) -> Metric {
    let thresholds = |which: &str| Thresholds {
        decrease: case[format!("{which}_decrease")].as_f64().unwrap(),
        increase: case[format!("{which}_increase")].as_f64().unwrap(),
    };
    let direction: Direction = serde_json::from_value(case["direction"].clone()).unwrap();
    let is = |name: &str, value: &str| case[name].as_str() == Some(value);
    Metric {
        direction,
        tolerance: case["tolerance"].as_f64().unwrap(),
        confidence: case["conf_level"].as_f64().unwrap(),
        measure: if is("effect_size_measure", "cles") {
            EffectMeasure::Cles
        } else {
            EffectMeasure::MeanRatio
        },
        allowed: thresholds("allowed"),
        fatal: thresholds("critical"),
        critical: case["critical"].as_bool().unwrap_or(false),
        must_have_data: case["must_have_data"].as_bool().unwrap_or(false),
        nan: if is("nan_strategy", "replace") { NanStrategy::Replace } else { NanStrategy::Remove },
    }
}

#[test]
fn every_class_of_the_originals_tests() {
    let fixture = fixture();
    let cases = fixture["classes"].as_array().unwrap();
    assert_eq!(cases.len(), 34);
    for case in cases {
        let metric = metric(case);
        let (control, experiment) =
            (arm(case, "control", metric.nan), arm(case, "experiment", metric.nan));
        let seen = serde_json::to_value(classify(&metric, &control, &experiment)).unwrap();
        for (name, expected) in case["expected"].as_object().unwrap() {
            assert_eq!(&seen[name], expected, "{}: {name}", case["name"]);
        }
    }
}

#[test]
fn every_interval_of_the_originals_tests() {
    let fixture = fixture();
    let near = |seen: f64, expected: &Value, reach: f64| {
        assert!((seen - expected.as_f64().unwrap()).abs() < reach, "{seen}, not {expected}");
    };
    for case in fixture["intervals"].as_array().unwrap() {
        let (x, y) = (
            arm(case, "experiment", NanStrategy::Remove),
            arm(case, "control", NanStrategy::Remove),
        );
        let expected = &case["expected"];
        for pair in expected["z"].as_array().into_iter().flatten() {
            near(rank_z(&x, &y, pair[0].as_f64().unwrap()).unwrap(), &pair[1], 1e-5);
        }
        if expected["ci"].is_array() {
            let seen = interval(&x, &y, case["conf_level"].as_f64().unwrap()).unwrap();
            near(seen.low, &expected["ci"][0], 1e-6);
            near(seen.high, &expected["ci"][1], 1e-6);
            near(seen.estimate, &expected["estimate"], 1e-4);
        }
    }
}
