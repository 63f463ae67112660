//! The score of all metrics of a canary: groups by weight, 0 to 100.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::classify::Label;

/// This share of metrics without data, in percent, and the whole canary is worth nothing.
const NODATA_MAX_PCT: f64 = 50.0;

/// What counts of one metric.
#[derive(Debug, Clone)]
pub(crate) struct Weighed {
    pub(crate) groups: Vec<String>,
    pub(crate) label: Label,
    pub(crate) critical: bool,
    pub(crate) muted: bool,
}

/// One group of metrics.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) score: f64,
    pub(crate) no_data: bool,
}

/// What the thresholds say of the score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum Summary {
    Pass,
    Marginal,
    Fail,
}

#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Scored {
    /// With two decimals.
    pub(crate) score: f64,
    pub(crate) classification: Summary,
    pub(crate) groups: Vec<Group>,
}

/// `weights` of groups in percent; groups without one share what is left of a hundred. `limits` are
/// the scores from which it passes, and from which it is marginal.
pub(crate) fn score(
    metrics: &[Weighed],
    weights: &BTreeMap<String, f64>,
    limits: (f64, f64),
) -> Scored {
    let metrics: Vec<&Weighed> = metrics.iter().filter(|m| !m.muted).collect();
    let groups = groups(&metrics);
    let fails = metrics.iter().any(|m| m.critical && m.label != Label::Pass);
    let no_data = metrics.iter().filter(|m| m.label == Label::Nodata).count();
    let too_empty = !metrics.is_empty() && percent(no_data, metrics.len()) >= NODATA_MAX_PCT;
    let score = if fails || too_empty { 0.0 } else { summary(&groups, weights) };
    let classification = match score {
        s if s >= limits.0 => Summary::Pass,
        s if s >= limits.1 => Summary::Marginal,
        _ => Summary::Fail,
    };
    Scored { score, classification, groups }
}

fn groups(metrics: &[&Weighed]) -> Vec<Group> {
    let mut labels: BTreeMap<&str, Vec<Label>> = BTreeMap::new();
    for metric in metrics {
        for group in &metric.groups {
            labels.entry(group).or_default().push(metric.label);
        }
    }
    labels
        .into_iter()
        .map(|(name, labels)| {
            let count = |wanted: &[Label]| labels.iter().filter(|l| wanted.contains(l)).count();
            let passed = count(&[Label::Pass]);
            let judged = count(&[Label::Pass, Label::High, Label::Low, Label::NodataFailMetric]);
            Group {
                name: name.to_owned(),
                score: if judged == 0 { 0.0 } else { percent(passed, judged) },
                no_data: judged == 0,
            }
        })
        .collect()
}

fn summary(groups: &[Group], weights: &BTreeMap<String, f64>) -> f64 {
    let given: f64 = weights.values().sum();
    let others = groups.iter().filter(|g| !weights.contains_key(&g.name)).count();
    let share = (100.0 - given) / count(others.max(1));
    let sum: f64 = groups
        .iter()
        .map(|group| {
            let weight = weights.get(&group.name).copied().unwrap_or(share);
            (if group.no_data { 100.0 } else { group.score }) * weight / 100.0
        })
        .sum();
    libm::round(sum * 100.0) / 100.0
}

fn percent(part: usize, of: usize) -> f64 {
    count(part) / count(of) * 100.0
}

#[expect(clippy::cast_precision_loss, reason = "as many metrics as stand in one file")]
fn count(of: usize) -> f64 {
    of as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use Label::{High, Low, Nodata, Pass};

    fn metric(label: Label, group: &str) -> Weighed {
        Weighed { groups: vec![group.to_owned()], label, critical: false, muted: false }
    }

    /// The cases and scores of kayenta's `ScorerSuite`, in its order.
    #[test]
    fn the_scores_of_the_originals_tests() {
        type Row = (Vec<Weighed>, Vec<(&'static str, f64)>, f64);
        let fatal = |label, group| Weighed { critical: true, ..metric(label, group) };
        let even = [("1", 50.0), ("2", 50.0)];
        let table: Vec<Row> = vec![
            (vec![metric(Pass, "1")], vec![], 100.0),
            (vec![metric(High, "1")], vec![], 0.0),
            (vec![metric(Nodata, "1")], vec![], 0.0),
            (vec![metric(Pass, "1"), metric(Pass, "1"), metric(Nodata, "2")], vec![], 100.0),
            (vec![metric(Pass, "1"), metric(High, "1")], vec![], 50.0),
            (vec![metric(Pass, "1"), metric(High, "1"), metric(Low, "1")], vec![], 33.33),
            (
                vec![metric(Pass, "1"), metric(Pass, "1"), metric(High, "2")],
                vec![("1", 75.0), ("2", 25.0)],
                75.0,
            ),
            (vec![metric(Pass, "1"), metric(High, "1"), metric(High, "2")], even.to_vec(), 25.0),
            (vec![metric(Pass, "1"), metric(Nodata, "1"), metric(High, "2")], even.to_vec(), 50.0),
            (vec![metric(Pass, "1"), fatal(High, "1")], vec![], 0.0),
            (vec![metric(Low, "1"), fatal(Pass, "1")], vec![], 50.0),
            (vec![metric(Pass, "1"), fatal(Nodata, "1")], vec![], 0.0),
            (
                vec![metric(High, "1"), metric(Low, "1"), metric(Pass, "1"), metric(High, "2")],
                vec![("1", 15.0), ("2", 85.0)],
                5.0,
            ),
        ];
        for (metrics, weights, expected) in table {
            let weights = weights.into_iter().map(|(g, w)| (g.to_owned(), w)).collect();
            let seen = score(&metrics, &weights, (95.0, 75.0)).score;
            assert!((seen - expected).abs() < 1e-9, "{metrics:?}: {seen}, not {expected}");
        }
    }

    #[test]
    fn thresholds_and_muted_metrics() {
        let muted = Weighed { muted: true, ..metric(High, "1") };
        let of = |limits| {
            score(
                &[
                    metric(Pass, "1"),
                    metric(Pass, "1"),
                    metric(Pass, "1"),
                    metric(Low, "1"),
                    muted.clone(),
                ],
                &BTreeMap::new(),
                limits,
            )
            .classification
        };
        assert_eq!(of((75.0, 50.0)), Summary::Pass);
        assert_eq!(of((76.0, 75.0)), Summary::Marginal);
        assert_eq!(of((95.0, 76.0)), Summary::Fail);
    }
}
