//! `# @capture name = jsonpath $.token`: what a later request of the file needs of this answer.

use regex_lite::Regex;

use super::request::Reply;
use super::template::{Place, Wrong, is_name};
use crate::base::json_path::JsonPath;

const EXAMPLE: &str =
    "write # @capture token = jsonpath $.token, header Location, or regex \"id=(\\d+)\"";

/// Longest value that is taken: it is put into URLs and headers.
const BYTES_MAX: usize = 4_096;

/// A value to be taken of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Capture {
    pub(crate) name: String,
    pub(crate) place: Place,
    from: From,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum From {
    Json(JsonPath),
    Header(String),
    Text(Pattern),
}

/// A pattern that was compiled; two are equal when their texts are.
#[derive(Debug, Clone)]
pub(crate) struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        Regex::new(text).map(Self).map_err(|error| format!("'{text}' is no pattern: {error}"))
    }

    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The first group, or the whole where there is none.
    fn taken(&self, text: &str) -> Option<String> {
        let found = self.0.captures(text)?;
        let taken = found.get(1).or_else(|| found.get(0))?;
        Some(taken.as_str().to_owned())
    }
}

impl Capture {
    /// Reads `name = jsonpath $.x`, `name = header Name` or `name = regex "..."`.
    pub(crate) fn parse(text: &str, place: Place) -> Result<Self, Wrong> {
        let wrong = |message: String| Wrong::new(place, message, EXAMPLE);
        let (name, how) = text
            .split_once('=')
            .ok_or_else(|| wrong(format!("'{text}' does not say what is captured")))?;
        let name = name.trim().to_owned();
        if !is_name(&name) {
            return Err(wrong(format!("'{name}' is no name of a variable")));
        }
        let how = how.trim();
        let (kind, what) = how.split_once(char::is_whitespace).unwrap_or((how, ""));
        let what = what.trim();
        if what.is_empty() {
            return Err(wrong(format!("'{how}' does not say what is captured")));
        }
        let from = match kind {
            "jsonpath" => From::Json(JsonPath::parse(what).map_err(wrong)?),
            "header" => From::Header(what.to_ascii_lowercase()),
            "regex" => From::Text(Pattern::parse(&unquoted(what)).map_err(wrong)?),
            other => return Err(wrong(format!("'{other}' is no way to capture"))),
        };
        Ok(Self { name, place, from })
    }

    /// The value; the error says why there is none. Nothing is no value: a path would lead
    /// elsewhere with it, and every text includes it.
    pub(crate) fn of(&self, reply: &Reply) -> Result<String, String> {
        let (name, value) = (&self.name, self.found(reply)?);
        match value.len() {
            0 => Err(format!("{name} was not captured: the value is empty")),
            1..=BYTES_MAX => Ok(value),
            long => {
                let text = format!("the value has {long} bytes, more than {BYTES_MAX}");
                Err(format!("{name} was not captured: {text}"))
            }
        }
    }

    fn found(&self, reply: &Reply) -> Result<String, String> {
        let name = &self.name;
        match &self.from {
            From::Header(header) => reply
                .headers
                .get(header)
                .cloned()
                .ok_or_else(|| format!("{name} was not captured: there is no header {header}")),
            From::Text(pattern) => pattern
                .taken(&reply.text())
                .ok_or_else(|| format!("{name} was not captured: the pattern is not in the body")),
            From::Json(path) => {
                let document = reply
                    .json()
                    .ok_or_else(|| format!("{name} was not captured: the body is not JSON"))?;
                match path.find(&document) {
                    Some(serde_json::Value::String(text)) => Ok(text.clone()),
                    Some(serde_json::Value::Null) | None => {
                        Err(format!("{name} was not captured: nothing stands at its path"))
                    }
                    Some(value) => Ok(value.to_string()),
                }
            }
        }
    }
}

/// Without the quotes around it. What is inside stays: a pattern has backslashes of its own.
pub(crate) fn unquoted(text: &str) -> String {
    let inside = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply() -> Reply {
        Reply {
            status: 200,
            headers: [("location".to_owned(), "/orders/7".to_owned())].into(),
            body: br#"{"token": "abc", "id": 7, "none": null}"#.to_vec(),
        }
    }

    #[test]
    fn values_come_from_body_and_headers() {
        for (text, value) in [
            ("t = jsonpath $.token", Ok("abc")),
            ("t=jsonpath $.id", Ok("7")),
            ("t = jsonpath $.none", Err("nothing stands at its path")),
            ("t = jsonpath $.other", Err("nothing stands at its path")),
            ("t = header Location", Ok("/orders/7")),
            ("t = header etag", Err("there is no header etag")),
            (r#"t = regex "\"id\": (\d+)""#, Ok("7")),
            (r"t = regex to.en", Ok("token")),
            ("t = regex '=(x)'", Err("the pattern is not in the body")),
        ] {
            let capture = Capture::parse(text, Place::default()).unwrap();
            match (capture.of(&reply()), value) {
                (Ok(seen), Ok(wanted)) => assert_eq!(seen, wanted, "{text}"),
                (Err(seen), Err(wanted)) => assert!(seen.contains(wanted), "{text}: {seen}"),
                (seen, _) => panic!("{text}: {seen:?}"),
            }
        }
        for (length, says) in [
            (0, Some("t was not captured: the value is empty")),
            (1, None),
            (4_096, None),
            (4_097, Some("t was not captured: the value has 4097 bytes, more than 4096")),
        ] {
            let body = serde_json::json!({ "token": "x".repeat(length) }).to_string().into_bytes();
            let headers = [("token".to_owned(), "x".repeat(length))].into();
            let reply = Reply { headers, body, ..reply() };
            for from in ["jsonpath $.token", "header token", "regex n\":\"(.*)\""] {
                let capture = Capture::parse(&format!("t = {from}"), Place::default()).unwrap();
                let seen = capture.of(&reply);
                assert_eq!(seen.as_ref().err().map(String::as_str), says, "{from} {length}");
            }
        }
        let broken = Reply { body: b"<html>".to_vec(), ..reply() };
        let capture = Capture::parse("t = jsonpath $.token", Place::default()).unwrap();
        assert!(capture.of(&broken).unwrap_err().contains("is not JSON"));
    }

    #[test]
    fn what_captures_nothing_is_said() {
        for text in [
            "t",
            "t = ",
            "t = jsonpath",
            "t = jsonpath token",
            "t = body x",
            "a b = header x",
            "t = regex (",
        ] {
            assert!(Capture::parse(text, Place::default()).is_err(), "{text}");
        }
    }
}
