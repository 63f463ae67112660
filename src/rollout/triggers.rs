//! What brings users back by itself in the middle of a stage, or after it, beside the error limit of
//! the manifest. Part of the plan, so the ledger and whoever carries a canary on know it. Pure.

use serde::{Deserialize, Serialize};

use super::throughput::Throughput;
use crate::base::units::{BasisPoints, Micros};

/// How far back "now" reaches: a spike shows in its own minute, however long the stage was quiet.
pub(crate) const RECENT: Micros = Micros::from_secs(60);
/// Below this many percent of the requests that a weight says is a warning, where the trigger is on
/// and nothing else is said.
const THROUGHPUT_WARN_PCT: u32 = 80;

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Triggers {
    /// More failures than this among the requests of the last minute, beyond doubt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_rate: Option<BasisPoints>,
    /// A p95 of the last minute beyond this many percent of the baseline's, beyond doubt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) p95_ratio_pct: Option<u32>,
    /// In a stage: fewer requests than this many percent of what the canary's weight says, beyond
    /// doubt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) throughput_pct: Option<u32>,
    /// The same as a warning, which brings nobody back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) throughput_warn_pct: Option<u32>,
    /// No answer, or one of the server's own failures, for so long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unhealthy_for: Option<Micros>,
    /// What is asked for it; `/` unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) health: Option<String>,
    /// After a promotion: fewer requests in a minute than this many percent of what came beside the
    /// canary.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traffic_pct: Option<u32>,
    /// Paths that must work: each that fails three times in a row brings users back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) critical: Vec<String>,
}

impl Triggers {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the traffic of the last minute is judged by itself.
    pub(crate) const fn looks_at_recent(&self) -> bool {
        self.error_rate.is_some() || self.p95_ratio_pct.is_some()
    }

    /// Whether the new version is asked by itself.
    pub(crate) const fn asks(&self) -> bool {
        self.unhealthy_for.is_some() || !self.critical.is_empty()
    }

    /// The limits on the canary's requests, where one is set.
    pub(crate) fn throughput(&self) -> Option<Throughput> {
        let back_pct = self.throughput_pct;
        let usual = back_pct.map(|back| THROUGHPUT_WARN_PCT.max(back));
        let warn_pct = self.throughput_warn_pct.or(usual)?;
        Some(Throughput { back_pct, warn_pct })
    }

    /// Those that see something once everybody is on one version.
    pub(crate) fn after_promotion(self) -> Self {
        Self { throughput_pct: None, throughput_warn_pct: None, ..self }
    }

    pub(crate) fn health_path(&self) -> &str {
        self.health.as_deref().unwrap_or("/")
    }

    /// What is said here, and for the rest what `other` says.
    pub(crate) fn or(self, other: &Self) -> Self {
        Self {
            error_rate: self.error_rate.or(other.error_rate),
            p95_ratio_pct: self.p95_ratio_pct.or(other.p95_ratio_pct),
            throughput_pct: self.throughput_pct.or(other.throughput_pct),
            throughput_warn_pct: self.throughput_warn_pct.or(other.throughput_warn_pct),
            unhealthy_for: self.unhealthy_for.or(other.unhealthy_for),
            traffic_pct: self.traffic_pct.or(other.traffic_pct),
            health: self.health.or_else(|| other.health.clone()),
            critical: if self.critical.is_empty() { other.critical.clone() } else { self.critical },
        }
    }

    /// Each trigger in words.
    pub(crate) fn sentences(&self) -> Vec<String> {
        let errors =
            self.error_rate.map(|limit| format!("more than {limit} of a minute's requests fail"));
        let slow = self.p95_ratio_pct.map(|pct| format!("p95 is beyond {pct} % of the base's"));
        let few = self.throughput().map(few_requests);
        let sick = self.unhealthy_for.map(|span| {
            format!("the new version does not answer {} for {span}", self.health_path())
        });
        let critical = (!self.critical.is_empty())
            .then(|| format!("one of {} fails three times in a row", self.critical.join(", ")));
        let quiet = self.traffic_pct.map(|pct| {
            format!("after promote, fewer than {pct} % of the usual requests come in a minute")
        });
        [errors, slow, few, sick, critical, quiet].into_iter().flatten().collect()
    }
}

fn few_requests(limits: Throughput) -> String {
    let what = "of the requests that its weight says";
    let warn = limits.warn_pct;
    match limits.back_pct {
        Some(back) => format!(
            "in a stage, the new version gets fewer than {back} % {what} (fewer than {warn} % is a \
             warning)"
        ),
        None => format!("(a warning alone: it gets fewer than {warn} % {what})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_nearer_wins_key_by_key() {
        let near = Triggers { p95_ratio_pct: Some(300), ..Triggers::default() };
        let far = Triggers {
            p95_ratio_pct: Some(200),
            error_rate: Some(BasisPoints(500)),
            ..Triggers::default()
        };
        let both = near.or(&far);
        assert_eq!(both.p95_ratio_pct, Some(300));
        assert_eq!(both.error_rate, Some(BasisPoints(500)));
        let errors = format!("more than {} of a minute's requests fail", BasisPoints(500));
        assert_eq!(both.sentences(), [errors.as_str(), "p95 is beyond 300 % of the base's"]);
    }

    #[test]
    fn few_requests_are_a_warning_before_they_are_a_breach() {
        for (back, warn, limits, said) in [
            (None, None, None, None),
            (Some(50), None, Some((Some(50), 80)), Some("fewer than 50 %")),
            (Some(50), Some(70), Some((Some(50), 70)), Some("fewer than 70 % is a warning")),
            (Some(90), None, Some((Some(90), 90)), Some("fewer than 90 %")),
            (None, Some(70), Some((None, 70)), Some("a warning alone: it gets fewer than 70 %")),
        ] {
            let triggers =
                Triggers { throughput_pct: back, throughput_warn_pct: warn, ..Triggers::default() };
            let got = triggers.throughput().map(|t| (t.back_pct, t.warn_pct));
            assert_eq!(got, limits, "{back:?} {warn:?}");
            let sentences = triggers.sentences();
            assert_eq!(sentences.len(), usize::from(said.is_some()));
            assert!(said.is_none_or(|said| sentences[0].contains(said)), "{sentences:?}");
        }
    }

    /// A plan without triggers has the bytes that it had before there were any.
    #[test]
    fn without_triggers_nothing_is_written() {
        assert_eq!(serde_json::to_string(&Triggers::default()).unwrap(), "{}");
        let read: Triggers = serde_json::from_str(r#"{"unhealthy_for":300000000}"#).unwrap();
        assert_eq!(read.unhealthy_for, Some(Micros::from_secs(300)));
        assert_eq!(read.sentences(), ["the new version does not answer / for 5 m"]);
    }
}
