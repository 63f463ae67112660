//! Error budgets: how much of what may fail has failed, how fast it burns, and when it runs out.
//!
//! An objective such as `uptime > 99.9% over 30d` allows one request in a thousand to fail over its
//! window. Burn rates over several windows follow the Site Reliability Workbook (B. Beyer et al.,
//! 2018), chapter 5: a rate of 1 spends the budget exactly in the window; an alert fires when both a
//! long window and one a twelfth as long burn faster than its threshold. Pure integers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objective::{Limit, Metric, Objective};
use super::telemetry::{Observed, WindowSeen};
use crate::base::units::Micros;

const HOUR: u64 = 3_600_000_000;
/// Long windows with the share of the budget, in basis points, that must not burn within them.
const ALERTS: [(u64, u64, Severity); 4] = [
    (HOUR, 200, Severity::Page),
    (6 * HOUR, 500, Severity::Page),
    (24 * HOUR, 1_000, Severity::Ticket),
    (72 * HOUR, 1_000, Severity::Ticket),
];
/// The long window whose burn rate says when the budget runs out.
const FORECAST: u64 = 6 * HOUR;

/// Who has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// A person, now.
    Page,
    /// A person, on a working day.
    Ticket,
}

/// A pair of windows that burn faster than `threshold_milli` thousandths together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BurnAlert {
    pub(crate) long: Micros,
    pub(crate) short: Micros,
    pub(crate) threshold_milli: u64,
    pub(crate) severity: Severity,
}

/// The alerts of a budget over `period`. Windows in which the budget cannot burn too fast, because
/// the period is hardly longer, are left out.
pub(crate) fn alerts(period: Micros) -> Vec<BurnAlert> {
    ALERTS
        .into_iter()
        .map(|(long, share_bp, severity)| BurnAlert {
            long: Micros(long),
            short: Micros(long / 12),
            threshold_milli: share_bp.saturating_mul(period.0) / long / 10,
            severity,
        })
        .filter(|alert| alert.threshold_milli >= 1_000)
        .collect()
}

/// The share of requests that may fail, in ppm, and over what time; for objectives with a window.
pub(crate) fn budget_of(objective: &Objective) -> Option<(u32, Micros)> {
    match (objective.metric(), objective.limit()) {
        (Metric::Uptime { window }, Limit::Ratio(limit)) if limit.0 < 10_000 => {
            Some(((10_000 - limit.0) * 100, window))
        }
        _ => None,
    }
}

/// What is left of one budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Standing {
    pub(crate) scope: String,
    pub(crate) objective: Objective,
    pub(crate) window_us: u64,
    /// How much of the window the source has data for.
    pub(crate) covered_us: u64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// How many of these requests may fail.
    pub(crate) allowed: u64,
    /// Of the budget; over a million when more failed than may.
    pub(crate) spent_ppm: u64,
    /// Of the budget; negative when it is overspent.
    pub(crate) left_ppm: i64,
    pub(crate) burns: Vec<Burn>,
    /// From now, at the rate of the last hours; absent when it does not run out at that rate.
    pub(crate) runs_out_in_us: Option<u64>,
}

/// How fast the budget burns over a pair of windows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Burn {
    pub(crate) window_us: u64,
    /// Thousandths: 1,000 spends the budget exactly in its window. Absent without data.
    pub(crate) rate_milli: Option<u64>,
    pub(crate) short_window_us: u64,
    pub(crate) short_rate_milli: Option<u64>,
    pub(crate) threshold_milli: u64,
    pub(crate) severity: Severity,
    /// Both rates are above the threshold.
    pub(crate) fires: bool,
}

/// Where a budget stands; `None` when nothing is known of its window.
pub(crate) fn standing(scope: &str, objective: Objective, seen: &Observed) -> Option<Standing> {
    let (allowed_ppm, period) = budget_of(&objective)?;
    let whole = seen.window(scope, period)?;
    let (requests, failed) = whole.counts()?;
    let budget = u128::from(requests) * u128::from(allowed_ppm);
    let spent = u128::from(failed) * 1_000_000 * 1_000_000 / budget;
    let spent_ppm = u64::try_from(spent).unwrap_or(u64::MAX);
    let left_ppm = 1_000_000_i64.saturating_sub(i64::try_from(spent_ppm).unwrap_or(i64::MAX));
    let rate = |window: Micros| {
        let of = seen.window(scope, window).and_then(WindowSeen::counts);
        of.map(|counts| rate_milli(counts, allowed_ppm))
    };
    let burns: Vec<Burn> = alerts(period)
        .into_iter()
        .map(|alert| {
            let (long, short) = (rate(alert.long), rate(alert.short));
            let above = |rate: Option<u64>| rate.is_some_and(|r| r > alert.threshold_milli);
            Burn {
                window_us: alert.long.0,
                rate_milli: long,
                short_window_us: alert.short.0,
                short_rate_milli: short,
                threshold_milli: alert.threshold_milli,
                severity: alert.severity,
                fires: above(long) && above(short),
            }
        })
        .collect();
    let forecast = burns
        .iter()
        .find(|burn| burn.window_us == FORECAST)
        .or(burns.first())
        .and_then(|burn| burn.rate_milli);
    Some(Standing {
        scope: scope.to_owned(),
        objective,
        window_us: period.0,
        covered_us: whole.covered_us,
        requests,
        failed,
        allowed: u64::try_from(budget / 1_000_000).unwrap_or(u64::MAX),
        spent_ppm,
        left_ppm,
        runs_out_in_us: forecast.and_then(|rate| runs_out(left_ppm, rate, period)),
        burns,
    })
}

/// (failed / requests) / allowed, in thousandths.
fn rate_milli((requests, failed): (u64, u64), allowed_ppm: u32) -> u64 {
    let rate = u128::from(failed) * 1_000_000 * 1_000
        / (u128::from(requests) * u128::from(allowed_ppm)).max(1);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// A window slides: at a rate of 1 or less as much is forgotten as is spent.
fn runs_out(left_ppm: i64, rate_milli: u64, period: Micros) -> Option<u64> {
    let Ok(left) = u64::try_from(left_ppm) else { return Some(0) };
    (rate_milli > 1_000).then(|| {
        let time = u128::from(left) * u128::from(period.0) / 1_000 / u128::from(rate_milli);
        u64::try_from(time).unwrap_or(u64::MAX)
    })
}

/// Every window that a standing needs.
pub(crate) fn windows(period: Micros) -> Vec<Micros> {
    let pairs = alerts(period).into_iter().flat_map(|alert| [alert.long, alert.short]);
    std::iter::once(period).chain(pairs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workbook's table for thirty days (its 3 for one day as Sloth and Pyrra have it).
    #[test]
    fn thresholds_are_those_of_the_workbook() {
        let rows = |days: u64| -> Vec<(u64, u64, u64)> {
            alerts(Micros(days * 24 * HOUR))
                .iter()
                .map(|a| (a.long.0 / HOUR, a.short.0 / 60_000_000, a.threshold_milli))
                .collect()
        };
        let month = [(1, 5, 14_400), (6, 30, 6_000), (24, 120, 3_000), (72, 360, 1_000)];
        assert_eq!(rows(30), month);
        assert_eq!(rows(7), [(1, 5, 3_360), (6, 30, 1_400)]);
        assert_eq!(rows(1), []);
    }

    fn seen(counts: &[(u64, u64, u64)]) -> Observed {
        let window = |(hours, requests, errors): &(u64, u64, u64)| WindowSeen {
            scope: "all".to_owned(),
            window_us: hours * HOUR,
            covered_us: hours * HOUR,
            requests: Some(*requests),
            errors: Some(*errors),
            ..WindowSeen::default()
        };
        Observed::new("prom", counts.iter().map(window).collect())
    }

    #[test]
    fn spent_left_and_when_it_runs_out() {
        let objective: Objective = "uptime > 99.9% over 30d".parse().unwrap();
        let month = 30 * 24;
        for (failed, recent, spent, left, runs_out) in [
            (0, 0, 0, 1_000_000, None),
            (500, 1, 500_000, 500_000, None),
            // Twice as fast as the budget lasts: half of it is gone in 7.5 days.
            (500, 2, 500_000, 500_000, Some(180 * HOUR)),
            (1_000, 2, 1_000_000, 0, Some(0)),
            (1_001, 0, 1_001_000, -1_000, Some(0)),
        ] {
            let seen = seen(&[(month, 1_000_000, failed), (6, 1_000, recent)]);
            let standing = standing("all", objective, &seen).unwrap();
            assert_eq!(standing.allowed, 1_000);
            let got = (standing.spent_ppm, standing.left_ppm);
            assert_eq!(got, (spent, left), "{failed}");
            assert_eq!(standing.runs_out_in_us, runs_out, "{failed}");
        }
        assert_eq!(standing("all", objective, &seen(&[(month, 0, 0)])), None);
        assert_eq!(standing("all", objective, &seen(&[(6, 10, 0)])), None);
    }

    #[test]
    fn an_alert_needs_both_windows_above_its_threshold() {
        let objective: Objective = "uptime > 99% over 30d".parse().unwrap();
        let month = (30 * 24, 100_000, 10);
        let fires = |long: u64, short: u64| {
            let mut observed = seen(&[month, (1, 1_000, long)]);
            observed.windows.push(WindowSeen {
                window_us: HOUR / 12,
                requests: Some(1_000),
                errors: Some(short),
                ..observed.windows[0].clone()
            });
            standing("all", objective, &observed).unwrap().burns[0].fires
        };
        assert!(fires(145, 145));
        assert!(!fires(144, 145), "equal to the threshold is not above it");
        assert!(!fires(145, 144));
        assert!(!fires(10, 900));
    }
}
