//! `release.calendar`: nobody gets more of a new version inside a blackout window. Windows are in
//! the local time of a zone, once or every week; going back never asks the calendar.

use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::base::clock::{Clock, Timestamp};
use crate::base::digest::Digest;
use crate::base::ids::CheckId;
use crate::gate::check::{Check, Look, RuleId, Unseen};
use crate::gate::verdict::{Finding, Judgement, Unit};

/// The check's id, which an override names.
pub(crate) const ID: &str = "release.calendar";
const RULE_TEXT: &str = "release.calendar v1: not inside a blackout window";

/// A time in which nothing is released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blackout {
    pub(crate) reason: String,
    /// The name of the zone as it was written.
    pub(crate) zone_name: String,
    pub(crate) zone: TimeZone,
    pub(crate) when: When,
}

/// From a beginning, which belongs to it, to an end, which does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum When {
    Once {
        from: DateTime,
        to: DateTime,
    },
    /// On each of these days; an end at or before the beginning is on the next day.
    Weekly {
        days: Vec<Weekday>,
        from: Time,
        to: Time,
    },
}

impl Blackout {
    /// When this window ends, if `at` is inside it.
    fn until(&self, at: Timestamp) -> Option<Timestamp> {
        let instant = jiff::Timestamp::from_microsecond(at.as_us()).ok()?;
        let zoned = instant.to_zoned(self.zone.clone());
        let today = zoned.date();
        let candidates = match &self.when {
            When::Once { from, to } => vec![(*from, *to)],
            When::Weekly { days, from, to } => [today.yesterday().ok(), Some(today)]
                .into_iter()
                .flatten()
                .filter(|day| days.contains(&day.weekday()))
                .filter_map(|day| span(day, *from, *to))
                .collect(),
        };
        let instant_of = |local: DateTime| local.to_zoned(self.zone.clone()).map(|z| z.timestamp());
        candidates.into_iter().find_map(|(from, to)| {
            let (from, to) = (instant_of(from).ok()?, instant_of(to).ok()?);
            (from <= instant && instant < to).then(|| Timestamp::from_us(to.as_microsecond()))
        })
    }

    /// What an override names: this window and no other.
    fn fingerprint(&self) -> String {
        let hex: String = Digest::of(self.to_string().as_bytes()).hex().chars().take(16).collect();
        format!("blackout:{hex}")
    }
}

/// The window of a week that begins on `day`.
fn span(day: Date, from: Time, to: Time) -> Option<(DateTime, DateTime)> {
    let end = if to <= from { day.tomorrow().ok()? } else { day };
    Some((day.to_datetime(from), end.to_datetime(to)))
}

impl fmt::Display for Blackout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.when {
            When::Once { from, to } => write!(f, "{}: {from} to {to}", self.reason)?,
            When::Weekly { days, from, to } => {
                let days: Vec<String> = days.iter().map(|day| format!("{day:?}")).collect();
                write!(f, "{}: {} from {from} to {to}", self.reason, days.join(", "))?;
            }
        }
        write!(f, " {}", self.zone_name)
    }
}

/// Asks the calendar.
#[derive(Debug, Clone)]
pub(crate) struct CalendarCheck {
    pub(crate) blackouts: Vec<Blackout>,
    pub(crate) clock: Clock,
}

/// The windows, as people read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    blackouts: Vec<String>,
}

/// The windows around one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Seen {
    at: Timestamp,
    inside: Vec<Inside>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inside {
    fingerprint: String,
    /// The window, as people read it.
    window: String,
    until: Timestamp,
}

impl CalendarCheck {
    fn seen(&self, at: Timestamp) -> Seen {
        let inside = self.blackouts.iter().filter_map(|blackout| {
            let until = blackout.until(at)?;
            let (fingerprint, window) = (blackout.fingerprint(), blackout.to_string());
            Some(Inside { fingerprint, window, until })
        });
        Seen { at, inside: inside.collect() }
    }
}

impl Check for CalendarCheck {
    type Policy = Policy;
    type Seen = Seen;
    const RULE: RuleId = RuleId { name: ID, version: 1 };

    fn id(&self) -> CheckId {
        CheckId::new(ID).expect("a constant id")
    }

    fn policy(&self) -> Policy {
        Policy { blackouts: self.blackouts.iter().map(ToString::to_string).collect() }
    }

    async fn observe(&self, _: &Look) -> Result<Seen, Unseen> {
        Ok(self.seen(self.clock.now()))
    }

    fn judge(policy: &Policy, seen: &Seen) -> Judgement {
        let Some(last) = seen.inside.iter().max_by_key(|inside| inside.until) else {
            let count = policy.blackouts.len();
            let text = format!("{} is in none of {count} blackout windows", seen.at.rfc3339());
            return Judgement::pass(text, RULE_TEXT);
        };
        let findings: Vec<Finding> = seen.inside.iter().map(finding).collect();
        let text = format!("a blackout lasts until {}: {}", last.until.rfc3339(), last.window);
        let mut judgement = Judgement::fail(text, RULE_TEXT, findings[0].clone());
        judgement.findings = findings;
        judgement
    }
}

fn finding(inside: &Inside) -> Finding {
    let Inside { fingerprint, window, until } = inside;
    let until = until.rfc3339();
    Finding {
        fingerprint: fingerprint.clone(),
        title: format!("inside the blackout {window}"),
        place: Some("orca.yaml".to_owned()),
        value: 1,
        unit: Unit::Count,
        next: format!(
            "wait until {until}; or override it: --force {ID} --finding {fingerprint} --worst 1 \
             --until {until} --reason R"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::verdict::Verdict;

    fn once(from: &str, to: &str, zone: &str) -> Blackout {
        let when = When::Once { from: from.parse().unwrap(), to: to.parse().unwrap() };
        blackout(when, zone)
    }

    fn weekly(days: &[Weekday], from: &str, to: &str, zone: &str) -> Blackout {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        blackout(When::Weekly { days: days.to_vec(), from, to }, zone)
    }

    fn blackout(when: When, zone: &str) -> Blackout {
        let (reason, zone_name) = ("quiet".to_owned(), zone.to_owned());
        Blackout { reason, zone_name, zone: TimeZone::get(zone).unwrap(), when }
    }

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    #[test]
    fn windows_begin_and_end_in_their_zone() {
        let holidays = once("2026-12-24T00:00", "2026-12-27T00:00", "Europe/Berlin");
        let friday = weekly(&[Weekday::Friday], "16:00", "00:00", "Europe/Berlin");
        let night = weekly(&[Weekday::Saturday], "22:00", "06:00", "UTC");
        // The clock goes back at 01:00 UTC on 25 October 2026: that day has 25 hours.
        let sunday = weekly(&[Weekday::Sunday], "00:00", "00:00", "Europe/Berlin");
        for (window, moment, until) in [
            (&holidays, "2026-12-23T22:59:59Z", None),
            (&holidays, "2026-12-23T23:00:00Z", Some("2026-12-26T23:00:00Z")),
            (&holidays, "2026-12-26T22:59:59Z", Some("2026-12-26T23:00:00Z")),
            (&holidays, "2026-12-26T23:00:00Z", None),
            (&friday, "2026-11-20T14:59:59Z", None),
            (&friday, "2026-11-20T15:00:00Z", Some("2026-11-20T23:00:00Z")),
            (&friday, "2026-11-21T15:00:00Z", None),
            (&night, "2026-11-22T05:59:59Z", Some("2026-11-22T06:00:00Z")),
            (&night, "2026-11-22T22:30:00Z", None),
            (&sunday, "2026-10-24T22:00:00Z", Some("2026-10-25T23:00:00Z")),
            (&sunday, "2026-10-25T22:59:59Z", Some("2026-10-25T23:00:00Z")),
        ] {
            assert_eq!(window.until(at(moment)), until.map(at), "{window} at {moment}");
        }
    }

    #[test]
    fn the_longest_window_is_named_and_each_can_be_overridden() {
        let check = CalendarCheck {
            blackouts: vec![
                once("2026-12-24T00:00", "2026-12-27T00:00", "UTC"),
                weekly(&[Weekday::Friday], "12:00", "20:00", "UTC"),
            ],
            clock: Clock::System,
        };
        let judged = |moment| CalendarCheck::judge(&check.policy(), &check.seen(at(moment)));
        assert_eq!(judged("2026-12-23T00:00:00Z").verdict, Verdict::Pass);
        let closed = judged("2026-12-25T13:00:00Z");
        assert_eq!((closed.verdict, closed.findings.len()), (Verdict::Fail, 2));
        assert!(closed.headline.contains("until 2026-12-27T00:00:00Z"), "{}", closed.headline);
        assert_ne!(closed.findings[0].fingerprint, closed.findings[1].fingerprint);
    }
}
