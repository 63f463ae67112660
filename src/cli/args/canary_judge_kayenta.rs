//! The Kayenta form of `orca canary judge`: one metric, or all metrics of a canary with their score.
//! Values are any numbers; `null` and `"NaN"` are not a number. Missing settings are those of the
//! original, and its spelling of keys is read as well.

use std::collections::BTreeMap;
use std::io::Read as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::limits;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::slo::kayenta::{
    Arm, Classified, Direction, EffectMeasure, Group, Label, Metric, NanStrategy, Outliers,
    Summary, Thresholds, Weighed, classify, score,
};
use crate::slo::statistics::mann_whitney::Weighted;

const HINT: &str = r#"write {"control":[1,2],"experiment":[1,3],"direction":"increase"}, or {"metrics":[{"name":"p95","groups":["latency"],"control":[..],"experiment":[..]}],"pass":95,"marginal":75}"#;

/// One metric of a canary.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    control: Vec<Value>,
    experiment: Vec<Value>,
    direction: Option<Direction>,
    tolerance: Option<f64>,
    #[serde(alias = "confLevel")]
    conf_level: Option<f64>,
    #[serde(alias = "effectSizeMeasure")]
    effect_size_measure: Option<EffectMeasure>,
    #[serde(alias = "allowedIncrease")]
    allowed_increase: Option<f64>,
    #[serde(alias = "allowedDecrease")]
    allowed_decrease: Option<f64>,
    #[serde(alias = "criticalIncrease")]
    critical_increase: Option<f64>,
    #[serde(alias = "criticalDecrease")]
    critical_decrease: Option<f64>,
    critical: Option<bool>,
    #[serde(alias = "mustHaveData")]
    must_have_data: Option<bool>,
    #[serde(alias = "nanStrategy")]
    nan_strategy: Option<Nan>,
    outliers: Option<RawOutliers>,
    /// Of a metric among many.
    name: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    muted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Nan {
    None,
    Remove,
    Replace,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOutliers {
    strategy: RawOutlierStrategy,
    #[serde(alias = "outlierFactor")]
    factor: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawOutlierStrategy {
    None,
    Keep,
    Remove,
}

/// All metrics of a canary.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Canary {
    metrics: Vec<Question>,
    #[serde(default, alias = "groupWeights")]
    group_weights: BTreeMap<String, f64>,
    /// Scores from which it passes, and from which it is marginal.
    pass: f64,
    marginal: f64,
}

/// All metrics with their score.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct CanaryScore {
    /// 0 to 100.
    score: f64,
    classification: Summary,
    groups: Vec<Group>,
    results: Vec<Named>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Named {
    name: String,
    result: Classified,
}

fn refused(message: impl Into<String>) -> Failure {
    Failure::new(Code::Input, Exit::Usage, message).hint(HINT)
}

pub(crate) fn read_question() -> Result<Value, Failure> {
    let limit = limits::SAMPLES_BYTES_MAX;
    let mut text = Vec::new();
    std::io::stdin()
        .take(limit + 1)
        .read_to_end(&mut text)
        .map_err(|e| refused(format!("standard input cannot be read: {e}")))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        return Err(refused(format!("standard input is larger than {limit} bytes")));
    }
    serde_json::from_slice(&text).map_err(|e| refused(format!("standard input is not JSON: {e}")))
}

/// Control and experiment alone.
pub(crate) fn arms(question: &Value) -> Result<(Vec<Value>, Vec<Value>), Failure> {
    let question = Question::deserialize(question)
        .map_err(|e| refused(format!("standard input is not a question: {e}")))?;
    Ok((question.control, question.experiment))
}

/// Answers for one metric, or for all metrics of a canary.
pub(crate) fn answer(question: &Value) -> Result<Report, Failure> {
    let wrong = |e: serde_json::Error| refused(format!("standard input is not a question: {e}"));
    if question.get("metrics").is_some() {
        return answer_canary(&Canary::deserialize(question).map_err(wrong)?);
    }
    let question = Question::deserialize(question).map_err(wrong)?;
    Ok(report(&question.classified()?))
}

/// Two arms of latencies, judged as the original judges without settings.
pub(crate) fn of_latencies(control: &Weighted, experiment: &Weighted) -> Report {
    report(&classify(&default_metric(), &Arm::from(control), &Arm::from(experiment)))
}

fn default_metric() -> Metric {
    let even = Thresholds { decrease: 1.0, increase: 1.0 };
    Metric {
        direction: Direction::Either,
        tolerance: 0.25,
        confidence: 0.98,
        measure: EffectMeasure::MeanRatio,
        allowed: even,
        fatal: even,
        critical: false,
        must_have_data: false,
        nan: NanStrategy::Remove,
    }
}

fn report(classified: &Classified) -> Report {
    let show = |value: Option<f64>| value.map_or("-".to_owned(), |v| format!("{v:.6}"));
    let human = format!(
        "{:?}: the experiment is shifted by {} ({} to {}), effect {}\n",
        classified.classification,
        show(classified.estimate),
        show(classified.ci.map(|ci| ci[0])),
        show(classified.ci.map(|ci| ci[1])),
        show(classified.effect_size),
    );
    let exit = exit(classified.classification);
    Report::new(exit, "orca.canary-judge-kayenta/v1", classified, human)
}

const fn exit(label: Label) -> Exit {
    match label {
        Label::Pass => Exit::Done,
        Label::High | Label::Low | Label::NodataFailMetric => Exit::Closed,
        Label::Nodata | Label::Error => Exit::Inconclusive,
    }
}

fn answer_canary(canary: &Canary) -> Result<Report, Failure> {
    let mut results = Vec::new();
    let mut weighed = Vec::new();
    for (index, metric) in canary.metrics.iter().enumerate() {
        let name = metric.name.clone().unwrap_or_else(|| format!("metric {}", index + 1));
        let result = metric.classified()?;
        weighed.push(Weighed {
            groups: metric.groups.clone(),
            label: result.classification,
            critical: result.critical,
            muted: metric.muted,
        });
        results.push(Named { name, result });
    }
    let scored = score(&weighed, &canary.group_weights, (canary.pass, canary.marginal));
    let exit = match scored.classification {
        Summary::Pass => Exit::Done,
        Summary::Marginal => Exit::Inconclusive,
        Summary::Fail => Exit::Closed,
    };
    let human = format!("{:?}: {} of 100\n", scored.classification, scored.score);
    let document = CanaryScore {
        score: scored.score,
        classification: scored.classification,
        groups: scored.groups,
        results,
    };
    Ok(Report::new(exit, "orca.canary-score-kayenta/v1", &document, human))
}

impl Question {
    fn classified(&self) -> Result<Classified, Failure> {
        let metric = self.metric()?;
        let outliers = match self.outliers {
            Some(RawOutliers { strategy: RawOutlierStrategy::Remove, factor }) => {
                Outliers::Remove { factor: factor.unwrap_or(3.0) }
            }
            _ => Outliers::Keep,
        };
        let arm = |name: &str, values: &[Value]| {
            let numbers: Result<Vec<_>, _> = values.iter().enumerate().map(number).collect();
            let numbers = numbers.map_err(|problem| refused(format!("{name}: {problem}")))?;
            Ok::<_, Failure>(Arm::of(&numbers, metric.nan, outliers))
        };
        let control = arm("control", &self.control)?;
        let experiment = arm("experiment", &self.experiment)?;
        Ok(classify(&metric, &control, &experiment))
    }

    fn metric(&self) -> Result<Metric, Failure> {
        let within = |name: &str, value: f64, ok: bool, right: &str| {
            let problem = || refused(format!("{name} is {value}; it is {right}"));
            if ok { Ok(value) } else { Err(problem()) }
        };
        let plain = default_metric();
        let confidence = self.conf_level.unwrap_or(plain.confidence);
        let tolerance = self.tolerance.unwrap_or(plain.tolerance);
        let measure = self.effect_size_measure.unwrap_or_default();
        let or_neutral = |value: Option<f64>| value.unwrap_or(measure.neutral());
        Ok(Metric {
            direction: self.direction.unwrap_or_default(),
            tolerance: within("tolerance", tolerance, tolerance >= 0.0, "0 or more")?,
            confidence: within(
                "conf_level",
                confidence,
                confidence > 0.0 && confidence < 1.0,
                "between 0 and 1",
            )?,
            measure,
            allowed: Thresholds {
                decrease: or_neutral(self.allowed_decrease),
                increase: or_neutral(self.allowed_increase),
            },
            fatal: Thresholds {
                decrease: or_neutral(self.critical_decrease),
                increase: or_neutral(self.critical_increase),
            },
            critical: self.critical.unwrap_or(false),
            must_have_data: self.must_have_data.unwrap_or(false),
            nan: match self.nan_strategy {
                Some(Nan::Replace) => NanStrategy::Replace,
                Some(Nan::None | Nan::Remove) | None => NanStrategy::Remove,
            },
        })
    }
}

fn number((index, value): (usize, &Value)) -> Result<Option<f64>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.eq_ignore_ascii_case("nan") => Ok(None),
        Value::Number(number) => Ok(number.as_f64()),
        other => Err(format!("item {index} is {other}, not a number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(question: &str) -> Result<(Exit, Value), String> {
        let question = serde_json::from_str(question).unwrap();
        answer(&question).map(|r| (r.exit, r.json)).map_err(|f| f.message)
    }

    #[test]
    fn one_metric_in_either_spelling() {
        for (question, exit, class) in [
            (r#"{"control":[1,2,3,4],"experiment":[10,20,30,40]}"#, Exit::Closed, "High"),
            (
                r#"{"control":[1,2,3,4],"experiment":[10,20,30,40],"direction":"decrease"}"#,
                Exit::Done,
                "Pass",
            ),
            (
                r#"{"control":[1,2,3,4],"experiment":[10,20,30,40],"allowedIncrease":20}"#,
                Exit::Done,
                "Pass",
            ),
            (r#"{"control":[1,2],"experiment":[null,"NaN"]}"#, Exit::Inconclusive, "Nodata"),
            (
                r#"{"control":[1,2],"experiment":[],"mustHaveData":true}"#,
                Exit::Closed,
                "NodataFailMetric",
            ),
            (r#"{"control":[1],"experiment":[2]}"#, Exit::Inconclusive, "Error"),
        ] {
            let (seen, json) = answered(question).unwrap();
            assert_eq!((seen, json["classification"].as_str()), (exit, Some(class)), "{question}");
        }
        for (question, expected) in [
            (r#"{"control":[1,{}],"experiment":[2]}"#, "control: item 1 is {}, not a number"),
            (
                r#"{"control":[1],"experiment":[2],"conf_level":95}"#,
                "conf_level is 95; it is between 0 and 1",
            ),
        ] {
            assert_eq!(answered(question).unwrap_err(), expected);
        }
        assert!(answered(r#"{"control":[1]}"#).unwrap_err().contains("missing field"));
    }

    #[test]
    fn all_metrics_of_a_canary_have_a_score() {
        let metrics = r#"{"name":"errors","groups":["a"],"control":[1,2],"experiment":[1,2]},
            {"name":"p95","groups":["a"],"control":[1,2,3,4],"experiment":[10,20,30,40]}"#;
        let of = |marginal: u32| {
            answered(&format!(
                r#"{{"metrics":[{metrics}],"group_weights":{{"a":100}},"pass":75,"marginal":{marginal}}}"#
            ))
            .unwrap()
        };
        let (exit, json) = of(50);
        assert_eq!((exit, json["score"].as_f64()), (Exit::Inconclusive, Some(50.0)));
        assert_eq!(of(51).0, Exit::Closed);
    }
}
