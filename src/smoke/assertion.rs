//! `?? status == 200`: what a right answer looks like. Read once, held against each answer.
//!
//! What is missing never holds: a header that is not there is neither equal nor unequal.

use std::cmp::Ordering;

use serde_json::Value;

use super::capture::{Pattern, unquoted};
use super::request::Reply;
use super::shown::{short, shown};
use super::template::{Place, Template, Wrong};
use crate::base::json_path::JsonPath;
use crate::base::redact::{MASK, Redactor};
use crate::base::secret_shapes::is_secret_name;
use crate::base::units::Micros;

const EXAMPLE: &str = "write ?? status == 200, ?? header content-type includes json, \
                       ?? jsonpath $.ok == true, ?? body includes text, or ?? duration < 2000";
const OPERATORS: [(&str, Operator); 13] = [
    ("==", Operator::Equal),
    ("!=", Operator::Unequal),
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("includes", Operator::Includes),
    ("startsWith", Operator::StartsWith),
    ("endsWith", Operator::EndsWith),
    ("matches", Operator::Matches),
    ("exists", Operator::Exists),
    ("isArray", Operator::IsArray),
    ("count", Operator::Count),
];
/// Decimal places that are compared.
const DECIMALS: usize = 9;

/// One line of expectations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assertion {
    pub(crate) place: Place,
    /// As it was written: places are not filled in, so it shows no secret.
    text: String,
    subject: Subject,
    operator: Operator,
    pub(super) value: Template,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    Status,
    Duration,
    Header(String),
    Body,
    Json(JsonPath),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    AtMost,
    AtLeast,
    Below,
    Above,
    Includes,
    StartsWith,
    EndsWith,
    Matches,
    Exists,
    IsArray,
    /// What follows is compared with the number of elements.
    Count,
}

impl Operator {
    const fn needs_value(self) -> bool {
        !matches!(self, Self::Exists | Self::IsArray)
    }

    const fn is_of_numbers(self) -> bool {
        matches!(
            self,
            Self::Equal | Self::Unequal | Self::AtMost | Self::AtLeast | Self::Below | Self::Above
        )
    }

    fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::Unequal => order.is_ne(),
            Self::AtMost => order.is_le(),
            Self::AtLeast => order.is_ge(),
            Self::Below => order.is_lt(),
            Self::Above => order.is_gt(),
            _ => false,
        }
    }
}

/// An answer with the time that it took.
pub(crate) struct Timed<'a> {
    pub(crate) reply: &'a Reply,
    pub(crate) took: Micros,
    /// Masks what is shown of it, before anything is cut off: of half a secret it knows nothing.
    pub(crate) redactor: &'a Redactor,
}

impl Assertion {
    /// Reads what follows `??`.
    pub(crate) fn parse(line: &str, place: Place) -> Result<Self, Wrong> {
        let text = line.trim();
        let wrong = |message: String| Wrong::new(place, message, EXAMPLE);
        let (word, rest) = subject(text);
        let (subject, rest) = match word {
            "status" => (Subject::Status, rest),
            "duration" => (Subject::Duration, rest),
            "header" => {
                let (name, rest) = subject(rest);
                if name.is_empty() {
                    return Err(wrong("no header is named".to_owned()));
                }
                (Subject::Header(name.to_ascii_lowercase()), rest)
            }
            "body" if names_member(rest) => json(rest).map_err(wrong)?,
            "body" => (Subject::Body, rest),
            "jsonpath" => json(rest).map_err(wrong)?,
            "js" => {
                let better = "write ?? jsonpath $.ok == true: orca runs no JavaScript";
                return Err(Wrong::new(place, "?? js is not supported", better));
            }
            "" => return Err(wrong("?? asserts nothing".to_owned())),
            other => return Err(wrong(format!("nothing is known of '{other}'"))),
        };
        let (operator, value) = operator(rest).map_err(wrong)?;
        Self::check(&subject, operator, value).map_err(wrong)?;
        let column = place.column + line.find(value).map_or(0, |at| line[..at].chars().count());
        let value = Template::parse(value, Place { column, ..place })?;
        Ok(Self { place, text: text.to_owned(), subject, operator, value })
    }

    /// Whether the parts fit each other.
    fn check(subject: &Subject, operator: Operator, value: &str) -> Result<(), String> {
        if operator.needs_value() && value.is_empty() {
            return Err("nothing stands behind the operator".to_owned());
        }
        if !operator.needs_value() && !value.is_empty() {
            return Err(format!("'{value}' is one word too many"));
        }
        let is_number = matches!(subject, Subject::Status | Subject::Duration);
        if is_number && !operator.is_of_numbers() {
            return Err("a number is compared by == != < <= > or >=".to_owned());
        }
        if matches!(subject, Subject::Header(_))
            && matches!(operator, Operator::IsArray | Operator::Count)
        {
            return Err("a header is no list".to_owned());
        }
        let is_fixed = !value.contains("{{");
        match (subject, operator) {
            (Subject::Status, _) if is_fixed && number(value).is_none() => {
                Err(format!("'{value}' is no status"))
            }
            (Subject::Duration, _) if is_fixed => duration(value).map(|_| ()),
            (_, Operator::Matches) if is_fixed => Pattern::parse(&unquoted(value)).map(|_| ()),
            (_, Operator::Count) => count(value).map(|_| ()),
            (_, Operator::Below | Operator::AtMost | Operator::Above | Operator::AtLeast)
                if is_fixed && number(value).is_none() =>
            {
                Err(format!("'{value}' is no number"))
            }
            _ => Ok(()),
        }
    }

    /// What is wrong with the answer; `value` is the filled-in right side.
    pub(crate) fn failure(&self, timed: &Timed<'_>, value: &str) -> Option<String> {
        let seen = match self.seen(timed) {
            Ok(seen) => seen,
            Err(why) => return Some(format!("{why}; asked: {}", self.text)),
        };
        let said = match self.holds(&seen, value, timed.redactor) {
            Ok(true) => return None,
            Ok(false) => match self.subject {
                // A body is long, and may hold anything.
                Subject::Body => format!("the body has {} bytes", timed.reply.body.len()),
                Subject::Duration => format!("duration is {}", timed.took),
                _ => format!("{} is {}", self.name(), self.shown(&seen, timed.redactor)),
            },
            Err(why) => why,
        };
        Some(format!("{said}; asked: {}", self.text))
    }

    /// A value as people may see it: what is called a secret is none of their business.
    fn shown(&self, value: &Value, redactor: &Redactor) -> String {
        let name = match &self.subject {
            Subject::Header(name) => name.as_str(),
            Subject::Json(path) => path.last(),
            Subject::Status | Subject::Duration | Subject::Body => "",
        };
        if is_secret_name(name) { MASK.to_owned() } else { shown(value, redactor) }
    }

    fn name(&self) -> &str {
        match &self.subject {
            Subject::Status => "status",
            Subject::Duration => "duration",
            Subject::Header(name) => name,
            Subject::Body => "the body",
            Subject::Json(_) => "the value",
        }
    }

    fn seen(&self, timed: &Timed<'_>) -> Result<Value, String> {
        let reply = timed.reply;
        match &self.subject {
            Subject::Status => Ok(reply.status.into()),
            Subject::Duration => Ok(timed.took.to_string().into()),
            Subject::Header(name) => {
                let value = reply.headers.get(name);
                value.cloned().map(Value::from).ok_or_else(|| format!("there is no header {name}"))
            }
            Subject::Body if matches!(self.operator, Operator::IsArray | Operator::Count) => {
                reply.json().ok_or_else(|| "the body is not JSON".to_owned())
            }
            Subject::Body => Ok(reply.text().into()),
            Subject::Json(path) => {
                let document = reply.json().ok_or_else(|| "the body is not JSON".to_owned())?;
                let found = path.find(&document);
                found.cloned().ok_or_else(|| "nothing stands at this path".to_owned())
            }
        }
        .map(|seen| match self.subject {
            Subject::Duration => Value::from(timed.took.0),
            _ => seen,
        })
    }

    fn holds(&self, seen: &Value, value: &str, redactor: &Redactor) -> Result<bool, String> {
        if self.subject == Subject::Duration {
            return Ok(self.operator.holds(seen.as_u64().cmp(&Some(duration(value)?))));
        }
        let text = || match seen {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let wanted = unquoted(value);
        match self.operator {
            // What is not there was told before; a body is always there, and may be empty.
            Operator::Exists => Ok(self.subject != Subject::Body || !text().is_empty()),
            Operator::IsArray => Ok(seen.is_array()),
            Operator::Includes => Ok(match seen {
                Value::Array(items) => items.contains(&JsonPath::value(value)),
                _ => text().contains(&wanted),
            }),
            Operator::StartsWith => Ok(text().starts_with(&wanted)),
            Operator::EndsWith => Ok(text().ends_with(&wanted)),
            Operator::Matches => Ok(Pattern::parse(&wanted)?.is_in(&text())),
            Operator::Count => {
                let (operator, wanted) = count(value)?;
                let length = match seen {
                    Value::Array(items) => items.len(),
                    Value::Object(members) => members.len(),
                    _ => return Err(format!("{} is no list", self.name())),
                };
                Ok(operator.holds(u64::try_from(length).unwrap_or(u64::MAX).cmp(&wanted)))
            }
            Operator::Equal | Operator::Unequal => {
                let equal = is_equal(seen, value, self.subject == Subject::Body);
                Ok(equal == (self.operator == Operator::Equal))
            }
            _ => {
                let (left, right) = (number(&text()), number(&wanted));
                let left = left.ok_or_else(|| {
                    format!("{} is {}, no number", self.name(), self.shown(seen, redactor))
                })?;
                let right =
                    right.ok_or_else(|| format!("'{}' is no number", short(&wanted, redactor)))?;
                Ok(self.operator.holds(left.cmp(&right)))
            }
        }
    }
}

/// A text equals the text; in JSON `1` equals `1.0`, and a word equals the string.
fn is_equal(seen: &Value, value: &str, is_body: bool) -> bool {
    if let Value::String(text) = seen {
        let text = if is_body { text.trim() } else { text.as_str() };
        return text == unquoted(value);
    }
    let wanted = JsonPath::value(value);
    match (seen, &wanted) {
        (Value::Number(seen), Value::Number(wanted)) => {
            let (seen, wanted) = (seen.to_string(), wanted.to_string());
            seen == wanted || number(&seen).is_some_and(|n| Some(n) == number(&wanted))
        }
        _ => *seen == wanted,
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

/// The same, where an operator of signs needs no space before it.
fn subject(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| c.is_whitespace() || is_sign(c)).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

const fn is_sign(c: char) -> bool {
    matches!(c, '=' | '!' | '<' | '>')
}

/// Behind `body`: a path, `$.name` or, as `httpYac` has it, `name`; else an operator.
fn names_member(rest: &str) -> bool {
    let (word, _) = split(rest);
    !word.is_empty()
        && !word.starts_with(is_sign)
        && !OPERATORS.iter().any(|(operator, _)| *operator == word)
}

fn json(rest: &str) -> Result<(Subject, &str), String> {
    let (path, rest) = subject(rest);
    let path = match path.strip_prefix('$') {
        Some(_) => JsonPath::parse(path)?,
        None => JsonPath::parse(&format!("$.{path}"))?,
    };
    Ok((Subject::Json(path), rest))
}

/// The operator and what stands behind it; nothing at all asks whether it exists.
fn operator(rest: &str) -> Result<(Operator, &str), String> {
    if rest.is_empty() {
        return Ok((Operator::Exists, ""));
    }
    let (word, value) = if rest.starts_with(is_sign) {
        let end = rest.find(|c| !is_sign(c)).unwrap_or(rest.len());
        (&rest[..end], rest[end..].trim())
    } else {
        split(rest)
    };
    let found = OPERATORS.iter().find(|(known, _)| *known == word);
    found.map(|(_, operator)| (*operator, value)).ok_or_else(|| {
        let known: Vec<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        format!("'{word}' is no operator: known are {}", known.join(" "))
    })
}

/// Behind `count`: `== 3`, `>= 1`, or the bare number.
fn count(value: &str) -> Result<(Operator, u64), String> {
    let bare = value.parse().ok().map(|number| (Operator::Equal, number));
    let read = bare.or_else(|| {
        let (operator, number) = operator(value).ok()?;
        operator.is_of_numbers().then_some((operator, number.parse().ok()?))
    });
    read.ok_or_else(|| format!("'{value}' is no count: write count == 3 or count >= 1"))
}

/// In microseconds; a bare number is milliseconds.
fn duration(value: &str) -> Result<u64, String> {
    if let Ok(ms) = value.parse() {
        return Ok(Micros::from_millis(ms).0);
    }
    value.parse::<Micros>().map(|time| time.0).map_err(|error| error.to_string())
}

/// A decimal number in billionths; none with an exponent, or too long to be compared.
fn number(text: &str) -> Option<i128> {
    let (sign, bare) = match text.strip_prefix('-') {
        Some(bare) => (-1, bare),
        None => (1, text),
    };
    let (whole, part) = bare.split_once('.').unwrap_or((bare, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty()
        || part.len() > DECIMALS
        || whole.len() > 20
        || !digits(whole)
        || !digits(part)
    {
        return None;
    }
    format!("{whole}{part:0<DECIMALS$}").parse::<i128>().ok().map(|number| number * sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::redact::Secret;

    fn parse(text: &str) -> Result<Assertion, Wrong> {
        Assertion::parse(text, Place { line: 1, column: 3 })
    }

    fn reply() -> Reply {
        Reply {
            status: 200,
            headers: [
                ("content-type".to_owned(), "application/json; charset=utf-8".to_owned()),
                ("content-length".to_owned(), "99".to_owned()),
                ("x-empty".to_owned(), String::new()),
            ]
            .into(),
            body: br#"{"ok": true, "n": 1.0, "big": 20, "name": "shoes", "token": "t0k", "items": [1, "a"], "none": null}"#
                .to_vec(),
        }
    }

    /// Whether it holds, with what is said where it does not.
    fn judged(text: &str) -> Result<(), String> {
        let assertion = parse(text).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
        let reply = reply();
        let redactor = Redactor::default();
        let timed = Timed { reply: &reply, took: Micros::from_millis(1_500), redactor: &redactor };
        assertion.failure(&timed, &assertion.value.known_part()).map_or(Ok(()), Err)
    }

    #[test]
    fn every_operator_can_hold() {
        for text in [
            "status == 200",
            "status==200",
            "status != 404",
            "status < 300",
            "status >= 200",
            "duration < 2000",
            "duration <= 1500ms",
            "duration > 1s",
            "header content-type includes json",
            "header Content-Type startsWith application/",
            "header content-type endsWith \"utf-8\"",
            "header content-type matches ^application/.*8$",
            "header content-type",
            "header content-type exists",
            "header x-empty exists",
            "jsonpath $.none exists",
            "header content-length < 100",
            "header content-length == 99",
            "body includes shoes",
            "body includes '\"ok\": true'",
            "body exists",
            "body count >= 3",
            "body startsWith {",
            "body matches \"sh[o]es\"",
            "body $.ok == true",
            "body ok == true",
            "body items[1]==a",
            "jsonpath $.ok == true",
            "jsonpath $.n == 1",
            "jsonpath $.n <= 1.0",
            "jsonpath $.big > 3",
            "jsonpath $.name == shoes",
            "jsonpath $.name == \"shoes\"",
            "jsonpath $.name != boots",
            "jsonpath $.name includes hoe",
            "jsonpath $.items isArray",
            "jsonpath $.items count == 2",
            "jsonpath $.items count 2",
            "jsonpath $.items includes \"a\"",
            "jsonpath $.items includes 1",
            "jsonpath $.none == null",
            "jsonpath $.items[1] == a",
        ] {
            assert_eq!(judged(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn every_operator_can_fail_and_says_what_was_seen() {
        for (text, says) in [
            ("status == 201", "status is 200; asked: status == 201"),
            ("status >= 300", "status is 200"),
            ("duration < 1500", "duration is 1.5 s"),
            ("jsonpath $.token == x", "the value is [redacted]"),
            ("jsonpath $.token < 1", "the value is [redacted], no number"),
            (
                "header content-type includes xml",
                "content-type is 'application/json; charset=utf-8'",
            ),
            ("header x-none == 1", "there is no header x-none"),
            ("header x-none != 1", "there is no header x-none"),
            ("header content-type > 3", "no number"),
            ("body includes boots", "the body has 99 bytes; asked: body includes boots"),
            ("body isArray", "the body has"),
            ("body == shoes", "the body has"),
            ("jsonpath $.ok == false", "the value is true"),
            ("jsonpath $.ok == \"true\"", "the value is true"),
            ("jsonpath $.n == 2", "the value is 1.0"),
            ("jsonpath $.other exists", "nothing stands at this path"),
            ("jsonpath $.name matches ^b", "the value is 'shoes'"),
            ("jsonpath $.name count 1", "is no list"),
            ("jsonpath $.items count > 2", "the value is [1,\"a\"]"),
            ("jsonpath $.name > 1", "no number"),
        ] {
            match judged(text) {
                Err(said) => assert!(said.contains(says), "{text}: {said}"),
                Ok(()) => panic!("{text} holds"),
            }
        }
        let broken = Reply { body: b"<html>".to_vec(), ..reply() };
        let redactor = Redactor::default();
        let timed = Timed { reply: &broken, took: Micros(1), redactor: &redactor };
        let said = parse("jsonpath $.ok == true").unwrap().failure(&timed, "true").unwrap();
        assert!(said.starts_with("the body is not JSON"), "{said}");
    }

    #[test]
    fn what_is_shown_is_masked_before_it_is_cut_and_steers_nothing() {
        let secret = "long-".repeat(30);
        let redactor = Redactor::new([Secret::new(secret.as_str())]);
        for (text, value, says) in [
            ("jsonpath $.a == x", secret.as_str().into(), "the value is '[redacted]'"),
            ("jsonpath $.a < 1", secret.as_str().into(), "the value is '[redacted]', no number"),
            ("jsonpath $.a == x", serde_json::json!([secret]), "the value is [\"[redacted]\"]"),
            ("jsonpath $.a == x", serde_json::json!({"pwd": "hi"}), "{\"pwd\":\"[redacted]\"}"),
            ("jsonpath $.a == x", "a\n::error::b".into(), "the value is 'a\\n::error::b';"),
            ("jsonpath $.a == x", "\u{1b}[2Jü\u{202e}".into(), "'\\u{1b}[2Jü\\u{202e}'"),
        ] {
            let body = serde_json::json!({ "a": value }).to_string().into_bytes();
            let reply = Reply { body, ..reply() };
            let timed = Timed { reply: &reply, took: Micros(1), redactor: &redactor };
            let assertion = parse(text).unwrap();
            let said = assertion.failure(&timed, &assertion.value.known_part()).unwrap();
            assert!(said.contains(says), "{text}: {said}");
        }
        let timed = Timed { reply: &reply(), took: Micros(1), redactor: &redactor };
        let said = parse("jsonpath $.big < {{s}}").unwrap().failure(&timed, &secret).unwrap();
        assert!(said.starts_with("'[redacted]' is no number"), "{said}");
    }

    #[test]
    fn what_is_no_assertion_is_said() {
        for (text, says) in [
            ("", "asserts nothing"),
            ("stauts == 200", "nothing is known of 'stauts'"),
            ("status", "compared by"),
            ("status == ok", "is no status"),
            ("status = 200", "'=' is no operator"),
            ("status includes 2", "compared by"),
            ("status ==", "nothing stands behind"),
            ("duration < soon", "is not a duration"),
            ("header", "no header is named"),
            ("header x count 3", "is no list"),
            ("header x is y", "'is' is no operator"),
            ("body exists now", "one word too many"),
            ("body matches (", "is no pattern"),
            ("body < many", "is no number"),
            ("jsonpath == true", "is no path"),
            ("body icludes shoes", "'shoes' is no operator"),
            ("jsonpath $.a count many", "is no count"),
            ("js response.ok", "?? js is not supported"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.message.contains(says), "{text}: {}", wrong.message);
            assert!(!wrong.suggestion.is_empty());
        }
    }

    #[test]
    fn numbers_are_exact() {
        for (text, value) in [
            ("1", Some(1_000_000_000)),
            ("-0.5", Some(-500_000_000)),
            ("1.000000001", Some(1_000_000_001)),
            ("1e3", None),
            ("", None),
            ("1.0000000001", None),
        ] {
            assert_eq!(number(text), value, "{text}");
        }
    }
}
