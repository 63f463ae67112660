//! Whether a call is sent again, and when. Pure: the client sleeps.
//!
//! A wait that the server asks for comes before our own; one that does not fit in what is left of
//! the call's time ends the trying at once, so that the caller can say when it would be possible.

use std::time::Duration;

use serde::Deserialize;

use super::call::{HttpAnswer, HttpError, Repeat};
use crate::base::clock::{Entropy, Timestamp};
use crate::base::retry::RetryBudget;

/// The longest jitter on top of a wait that the server asked for.
const JITTER_MAX: Duration = Duration::from_secs(1);

/// The wait before the next try, or nothing when the outcome stands.
pub(super) fn wait(
    (repeat, failed): (Repeat, u32),
    outcome: &Result<HttpAnswer, HttpError>,
    left: Duration,
    (now, entropy): (Timestamp, &Entropy),
) -> Option<Duration> {
    let budget = match repeat {
        Repeat::Never => RetryBudget::NONE,
        Repeat::Unsent(budget) | Repeat::Safe(budget) => budget,
    };
    let is_safe = matches!(repeat, Repeat::Safe(_));
    let again = match outcome {
        Ok(answer) => match answer.status {
            429 => true,
            500 | 502 | 503 | 504 => is_safe,
            _ => false,
        },
        Err(HttpError::Connect { .. }) => true,
        Err(HttpError::Broken { .. }) => is_safe,
        Err(_) => false,
    };
    let own = budget.wait_after(failed, entropy).filter(|_| again)?;
    let asked = outcome.as_ref().ok().and_then(|answer| asked_wait(answer, now));
    let wait = asked.map_or(own, |asked| asked.saturating_add(jitter(asked, entropy)));
    (wait < left).then_some(wait)
}

/// So that many clients that were sent away together do not come back together.
fn jitter(asked: Duration, entropy: &Entropy) -> Duration {
    let bound = u64::try_from((asked / 10).min(JITTER_MAX).as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(entropy.below(bound.saturating_add(1)))
}

/// How long the server wants to be left alone: `Retry-After` in seconds or as a date, else
/// `error.limit.resetMs` of a JSON body. Dates are counted from the answer's own `Date`, so that a
/// wrong clock here changes nothing; without one, from `now`.
pub(crate) fn asked_wait(answer: &HttpAnswer, now: Timestamp) -> Option<Duration> {
    if !matches!(answer.status, 429 | 503) {
        return None;
    }
    let header = |name: &str| answer.headers.get(name).map(|value| value.trim());
    let now_ms = header("date").and_then(epoch_ms).unwrap_or(now.as_us() / 1_000);
    let until = |at_ms: i64| Duration::from_millis(u64::try_from(at_ms - now_ms).unwrap_or(0));
    let by_header = header("retry-after")
        .and_then(|text| text.parse().ok().map(Duration::from_secs).or(epoch_ms(text).map(until)));
    by_header.or_else(|| limit_reset_ms(&answer.body).map(until))
}

fn epoch_ms(date: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(date).ok()?;
    let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok()
}

#[derive(Deserialize)]
struct Limited {
    error: LimitedError,
}

#[derive(Deserialize)]
struct LimitedError {
    limit: Limit,
}

#[derive(Deserialize)]
struct Limit {
    #[serde(rename = "resetMs")]
    reset_ms: Option<i64>,
    reset: Option<i64>,
}

/// When a limit that the body names ends, in milliseconds since 1970.
fn limit_reset_ms(body: &[u8]) -> Option<i64> {
    let limited: Limited = serde_json::from_slice(body).ok()?;
    let limit = limited.error.limit;
    limit.reset_ms.or_else(|| limit.reset?.checked_mul(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> HttpAnswer {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        HttpAnswer {
            status,
            headers: headers.iter().map(own).collect(),
            body: body.as_bytes().to_vec(),
        }
    }

    const DATE: (&str, &str) = ("date", "Sat, 21 Nov 2026 10:00:00 GMT");
    /// A clock here that is an hour late.
    fn late() -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-21T09:00:00Z").unwrap()
    }

    #[test]
    fn the_wait_that_is_asked_for_is_read_in_every_form() {
        let reset = r#"{"error":{"code":"rate_limited","limit":{"reset":1795255230,"resetMs":1795255230500}}}"#;
        let seconds = r#"{"error":{"limit":{"reset":1795255230}}}"#;
        let date = ("retry-after", "Sat, 21 Nov 2026 10:00:07 GMT");
        for (status, headers, body, expected_ms) in [
            (429, vec![("retry-after", "3")], "", Some(3_000)),
            (503, vec![("retry-after", " 3 ")], "", Some(3_000)),
            (429, vec![date, DATE], "", Some(7_000)),
            (429, vec![date], "", Some(3_607_000)),
            (429, vec![("retry-after", "Sat, 21 Nov 2026 09:59:00 GMT"), DATE], "", Some(0)),
            (429, vec![DATE], reset, Some(30_500)),
            (429, vec![DATE], seconds, Some(30_000)),
            (429, vec![("retry-after", "soon")], "{}", None),
            (429, vec![("retry-after", "soon"), DATE], reset, Some(30_500)),
            (500, vec![("retry-after", "3")], "", None),
        ] {
            let asked = asked_wait(&answer(status, &headers, body), late());
            assert_eq!(asked.map(|d| d.as_millis()), expected_ms, "{headers:?} {body}");
        }
    }

    #[test]
    fn only_what_had_no_effect_or_is_safe_is_sent_again() {
        let budget = RetryBudget {
            tries: 2,
            first_wait: Duration::from_millis(5),
            wait_max: Duration::from_millis(5),
        };
        let cause = || ("h".to_owned(), "c".to_owned());
        let connect = || Err(HttpError::Connect { url: cause().0, cause: cause().1 });
        let broken = || Err(HttpError::Broken { url: cause().0, cause: cause().1 });
        let open = || Err(HttpError::Open { url: cause().0, failures: 5 });
        let status = |status| Ok(answer(status, &[], ""));
        for (outcome, unsent, safe) in [
            (connect(), true, true),
            (broken(), false, true),
            (open(), false, false),
            (status(429), true, true),
            (status(503), false, true),
            (status(500), false, true),
            (status(501), false, false),
            (status(409), false, false),
            (status(200), false, false),
        ] {
            let of = |repeat, failed| {
                let at = (late(), &Entropy::seeded(1));
                wait((repeat, failed), &outcome, Duration::from_secs(1), at).is_some()
            };
            assert_eq!(of(Repeat::Unsent(budget), 1), unsent, "{outcome:?}");
            assert_eq!(of(Repeat::Safe(budget), 1), safe, "{outcome:?}");
            assert!(!of(Repeat::Never, 1) && !of(Repeat::Safe(budget), 2), "{outcome:?}");
        }
    }

    /// A limit that ends in days is no reason to wait for days, or to ask again before.
    #[test]
    fn a_wait_longer_than_the_call_may_take_ends_the_trying() {
        let budget = RetryBudget { tries: 5, first_wait: JITTER_MAX, wait_max: JITTER_MAX };
        let of = |seconds: &str, left| {
            let limited = Ok(answer(429, &[("retry-after", seconds)], ""));
            let at = (late(), &Entropy::seeded(1));
            wait((Repeat::Safe(budget), 1), &limited, Duration::from_secs(left), at)
        };
        assert_eq!(of("604800", 10), None);
        let wait = of("2", 10).unwrap();
        assert!(wait >= Duration::from_secs(2) && wait <= Duration::from_millis(2_200), "{wait:?}");
        assert_eq!(of("2", 2), None);
    }
}
