//! `release.blackouts` of `orca.yaml`: days or hours in which nothing is released.

use schemars::JsonSchema;
use serde::Deserialize;

use super::resolve::Source;
use crate::base::yaml::{InputError, Spanned};
use crate::release::calendar::Blackout;
use crate::release::calendar_text::{Part, Written};

/// A blackout window: `{from: 2026-12-24, to: 2026-12-26, zone: Europe/Berlin, reason: holidays}`,
/// or every week `{days: [fri], from: "16:00", zone: Europe/Berlin, reason: no Friday evenings}`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawBlackout {
    /// What people are told.
    reason: String,
    /// A name such as Europe/Berlin; `UTC` unless said.
    #[schemars(with = "Option<String>")]
    zone: Option<Spanned<String>>,
    /// The days of every week on which it begins: mon, tue, wed, thu, fri, sat, sun. Without them
    /// it happens once.
    #[serde(default)]
    days: Vec<RawDay>,
    /// The first day or moment; with `days` a time of day, `00:00` unless said.
    #[schemars(with = "Option<String>")]
    from: Option<Spanned<String>>,
    /// The last day, all of it, or the moment it ends; with `days` a time of day, midnight unless
    /// said.
    #[schemars(with = "Option<String>")]
    to: Option<Spanned<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum RawDay {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl RawDay {
    /// 1 is Monday.
    const fn number(self) -> i8 {
        match self {
            Self::Mon => 1,
            Self::Tue => 2,
            Self::Wed => 3,
            Self::Thu => 4,
            Self::Fri => 5,
            Self::Sat => 6,
            Self::Sun => 7,
        }
    }
}

fn resolve(raw: &Spanned<RawBlackout>, source: &Source<'_>) -> Result<Blackout, InputError> {
    let window = &raw.value;
    let text = |written: &Option<Spanned<String>>| written.as_ref().map(|text| text.value.clone());
    let written = Written {
        reason: window.reason.clone(),
        zone: text(&window.zone),
        days: window.days.iter().map(|day| day.number()).collect(),
        from: text(&window.from),
        to: text(&window.to),
    };
    written.read().map_err(|wrong| {
        let part = match wrong.part {
            Part::Zone => window.zone.as_ref(),
            Part::From => window.from.as_ref(),
            Part::To => window.to.as_ref(),
            Part::Whole => None,
        };
        let error = part.map_or_else(
            || source.error(raw, wrong.text.clone()),
            |at| source.error(at, wrong.text.clone()),
        );
        error.suggest(wrong.right)
    })
}

/// Every window of the configuration.
pub(super) fn resolve_all(
    raw: &[Spanned<RawBlackout>],
    source: &Source<'_>,
) -> Result<Vec<Blackout>, InputError> {
    raw.iter().map(|window| resolve(window, source)).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::cli::config::resolve::parse;
    use crate::cli::env::Env;

    fn windows(yaml: &str) -> Result<Vec<String>, String> {
        let text = format!("version: 1\nrelease:\n  blackouts:\n    - {yaml}\n");
        parse(&text, Path::new("orca.yaml"), &Env::default())
            .map(|config| config.release.blackouts.iter().map(ToString::to_string).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn windows_are_read_as_people_write_them() {
        for (yaml, window) in [
            (
                "{reason: r, from: 2026-12-24, to: 2026-12-26, zone: Europe/Berlin}",
                "r: 2026-12-24T00:00:00 to 2026-12-27T00:00:00 Europe/Berlin",
            ),
            (
                "{reason: r, from: 2026-12-24T18:00, to: 2026-12-25T06:00}",
                "r: 2026-12-24T18:00:00 to 2026-12-25T06:00:00 UTC",
            ),
            (
                "{reason: r, days: [fri, sat], from: \"16:00\"}",
                "r: Friday, Saturday from 16:00:00 to 00:00:00 UTC",
            ),
        ] {
            assert_eq!(windows(yaml), Ok(vec![window.to_owned()]));
        }
    }

    #[test]
    fn wrong_windows_are_named_with_what_would_be_right() {
        for (yaml, said) in [
            ("{reason: r}", "needs from and to"),
            ("{reason: r, from: 2026-12-24, to: 2026-12-20}", "2026-12-20 is not after 2026-12-24"),
            ("{reason: r, from: yule, to: 2026-12-20}", "'yule' is not a day or a local time"),
            ("{reason: r, from: 2026-12-24T00:00Z, to: 2026-12-26}", "not a day or a local time"),
            ("{reason: r, days: [fri], from: 4pm}", "'4pm' is not a time of day"),
            ("{reason: r, days: [fri], zone: Mars/Base}", "no time zone 'Mars/Base'"),
            ("{reason: r, days: [friday]}", "friday"),
        ] {
            let error = windows(yaml).unwrap_err();
            assert!(error.contains(said) && error.contains("orca.yaml:4"), "{yaml}: {error}");
        }
    }
}
