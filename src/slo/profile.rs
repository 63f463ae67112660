//! Load profiles: how fast, for how long, over how many connections.

use std::collections::BTreeMap;

use super::manifest::Origin;
use super::raw::{RawProfile, RawStep};
use crate::base::units::{Micros, Rate};
use crate::base::yaml::{InputError, Spanned};

/// Most connections a profile may open.
const CONNECTIONS_MAX: u32 = 10_000;

/// A named load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) connections: u32,
    pub(crate) shape: Shape,
}

/// How requests are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shape {
    /// By a schedule, whatever the answers do. Never empty.
    Open(Vec<Segment>),
    /// The next request follows the last answer.
    Closed { duration: Micros },
}

/// A stretch at a constant rate (`from` equals `to`) or a linear ramp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: Rate,
    pub(crate) to: Rate,
    pub(crate) duration: Micros,
}

impl Profile {}

pub(super) fn resolve(
    raw: &BTreeMap<String, RawProfile>,
    rate_max: Rate,
    origin: &Origin<'_>,
) -> Result<BTreeMap<String, Profile>, InputError> {
    raw.iter()
        .map(|(name, profile)| Ok((name.clone(), resolve_one(name, profile, rate_max, origin)?)))
        .collect()
}

fn resolve_one(
    name: &str,
    raw: &RawProfile,
    rate_max: Rate,
    origin: &Origin<'_>,
) -> Result<Profile, InputError> {
    let connections = raw.connections.value;
    if !(1..=CONNECTIONS_MAX).contains(&connections) {
        let message = format!("{connections} connections are out of range");
        return Err(origin
            .error(&raw.connections, message)
            .suggest(format!("write 1 to {CONNECTIONS_MAX}")));
    }
    let shape = match (raw.closed, &raw.rate, &raw.duration, raw.steps.is_empty()) {
        (true, None, Some(duration), true) => {
            Shape::Closed { duration: positive(duration, origin)? }
        }
        (false, Some(rate), Some(duration), true) => {
            let rate = bounded(rate, rate_max, origin)?;
            let duration = positive(duration, origin)?;
            Shape::Open(vec![Segment { from: rate, to: rate, duration }])
        }
        (false, None, None, false) => Shape::Open(segments(&raw.steps, rate_max, origin)?),
        _ => {
            let message = format!("profile '{name}' does not say how fast and for how long");
            return Err(origin
                .error(&raw.connections, message)
                .suggest("write rate and duration, or steps, or closed: true and duration"));
        }
    };
    Ok(Profile { connections, shape })
}

fn segments(
    steps: &[Spanned<RawStep>],
    rate_max: Rate,
    origin: &Origin<'_>,
) -> Result<Vec<Segment>, InputError> {
    let mut before = Rate::default();
    let mut segments = Vec::new();
    for step in steps {
        let duration = positive(&step.value.duration, origin)?;
        let (from, to) = match (&step.value.rate, &step.value.ramp_to) {
            (Some(rate), None) => {
                let rate = bounded(rate, rate_max, origin)?;
                (rate, rate)
            }
            (None, Some(target)) => (before, bounded(target, rate_max, origin)?),
            _ => {
                return Err(origin
                    .error(step, "a step has either a rate or a ramp_to")
                    .suggest("write {rate: 100/s, for: 30s} or {ramp_to: 500/s, for: 10s}"));
            }
        };
        segments.push(Segment { from, to, duration });
        before = to;
    }
    Ok(segments)
}

fn positive(text: &Spanned<String>, origin: &Origin<'_>) -> Result<Micros, InputError> {
    let value: Micros = origin.parse(text)?;
    if value.0 == 0 {
        return Err(origin.error(text, "no time at all").suggest("write a time such as 30s"));
    }
    Ok(value)
}

fn bounded(
    text: &Spanned<String>,
    rate_max: Rate,
    origin: &Origin<'_>,
) -> Result<Rate, InputError> {
    let rate: Rate = origin.parse(text)?;
    if rate.milli_per_s == 0 {
        return Err(origin.error(text, "no request at all").suggest("write a rate such as 100/s"));
    }
    if rate > rate_max {
        let message = format!("{rate} is above the ceiling of {rate_max}");
        return Err(origin
            .error(text, message)
            .suggest(format!("write at most {rate_max}, or raise rate_max in this file")));
    }
    Ok(rate)
}
