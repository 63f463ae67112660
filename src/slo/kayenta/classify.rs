//! The class of one metric: is the experiment higher or lower than the control, beyond the tolerance
//! and by an effect that matters?

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::arm::{Arm, NanStrategy};
use super::interval::interval;
use crate::slo::statistics::binomial::float;

/// How one metric is judged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Metric {
    pub(crate) direction: Direction,
    /// The interval has to clear this share of the estimate.
    pub(crate) tolerance: f64,
    /// Two-sided, between 0 and 1.
    pub(crate) confidence: f64,
    pub(crate) measure: EffectMeasure,
    /// Effects from which a difference counts.
    pub(crate) allowed: Thresholds,
    /// Effects from which it fails the whole canary, for a critical metric.
    pub(crate) fatal: Thresholds,
    pub(crate) critical: bool,
    pub(crate) must_have_data: bool,
    pub(crate) nan: NanStrategy,
}

/// The direction in which a difference is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Direction {
    Increase,
    Decrease,
    #[default]
    Either,
}

/// How large a difference is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub(crate) enum EffectMeasure {
    /// The mean of the experiment as a share of that of the control.
    #[default]
    #[serde(rename = "meanRatio", alias = "mean_ratio")]
    MeanRatio,
    /// The chance that a value of the experiment is the larger one (A. Vargha and H. D. Delaney,
    /// Journal of Educational and Behavioral Statistics 25, 2000).
    #[serde(rename = "cles", alias = "CLES")]
    Cles,
}

impl EffectMeasure {
    /// The value of two arms that are alike.
    pub(crate) const fn neutral(self) -> f64 {
        match self {
            Self::MeanRatio => 1.0,
            Self::Cles => 0.5,
        }
    }

    fn of(self, experiment: &Arm, control: &Arm) -> Option<f64> {
        match self {
            Self::MeanRatio => {
                let (x, y) = (experiment.mean(), control.mean());
                (x.abs() > 0.0 && y.abs() > 0.0).then(|| x / y)
            }
            Self::Cles => Some(share_larger(experiment, control)),
        }
    }
}

/// Effects below `decrease` and above `increase` count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Thresholds {
    pub(crate) decrease: f64,
    pub(crate) increase: f64,
}

impl Thresholds {
    /// Without an effect the threshold is ignored.
    fn reaches(self, label: Label, effect: Option<f64>) -> bool {
        match label {
            Label::High => effect.is_none_or(|e| e >= self.increase),
            Label::Low => effect.is_none_or(|e| e <= self.decrease),
            _ => false,
        }
    }
}

/// The classes of the original, by its names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum Label {
    Pass,
    High,
    Low,
    Nodata,
    NodataFailMetric,
    Error,
}

/// What came of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Classified {
    pub(crate) classification: Label,
    /// Whether it fails the whole canary.
    pub(crate) critical: bool,
    /// Of the shift of the experiment against the control; absent when it was not needed.
    pub(crate) ci: Option<[f64; 2]>,
    pub(crate) estimate: Option<f64>,
    /// Absent when a mean is zero.
    pub(crate) effect_size: Option<f64>,
}

pub(crate) fn classify(metric: &Metric, control: &Arm, experiment: &Arm) -> Classified {
    let plain = |classification, critical| Classified {
        classification,
        critical,
        ci: None,
        estimate: None,
        effect_size: None,
    };
    if experiment.is_empty() || control.is_empty() {
        return match (metric.nan, metric.must_have_data && !metric.critical) {
            (NanStrategy::Replace, _) => plain(Label::Pass, false),
            (NanStrategy::Remove, true) => plain(Label::NodataFailMetric, false),
            (NanStrategy::Remove, false) => plain(Label::Nodata, metric.critical),
        };
    }
    let effect = metric.measure.of(experiment, control);
    let same_constant = experiment.constant().zip(control.constant()).map(|(x, y)| x.total_cmp(&y));
    if experiment == control || same_constant.is_some_and(std::cmp::Ordering::is_eq) {
        return Classified { effect_size: effect, ..plain(Label::Pass, false) };
    }
    let (x, y) = match same_constant {
        Some(_) => (experiment.with_noise(), control.with_noise()),
        None => (experiment.clone(), control.clone()),
    };
    let Some(shift) = interval(&x, &y, metric.confidence) else {
        return plain(Label::Error, false);
    };
    let effect = metric.measure.of(&x, &y);
    let bound = metric.tolerance * shift.estimate.abs();
    let counts = |label| metric.allowed.reaches(label, effect);
    let classification = match metric.direction {
        Direction::Increase | Direction::Either if shift.low > bound && counts(Label::High) => {
            Label::High
        }
        Direction::Decrease | Direction::Either if shift.high < -bound && counts(Label::Low) => {
            Label::Low
        }
        _ => Label::Pass,
    };
    Classified {
        classification,
        critical: metric.critical && metric.fatal.reaches(classification, effect),
        ci: Some([shift.low, shift.high]),
        estimate: Some(shift.estimate),
        effect_size: effect,
    }
}

/// P(x > y) + P(x = y) / 2.
fn share_larger(x: &Arm, y: &Arm) -> f64 {
    let (mut below, mut larger) = (0.0, 0.0);
    let mut rest = y.values().iter().peekable();
    for (value, count) in x.values() {
        while let Some((_, smaller)) = rest.next_if(|(v, _)| v < value) {
            below += float(*smaller);
        }
        let tied = rest.peek().filter(|(v, _)| v.total_cmp(value).is_eq()).map_or(0, |(_, n)| *n);
        larger += float(*count) * (below + float(tied) / 2.0);
    }
    larger / (x.count() * y.count())
}
