//! Integers with units. Judges compare these; floats appear only when printing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A text that is not a quantity, with what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not {what}; write {example}")]
pub(crate) struct UnitError {
    pub(crate) text: String,
    pub(crate) what: &'static str,
    pub(crate) example: &'static str,
}

/// A span of time in microseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub(crate) struct Micros(pub(crate) u64);

impl Micros {
    pub(crate) const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000))
    }

    pub(crate) const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    pub(crate) const fn duration(self) -> Duration {
        Duration::from_micros(self.0)
    }

    pub(crate) fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl FromStr for Micros {
    type Err = UnitError;

    /// Reads `250us`, `500ms`, `1.5s`, `10m`, `2h`, `7d`. A number without a unit is an error.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            text: text.to_owned(),
            what: "a duration",
            example: "a number and a unit: 250us, 500ms, 1.5s, 10m, 2h or 7d",
        };
        let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(error)?;
        let (number, unit) = text.split_at(split);
        let scale: u64 = match unit.trim() {
            "us" | "µs" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" | "min" => 60_000_000,
            "h" => 3_600_000_000,
            "d" => 86_400_000_000,
            _ => return Err(error()),
        };
        decimal(number, scale).map(Self).ok_or_else(error)
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s")];
        if let Some((scale, unit)) =
            UNITS.iter().find(|(s, _)| self.0 >= *s && self.0.is_multiple_of(*s))
        {
            return write!(f, "{} {unit}", self.0 / scale);
        }
        match self.0 {
            us @ 0..1_000 => write!(f, "{us} us"),
            us @ 1_000..1_000_000 => scaled(f, us, 1_000, "ms"),
            us => scaled(f, us, 1_000_000, "s"),
        }
    }
}

/// A ratio in hundredths of a percent: 10,000 is all of it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub(crate) struct BasisPoints(pub(crate) u32);

#[cfg(test)]
impl BasisPoints {
    pub(crate) const ALL: Self = Self(10_000);
}

impl FromStr for BasisPoints {
    type Err = UnitError;

    /// Reads `1%`, `0.25%`, `99.95%`: from 0 % to 100 %, in steps of 0.01 %.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            text: text.to_owned(),
            what: "a percentage from 0% to 100% in steps of 0.01%",
            example: "a number and %: 1%, 0.25% or 99.95%",
        };
        let number = text.strip_suffix('%').ok_or_else(error)?.trim_end();
        let value = decimal(number, 100).and_then(|v| u32::try_from(v).ok()).ok_or_else(error)?;
        if value > 10_000 { Err(error()) } else { Ok(Self(value)) }
    }
}

impl fmt::Display for BasisPoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        scaled(f, u64::from(self.0), 100, "%")
    }
}

/// The share of traffic a version gets, in steps of 0.01 %; never above all of it.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    Default,
    JsonSchema,
)]
#[serde(try_from = "u32", into = "u32")]
pub(crate) struct Weight(u16);

impl Weight {
    pub(crate) const ZERO: Self = Self(0);
    pub(crate) const FULL: Self = Self(10_000);

    pub(crate) fn from_basis_points(value: u32) -> Result<Self, UnitError> {
        u16::try_from(value).ok().filter(|w| *w <= 10_000).map(Self).ok_or_else(|| UnitError {
            text: value.to_string(),
            what: "a weight in basis points",
            example: "0 to 10000",
        })
    }

    pub(crate) const fn basis_points(self) -> u16 {
        self.0
    }
}

impl TryFrom<u32> for Weight {
    type Error = UnitError;
    fn try_from(value: u32) -> Result<Self, UnitError> {
        Self::from_basis_points(value)
    }
}

impl From<Weight> for u32 {
    fn from(weight: Weight) -> u32 {
        u32::from(weight.0)
    }
}

impl FromStr for Weight {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Self, UnitError> {
        text.parse::<BasisPoints>().and_then(|bp| Self::from_basis_points(bp.0))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        BasisPoints(u32::from(self.0)).fmt(f)
    }
}

/// A rate in thousandths of an event per second.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub(crate) struct Rate {
    pub(crate) milli_per_s: u64,
}

impl Rate {
    pub(crate) const fn per_second(count: u64) -> Self {
        Self { milli_per_s: count.saturating_mul(1_000) }
    }

    /// The rate of `count` events in `span`; zero for an empty span.
    pub(crate) fn of(count: u64, span: Micros) -> Self {
        if span.0 == 0 {
            return Self::default();
        }
        let milli = u128::from(count) * 1_000_000_000 / u128::from(span.0);
        Self { milli_per_s: u64::try_from(milli).unwrap_or(u64::MAX) }
    }
}

impl FromStr for Rate {
    type Err = UnitError;

    /// Reads `100/s`, `0.5/s`, `30/m`, `1000/h`.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let error = || UnitError {
            text: text.to_owned(),
            what: "a rate",
            example: "a number per second, minute or hour: 100/s, 0.5/s, 30/m, 1000/h",
        };
        let (number, unit) = text.split_once('/').ok_or_else(error)?;
        let divisor = match unit.trim() {
            "s" | "sec" => 1,
            "m" | "min" => 60,
            "h" => 3_600,
            _ => return Err(error()),
        };
        let milli = decimal(number.trim(), 1_000).ok_or_else(error)?;
        Ok(Self { milli_per_s: milli / divisor })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = self.milli_per_s.saturating_add(5) / 10;
        match (hundredths / 100, hundredths % 100) {
            (whole, 0) => write!(f, "{whole}/s"),
            (whole, rest) if rest.is_multiple_of(10) => write!(f, "{whole}.{}/s", rest / 10),
            (whole, rest) => write!(f, "{whole}.{rest:02}/s"),
        }
    }
}

/// `number` (digits, at most one point) times `scale`, exactly; nothing when it does not fit.
fn decimal(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || (number.contains('.') && !digits(fraction)) || fraction.len() > 12 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let tenth = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let scaled = fraction.checked_mul(u128::from(scale))?;
    if !scaled.is_multiple_of(tenth) {
        return None;
    }
    let total = whole.checked_mul(u128::from(scale))?.checked_add(scaled / tenth)?;
    u64::try_from(total).ok()
}

/// `value / scale` with up to two decimals, trailing zeros cut.
fn scaled(f: &mut fmt::Formatter<'_>, value: u64, scale: u64, unit: &str) -> fmt::Result {
    let hundredths = (u128::from(value) * 100 + u128::from(scale / 2)) / u128::from(scale);
    match (hundredths / 100, hundredths % 100) {
        (whole, 0) => write!(f, "{whole} {unit}"),
        (whole, rest) if rest.is_multiple_of(10) => write!(f, "{whole}.{} {unit}", rest / 10),
        (whole, rest) => write!(f, "{whole}.{rest:02} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, us, shown) in [
            ("500ms", 500_000, "500 ms"),
            ("1.5s", 1_500_000, "1.5 s"),
            ("10m", 600_000_000, "10 m"),
            ("250us", 250, "250 us"),
            ("7d", 604_800_000_000, "168 h"),
            ("1.234ms", 1_234, "1.23 ms"),
        ] {
            let parsed: Micros = text.parse().unwrap();
            assert_eq!((parsed.0, parsed.to_string().as_str()), (us, shown), "{text}");
        }
        for bad in ["500", "ms", "5 parsecs", "-1s", "1.2.3s", "1e3s", "", "99999999999999999999s"]
        {
            assert!(bad.parse::<Micros>().is_err(), "{bad}");
        }
    }

    #[test]
    fn percentages_and_weights() {
        assert_eq!("0.25%".parse(), Ok(BasisPoints(25)));
        assert_eq!("100%".parse(), Ok(BasisPoints::ALL));
        assert_eq!(BasisPoints(1).to_string(), "0.01 %");
        for bad in ["101%", "1", "0.001%", "%", "-1%"] {
            assert!(bad.parse::<BasisPoints>().is_err(), "{bad}");
        }
        assert!(Weight::from_basis_points(10_001).is_err());
        assert!(serde_json::from_str::<Weight>("10001").is_err());
    }

    #[test]
    fn rates() {
        assert_eq!("100/s".parse(), Ok(Rate::per_second(100)));
        assert_eq!("0.5/s".parse(), Ok(Rate { milli_per_s: 500 }));
        assert_eq!("30/m".parse(), Ok(Rate { milli_per_s: 500 }));
        assert_eq!(Rate::of(2_000, Micros::from_secs(20)), Rate::per_second(100));
        assert_eq!(Rate { milli_per_s: 1_500 }.to_string(), "1.5/s");
        assert!("100".parse::<Rate>().is_err());
    }
}
