//! What Prometheus answers, read strictly: NaN, infinity and an empty answer are no data, and never
//! a number. Pure.

use serde::Deserialize;

use crate::gate::verdict::Cause;
use crate::slo::telemetry::{Bucket, NoNumber};

#[derive(Debug, Deserialize)]
struct Envelope {
    status: String,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    data: Option<Answer>,
}

#[derive(Debug, Deserialize)]
struct Answer {
    #[serde(rename = "resultType")]
    kind: String,
    result: serde_json::Value,
}

/// A time in seconds and a number as text.
type Point = (f64, String);

#[derive(Debug, Deserialize)]
struct Series {
    #[serde(default)]
    metric: std::collections::BTreeMap<String, String>,
    value: Option<Point>,
    #[serde(default)]
    values: Vec<Point>,
}

/// The series of an answer with this HTTP status; a scalar is one series.
fn series(status: u16, body: &[u8]) -> Result<Vec<Series>, NoNumber> {
    if matches!(status, 401 | 403) {
        let detail = format!("access was denied ({status}): check the token");
        return Err(NoNumber { cause: Cause::Denied, detail });
    }
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|_| NoNumber::odd(format!("status {status} and not an answer of Prometheus")))?;
    if envelope.status != "success" {
        let kind = envelope.error_type.unwrap_or_default();
        let error: String = envelope.error.unwrap_or_default().chars().take(300).collect();
        let cause = if kind == "timeout" { Cause::Timeout } else { Cause::Unobserved };
        return Err(NoNumber { cause, detail: format!("{kind}: {error}") });
    }
    let answer = envelope.data.ok_or_else(|| NoNumber::odd("a success without data"))?;
    let wrong = |e: serde_json::Error| NoNumber::odd(format!("an answer that cannot be read: {e}"));
    match answer.kind.as_str() {
        "vector" | "matrix" => serde_json::from_value(answer.result).map_err(wrong),
        "scalar" => {
            let value = serde_json::from_value(answer.result).map_err(wrong)?;
            let metric = std::collections::BTreeMap::new();
            Ok(vec![Series { metric, value: Some(value), values: Vec::new() }])
        }
        other => Err(NoNumber::odd(format!("the query answers a {other}, not numbers"))),
    }
}

/// The count of an instant query that answers one number.
pub(super) fn count(status: u16, body: &[u8]) -> Result<u64, NoNumber> {
    let series = series(status, body)?;
    match series.as_slice() {
        [] => Err(NoNumber::none(
            "the query answers nothing; where nothing means zero, write `... or vector(0)`",
        )),
        [one] => one
            .value
            .as_ref()
            .ok_or_else(|| NoNumber::odd("a series without a value"))
            .and_then(|(_, text)| whole(text)),
        many => Err(NoNumber::odd(format!(
            "the query answers {} series; aggregate with sum(...)",
            many.len()
        ))),
    }
}

/// The cumulative buckets of an instant query by `le`.
pub(super) fn buckets(status: u16, body: &[u8]) -> Result<Vec<Bucket>, NoNumber> {
    let mut buckets = Vec::new();
    for one in series(status, body)? {
        let le = one
            .metric
            .get("le")
            .ok_or_else(|| NoNumber::odd("a series without `le`: sum by (le)"))?;
        let (_, text) =
            one.value.as_ref().ok_or_else(|| NoNumber::odd("a series without a value"))?;
        buckets.push(Bucket { le_us: edge(le)?, count: whole(text)? });
    }
    buckets.sort_by_key(|bucket| bucket.le_us.unwrap_or(u64::MAX));
    if buckets.windows(2).any(|pair| pair[0].le_us == pair[1].le_us) {
        return Err(NoNumber::odd("the query answers one bucket more than once; sum by (le)"));
    }
    let Some(last) = buckets.last() else {
        return Err(NoNumber::none("the query answers no bucket"));
    };
    if last.le_us.is_some() {
        return Err(NoNumber::none("the bucket le=\"+Inf\" is missing"));
    }
    // Extrapolation may leave a larger bucket with less: what is within a smaller is within it, too.
    let mut most = 0;
    for bucket in &mut buckets {
        most = bucket.count.max(most);
        bucket.count = most;
    }
    Ok(buckets)
}

/// At how many points a range query answers a number.
pub(super) fn points(status: u16, body: &[u8]) -> Result<u64, NoNumber> {
    let series = series(status, body)?;
    let most = series.iter().map(|one| one.values.iter().filter(|(_, v)| whole(v).is_ok()).count());
    Ok(most.max().map_or(0, |n| u64::try_from(n).unwrap_or(u64::MAX)))
}

/// `None` is infinity.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 9e15 by the test before"
)]
fn edge(le: &str) -> Result<Option<u64>, NoNumber> {
    match le.parse::<f64>() {
        Ok(seconds) if seconds.is_infinite() && seconds > 0.0 => Ok(None),
        Ok(seconds) if (0.0..9e9).contains(&seconds) => Ok(Some((seconds * 1e6).round() as u64)),
        _ => Err(NoNumber::odd(format!("le=\"{le}\" is not a number of seconds"))),
    }
}

/// Prometheus extrapolates: counts come with fractions.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 9e15 by the test before"
)]
fn whole(text: &str) -> Result<u64, NoNumber> {
    let shown: String = text.chars().take(40).collect();
    match text.parse::<f64>() {
        Ok(value) if (0.0..9e15).contains(&value) => Ok(value.round() as u64),
        Ok(value) if value.is_nan() => Err(NoNumber::none("the query answers NaN, such as 0 of 0")),
        Ok(_) => Err(NoNumber::none(format!("the query answers {shown}"))),
        Err(_) => Err(NoNumber::odd(format!("'{shown}' is not a number"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(samples: &str) -> Vec<u8> {
        format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{samples}]}}}}"#)
            .into_bytes()
    }

    #[test]
    fn a_number_or_the_reason_why_there_is_none() {
        let one = |value: &str| vector(&format!(r#"{{"metric":{{}},"value":[1.5,"{value}"]}}"#));
        for (status, body, expected) in [
            (200, one("41.6"), Ok(42)),
            (200, one("0"), Ok(0)),
            (200, one("NaN"), Err(Cause::NoData)),
            (200, one("+Inf"), Err(Cause::NoData)),
            (200, one("-1"), Err(Cause::NoData)),
            (200, one("much"), Err(Cause::Unobserved)),
            (200, vector(""), Err(Cause::NoData)),
            (
                200,
                vector(r#"{"metric":{"a":"1"},"value":[1,"1"]},{"metric":{},"value":[1,"1"]}"#),
                Err(Cause::Unobserved),
            ),
            (
                200,
                br#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#.to_vec(),
                Ok(7),
            ),
            (
                200,
                br#"{"status":"success","data":{"resultType":"string","result":[1,"7"]}}"#.to_vec(),
                Err(Cause::Unobserved),
            ),
            (401, Vec::new(), Err(Cause::Denied)),
            (200, b"<html>".to_vec(), Err(Cause::Unobserved)),
            (
                503,
                br#"{"status":"error","errorType":"timeout","error":"too slow"}"#.to_vec(),
                Err(Cause::Timeout),
            ),
            (
                400,
                br#"{"status":"error","errorType":"bad_data","error":"parse"}"#.to_vec(),
                Err(Cause::Unobserved),
            ),
        ] {
            let shown = String::from_utf8_lossy(&body).into_owned();
            assert_eq!(count(status, &body).map_err(|e| e.cause), expected, "{shown}");
        }
    }

    #[test]
    fn buckets_are_sorted_cumulative_and_complete() {
        let le = |le: &str, n: &str| format!(r#"{{"metric":{{"le":"{le}"}},"value":[1,"{n}"]}}"#);
        let all = [le("+Inf", "9.2"), le("0.25", "5"), le("0.5", "4.9")].join(",");
        let expected = [(Some(250_000), 5), (Some(500_000), 5), (None, 9)];
        let seen: Vec<_> =
            buckets(200, &vector(&all)).unwrap().iter().map(|b| (b.le_us, b.count)).collect();
        assert_eq!(seen, expected);
        for (samples, cause) in [
            (le("0.5", "4"), Cause::NoData),
            (String::new(), Cause::NoData),
            ([le("+Inf", "4"), le("+Inf", "4")].join(","), Cause::Unobserved),
            (r#"{"metric":{},"value":[1,"4"]}"#.to_owned(), Cause::Unobserved),
            ([le("+Inf", "NaN")].join(","), Cause::NoData),
        ] {
            assert_eq!(buckets(200, &vector(&samples)).unwrap_err().cause, cause, "{samples}");
        }
    }

    #[test]
    fn points_of_a_range_are_those_with_a_number() {
        let body = br#"{"status":"success","data":{"resultType":"matrix","result":[
            {"metric":{},"values":[[1,"1"],[2,"NaN"],[3,"0"]]}]}}"#;
        assert_eq!(points(200, body), Ok(2));
        assert_eq!(points(200, &vector("")), Ok(0));
    }
}
