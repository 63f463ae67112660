//! What a right answer looks like: its status, headers, a text in its body, values in its JSON.
//! Without expectations nothing of an answer is kept.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::recorder::Failure;
use crate::base::json_path::JsonPath;

/// How much of a body is looked at, in bytes.
pub(crate) const SEEN_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Expectations of one endpoint; all must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Expect {
    /// Any of these; 200 to 399 when empty.
    pub(crate) status: Vec<RangeInclusive<u16>>,
    /// Name and a text that the value contains.
    pub(crate) headers: Vec<(String, String)>,
    /// Texts that the body contains.
    pub(crate) body: Vec<String>,
    pub(crate) json: Vec<(JsonPath, Value)>,
}

/// What was kept of an answer to look at.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Header lines, each with its line end.
    pub(crate) head: Vec<u8>,
    pub(crate) body: Vec<u8>,
    /// The body is longer than what was kept of it.
    is_cut: bool,
}

impl Seen {
    pub(crate) fn clear(&mut self) {
        self.head.clear();
        self.body.clear();
        self.is_cut = false;
    }

    pub(crate) fn add_body(&mut self, bytes: &[u8]) {
        let room = SEEN_BODY_BYTES_MAX.saturating_sub(self.body.len());
        self.is_cut |= room < bytes.len();
        self.body.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    fn header(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.head.split(|byte| *byte == b'\n').filter_map(move |line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let (own, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            own.eq_ignore_ascii_case(name.as_bytes()).then_some(value)
        })
    }
}

impl Expect {
    /// Whether head or body must be kept.
    pub(crate) fn looks_inside(&self) -> bool {
        !(self.headers.is_empty() && self.body.is_empty() && self.json.is_empty())
    }

    /// What is wrong with an answer, if anything.
    pub(crate) fn failure(&self, status: u16, seen: &Seen) -> Option<Failure> {
        let is_asked_for = self.status.iter().any(|range| range.contains(&status));
        let of_status = Failure::of_status(status).filter(|_| !is_asked_for);
        // An error of the service is one whatever was expected.
        if of_status == Some(Failure::Status5xx) {
            return of_status;
        }
        let is_another = !self.status.is_empty() && !is_asked_for;
        if is_another || !self.holds_in_head(seen) {
            return Some(Failure::Assertion);
        }
        if self.holds_in_body(seen) {
            return of_status;
        }
        // What was asked for may stand where nobody looked.
        Some(if seen.is_cut { Failure::TooLarge } else { Failure::Assertion })
    }

    fn holds_in_head(&self, seen: &Seen) -> bool {
        self.headers
            .iter()
            .all(|(name, wanted)| seen.header(name).any(|value| contains(value, wanted.as_bytes())))
    }

    fn holds_in_body(&self, seen: &Seen) -> bool {
        let body = self.body.iter().all(|wanted| contains(&seen.body, wanted.as_bytes()));
        body && (self.json.is_empty() || self.holds_in_json(&seen.body))
    }

    fn holds_in_json(&self, body: &[u8]) -> bool {
        let Ok(document) = serde_json::from_slice::<Value>(body) else { return false };
        self.json.iter().all(|(path, wanted)| path.find(&document) == Some(wanted))
    }

    /// Reads `200`, `200-299` or several of them between commas.
    pub(crate) fn statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
        let one = |text: &str| {
            let (low, high) = text.split_once('-').unwrap_or((text, text));
            let number = |text: &str| text.trim().parse().ok().filter(|n| (200..1_000).contains(n));
            match (number(low), number(high)) {
                (Some(low), Some(high)) if low <= high => Ok(low..=high),
                _ => Err(format!("'{text}' is no status: write 200, 200-299 or 200,304")),
            }
        };
        text.split(',').map(str::trim).map(one).collect()
    }
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || text.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen {
            head: b"HTTP/1.1 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n".to_vec(),
            body: br#"{"items":[{"name":"a/b","n":3}],"ok":true}"#.to_vec(),
            ..Seen::default()
        }
    }

    #[test]
    fn every_expectation_can_hold_and_fail() {
        let status = |text| Expect { status: Expect::statuses(text).unwrap(), ..Expect::default() };
        let header = |name: &str, value: &str| Expect {
            headers: vec![(name.into(), value.into())],
            ..Expect::default()
        };
        let body = |text: &str| Expect { body: vec![text.into()], ..Expect::default() };
        let json = |text| Expect {
            json: vec![JsonPath::parse_equals(text).unwrap()],
            ..Expect::default()
        };
        for (expect, status, failure) in [
            (Expect::default(), 302, None),
            (status("200-299"), 302, Some(Failure::Assertion)),
            (status("200"), 503, Some(Failure::Status5xx)),
            (status("200, 404"), 404, None),
            (status("200, 500"), 500, None),
            (status("200"), 404, Some(Failure::Assertion)),
            (Expect::default(), 404, Some(Failure::Status4xx)),
            (body("a/b"), 404, Some(Failure::Status4xx)),
            (body("nothing"), 404, Some(Failure::Assertion)),
            (header("content-type", "json"), 200, None),
            (header("content-type", "xml"), 200, Some(Failure::Assertion)),
            (header("etag", ""), 200, Some(Failure::Assertion)),
            (body("a/b"), 200, None),
            (body("nothing"), 200, Some(Failure::Assertion)),
            (body("a/b"), 500, Some(Failure::Status5xx)),
            (json("$.items[0].n=3"), 200, None),
            (json("$.items[0].name=a/b"), 200, None),
            (json("$.ok=false"), 200, Some(Failure::Assertion)),
            (json("$.none=1"), 200, Some(Failure::Assertion)),
        ] {
            assert_eq!(expect.failure(status, &seen()), failure, "{expect:?}");
        }
        let broken = Seen { body: b"<html>".to_vec(), ..Seen::default() };
        assert_eq!(json("$.ok=true").failure(200, &broken), Some(Failure::Assertion));
    }

    #[test]
    fn what_is_no_expectation_is_said() {
        for text in ["", "2xx", "299-200", "99"] {
            assert!(Expect::statuses(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_body_is_kept_up_to_its_limit() {
        let mut seen = Seen::default();
        seen.add_body(&vec![b'x'; SEEN_BODY_BYTES_MAX - 1]);
        seen.add_body(b"xyz");
        assert_eq!(seen.body.len(), SEEN_BODY_BYTES_MAX);
        let body = |text: &str| Expect { body: vec![text.into()], ..Expect::default() };
        assert_eq!(body("xxx").failure(200, &seen), None);
        assert_eq!(body("yz").failure(200, &seen), Some(Failure::TooLarge), "not looked at");
        let header = Expect { headers: vec![("etag".into(), String::new())], ..Expect::default() };
        assert_eq!(header.failure(200, &seen), Some(Failure::Assertion));
        seen.clear();
        assert_eq!(body("yz").failure(200, &seen), Some(Failure::Assertion));
        assert!(seen.body.is_empty());
    }
}
