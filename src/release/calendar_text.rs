//! A blackout window as people write it, read into days and times of its zone.

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::TimeZone;

use super::calendar::{Blackout, When};

/// A window as it was written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub(crate) reason: String,
    /// UTC unless said.
    pub(crate) zone: Option<String>,
    /// Days of every week, 1 for Monday; none for a window that happens once.
    pub(crate) days: Vec<i8>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<String>,
}

/// Which part of a window is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Zone,
    From,
    To,
}

/// What is wrong with a window, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) part: Part,
    pub(crate) text: String,
    pub(crate) right: &'static str,
}

impl Written {
    pub(crate) fn read(&self) -> Result<Blackout, Wrong> {
        let zone_name = self.zone.as_deref().unwrap_or("UTC");
        let zone = match zone_name {
            "UTC" => TimeZone::UTC,
            name => TimeZone::get(name).map_err(|_| Wrong {
                part: Part::Zone,
                text: format!("no time zone '{name}' is known here"),
                right: "write a name such as Europe/Berlin or UTC",
            })?,
        };
        let when = if self.days.is_empty() { self.once()? } else { self.weekly()? };
        let (reason, zone_name) = (self.reason.clone(), zone_name.to_owned());
        Ok(Blackout { reason, zone_name, zone, when })
    }

    fn weekly(&self) -> Result<When, Wrong> {
        let time = |part, text: &Option<String>| {
            text.as_ref().map_or(Ok(Time::midnight()), |text| time_of(part, text))
        };
        let days = self.days.iter().filter_map(|d| Weekday::from_monday_one_offset(*d).ok());
        let (from, to) = (time(Part::From, &self.from)?, time(Part::To, &self.to)?);
        Ok(When::Weekly { days: days.collect(), from, to })
    }

    fn once(&self) -> Result<When, Wrong> {
        let (Some(from), Some(to)) = (&self.from, &self.to) else {
            let text = "a blackout without days needs from and to".to_owned();
            return Err(Wrong {
                part: Part::Whole,
                text,
                right: "from: 2026-12-24, to: 2026-12-26",
            });
        };
        let (first, _) = moment(Part::From, from)?;
        let (last, is_day) = moment(Part::To, to)?;
        let end = if is_day { last.tomorrow().unwrap_or(last) } else { last };
        if end <= first {
            let text = format!("{to} is not after {from}");
            return Err(Wrong { part: Part::To, text, right: "the last day, or a later moment" });
        }
        Ok(When::Once { from: first, to: end })
    }
}

/// A local moment, and whether it was written as a day.
fn moment(part: Part, text: &str) -> Result<(DateTime, bool), Wrong> {
    if let Ok(day) = text.parse::<Date>()
        && !text.contains(['T', ':'])
    {
        return Ok((day.to_datetime(Time::midnight()), true));
    }
    // With an offset it would be another moment than the zone says.
    let has_offset = text.parse::<jiff::Timestamp>().is_ok();
    let local = text.parse::<DateTime>().ok().filter(|_| !has_offset);
    local.map(|local| (local, false)).ok_or_else(|| Wrong {
        part,
        text: format!("'{text}' is not a day or a local time"),
        right: "2026-12-24 or 2026-12-24T18:00, beside zone:",
    })
}

fn time_of(part: Part, text: &str) -> Result<Time, Wrong> {
    if text == "24:00" {
        return Ok(Time::midnight());
    }
    let parsed = text.parse::<Time>().ok().filter(|_| text.contains(':'));
    parsed.ok_or_else(|| Wrong {
        part,
        text: format!("'{text}' is not a time of day"),
        right: "\"16:00\", in quotes",
    })
}
