//! What a judge may say. Verdicts are ordered from harmless to worst, and combining them takes the
//! worst, so nothing unknown can turn into a pass.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `NotApplicable < Pass < Waived < Inconclusive < Fail`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    NotApplicable,
    Pass,
    Waived,
    Inconclusive,
    Fail,
}

impl Verdict {
    /// The worst of all; nothing when there are none.
    pub(crate) fn worst(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        verdicts.into_iter().max()
    }

    /// Whether this may let something gain exposure.
    pub(crate) const fn opens(self) -> bool {
        matches!(self, Self::Pass | Self::Waived)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotApplicable => "not_applicable",
            Self::Pass => "pass",
            Self::Waived => "waived",
            Self::Inconclusive => "inconclusive",
            Self::Fail => "fail",
        }
    }

    /// As people read it in a table.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NotApplicable => "not applicable",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why something is Inconclusive (or Waived by observing). Typed, so that nobody parses sentences.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cause {
    /// A gate without checks, or a phase without gates.
    Empty,
    /// Nothing was there to be judged.
    NoData,
    /// Fewer samples than the rule needs.
    TooFewSamples,
    /// The check did not answer in time.
    Timeout,
    /// The call was refused: a token or a permission is missing.
    Denied,
    /// Enough data, but the interval holds the limit.
    Undecided,
    /// What was measured beside it fails as well: what both share is to blame.
    BothBreach,
    /// The check could not look at the world for another reason.
    Unobserved,
    /// Stopped before it ended.
    Cancelled,
    /// The ruling is older than its `max_age`.
    Expired,
    /// The ruling is dated more than five minutes ahead.
    FromTheFuture,
    /// The gate applied to the last release and does not apply now.
    NoLongerApplicable,
    /// No gate of the phase passed.
    NoPass,
    /// A required gate has no ruling.
    MissingRuling,
    /// This orca does not know the rule or its version.
    UnknownRule,
    /// Judging the stored exhibit again gave another judgement.
    NotReproduced,
    /// The exhibit's bytes are missing or not those that were recorded.
    ExhibitMissing,
    /// The machine that measured could not keep up.
    GeneratorTooSlow,
    /// The gate is in `mode: observe`: judged, shown, not enforced.
    Observe,
    /// Trust is required, and nobody signed the ruling.
    Unsigned,
    /// Signed by a key that nobody trusts.
    ForeignKey,
    /// Signed by a key that was revoked.
    KeyRevoked,
    /// Signed by a key before or after its time.
    KeyNotValid,
    /// Signed by a trusted key of another role.
    WrongRole,
    /// The signature is damaged, or over something else.
    WrongSignature,
}

impl Cause {
    /// Whether the world was looked at and could not be decided, or could not be looked at. The
    /// other causes are of the proof itself, and no person stands in for that.
    pub(crate) const fn is_of_data(self) -> bool {
        matches!(
            self,
            Self::NoData
                | Self::TooFewSamples
                | Self::Timeout
                | Self::Denied
                | Self::Undecided
                | Self::Unobserved
                | Self::GeneratorTooSlow
        )
    }

    /// One lowercase fragment for people.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Empty => "nothing to judge was configured",
            Self::NoData => "no data",
            Self::TooFewSamples => "too few samples",
            Self::Timeout => "timed out",
            Self::Denied => "access denied",
            Self::Undecided => "the data cannot decide",
            Self::BothBreach => "both versions breach",
            Self::Unobserved => "could not be observed",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::FromTheFuture => "dated in the future",
            Self::NoLongerApplicable => "applied to the last release and does not now",
            Self::NoPass => "nothing passed",
            Self::MissingRuling => "no ruling",
            Self::UnknownRule => "unknown rule",
            Self::NotReproduced => "judging again gave another result",
            Self::ExhibitMissing => "the exhibit is missing or changed",
            Self::GeneratorTooSlow => "this machine could not keep up",
            Self::Observe => "observe mode",
            Self::Unsigned => "unsigned",
            Self::ForeignKey => "signed by an unknown key",
            Self::KeyRevoked => "signed by a revoked key",
            Self::KeyNotValid => "signed by a key outside its time",
            Self::WrongRole => "signed by a key of another role",
            Self::WrongSignature => "the signature is wrong",
        }
    }
}

/// The unit of a measured integer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Microseconds,
    /// Parts per million.
    Ppm,
    BasisPoints,
    Count,
    /// Thousandths of an event per second.
    MilliPerSecond,
}

impl Unit {
    /// `value` as people read it.
    pub(crate) fn show(self, value: i64) -> String {
        use crate::base::units::{Micros, Rate};
        let magnitude = value.unsigned_abs();
        let sign = if value < 0 { "-" } else { "" };
        match self {
            Self::Microseconds => format!("{sign}{}", Micros(magnitude)),
            Self::Ppm if !magnitude.is_multiple_of(100) => {
                format!("{sign}{}.{:04} %", magnitude / 10_000, magnitude % 10_000)
            }
            Self::Ppm => percent(sign, magnitude / 100),
            Self::BasisPoints => percent(sign, magnitude),
            Self::Count => value.to_string(),
            Self::MilliPerSecond => format!("{sign}{}", Rate { milli_per_s: magnitude }),
        }
    }

    /// Reads what people write for a value of this unit: `900ms`, `2%`, `80/s`, or the bare integer
    /// that JSON shows. Nothing when it is neither.
    pub(crate) fn read(self, text: &str) -> Option<i64> {
        use crate::base::units::{BasisPoints, Micros, Rate};
        if let Ok(integer) = text.parse() {
            return Some(integer);
        }
        let value = match self {
            Self::Microseconds => text.parse::<Micros>().ok()?.0,
            Self::Ppm => u64::from(text.parse::<BasisPoints>().ok()?.0) * 100,
            Self::BasisPoints => u64::from(text.parse::<BasisPoints>().ok()?.0),
            Self::Count => return None,
            Self::MilliPerSecond => text.parse::<Rate>().ok()?.milli_per_s,
        };
        i64::try_from(value).ok()
    }
}

fn percent(sign: &str, basis_points: u64) -> String {
    match (basis_points / 100, basis_points % 100) {
        (whole, 0) => format!("{sign}{whole} %"),
        (whole, rest) => format!("{sign}{whole}.{rest:02} %"),
    }
}

/// One measured number against its limit, with its sample size.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Measure {
    /// What was asked, in the words of the policy: `p95 < 500ms`.
    pub(crate) asked: String,
    /// What was seen; absent when there was no data.
    pub(crate) seen: Option<i64>,
    /// The confidence interval, where the rule has one.
    pub(crate) lower: Option<i64>,
    pub(crate) upper: Option<i64>,
    pub(crate) limit: Option<i64>,
    pub(crate) unit: Unit,
    /// How many observations stand behind it.
    pub(crate) samples: u64,
    pub(crate) verdict: Verdict,
}

impl Measure {
    /// The confidence interval as people read it; a latency without one lies among requests that
    /// nobody answered.
    pub(crate) fn interval(&self) -> String {
        let show = |value: Option<i64>| {
            value.map_or_else(|| "unknown".to_owned(), |value| self.unit.show(value))
        };
        match (self.lower, self.upper) {
            (None, None) if self.unit != Unit::Microseconds => "exact".to_owned(),
            (lower, upper) => format!("{} to {}", show(lower), show(upper)),
        }
    }
}

/// Something wrong that a waiver could name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Finding {
    /// Stable over runs: the same problem has the same fingerprint.
    pub(crate) fingerprint: String,
    /// One sentence.
    pub(crate) title: String,
    /// Where: a file and line, an endpoint, a commit.
    pub(crate) place: Option<String>,
    /// How bad, in `unit`; a waiver states the worst value it tolerates.
    pub(crate) value: i64,
    pub(crate) unit: Unit,
    /// What to do about it.
    pub(crate) next: String,
}

/// What a rule says about what was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) cause: Option<Cause>,
    /// The first line that a human reads: one sentence.
    pub(crate) headline: String,
    #[serde(default)]
    pub(crate) measures: Vec<Measure>,
    #[serde(default)]
    pub(crate) findings: Vec<Finding>,
    /// The rule that decided, in words.
    pub(crate) decided_by: String,
    /// What to do next, the most useful first.
    #[serde(default)]
    pub(crate) next: Vec<String>,
}

impl Judgement {
    fn plain(verdict: Verdict, cause: Option<Cause>, headline: String, rule: &str) -> Self {
        Self {
            verdict,
            cause,
            headline,
            measures: Vec::new(),
            findings: Vec::new(),
            decided_by: rule.to_owned(),
            next: Vec::new(),
        }
    }

    pub(crate) fn pass(headline: impl Into<String>, rule: &str) -> Self {
        Self::plain(Verdict::Pass, None, headline.into(), rule)
    }

    pub(crate) fn fail(headline: impl Into<String>, rule: &str, finding: Finding) -> Self {
        let mut judgement = Self::plain(Verdict::Fail, None, headline.into(), rule);
        judgement.next.push(finding.next.clone());
        judgement.findings.push(finding);
        judgement
    }

    pub(crate) fn inconclusive(cause: Cause, headline: impl Into<String>, rule: &str) -> Self {
        Self::plain(Verdict::Inconclusive, Some(cause), headline.into(), rule)
    }

    pub(crate) fn not_applicable(headline: impl Into<String>, rule: &str) -> Self {
        Self::plain(Verdict::NotApplicable, None, headline.into(), rule)
    }

    pub(crate) fn with_next(mut self, next: impl Into<String>) -> Self {
        self.next.push(next.into());
        self
    }

    pub(crate) fn with_measures(mut self, measures: Vec<Measure>) -> Self {
        self.measures = measures;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins() {
        use Verdict::{Fail, Inconclusive, NotApplicable, Pass, Waived};
        assert!(NotApplicable < Pass && Pass < Waived && Waived < Inconclusive);
        assert_eq!(Verdict::worst([Pass, Fail, Inconclusive]), Some(Fail));
        assert_eq!(Verdict::worst([]), None);
        assert_eq!(
            [NotApplicable, Pass, Waived, Inconclusive, Fail].map(Verdict::opens),
            [false, true, true, false, false]
        );
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        for (unit, value, shown) in [
            (Unit::Microseconds, 500_000, "500 ms"),
            (Unit::Microseconds, -1_500, "-1.5 ms"),
            (Unit::Ppm, 10_000, "1 %"),
            (Unit::Ppm, 1_234, "0.1234 %"),
            (Unit::BasisPoints, 25, "0.25 %"),
            (Unit::MilliPerSecond, 1_500, "1.5/s"),
            (Unit::Count, 7, "7"),
        ] {
            assert_eq!(unit.show(value), shown);
        }
    }

    #[test]
    fn values_are_read_in_their_unit_or_as_integers() {
        for (unit, text, value) in [
            (Unit::Microseconds, "900ms", Some(900_000)),
            (Unit::Microseconds, "900000", Some(900_000)),
            (Unit::Ppm, "2%", Some(20_000)),
            (Unit::BasisPoints, "2%", Some(200)),
            (Unit::MilliPerSecond, "1.5/s", Some(1_500)),
            (Unit::Count, "7", Some(7)),
            (Unit::Count, "7%", None),
            (Unit::Microseconds, "2%", None),
        ] {
            assert_eq!(unit.read(text), value, "{text}");
        }
    }
}
