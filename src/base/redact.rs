//! Secrets: a type whose Debug is blind, and a redactor for every text that leaves orca.
//!
//! The redactor knows the secrets of this process by value and others by their shape. Redacting
//! twice changes nothing, and a text without secrets comes back as it was.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::secret_shapes as shapes;

/// What stands where a secret stood.
pub(crate) const MASK: &str = "[redacted]";

/// A value that must never be shown. Reading it takes [`Secret::expose`].
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Removes known secrets, and what looks like one, from text. Clones know the same secrets: what one
/// learns, all mask from then on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor {
    /// The longest first, so that no part of one is left over.
    known: Arc<RwLock<Vec<Secret>>>,
}

/// Shortest secret that is masked by value: shorter ones would mask ordinary words.
const KNOWN_CHARS_MIN: usize = 6;
/// Shortest line of a secret of several lines that is masked by itself.
const LINE_CHARS_MIN: usize = 16;

impl Redactor {
    #[cfg(test)]
    pub(crate) fn new(known: impl IntoIterator<Item = Secret>) -> Self {
        let redactor = Self::default();
        for secret in known {
            redactor.learn(&secret);
        }
        redactor
    }

    /// Masks `secret` from here on, in every form in which it is usually written.
    pub(crate) fn learn(&self, secret: &Secret) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for form in forms(&secret.0).into_iter().filter(|f| f.len() >= KNOWN_CHARS_MIN) {
            if !known.iter().any(|secret| secret.0 == form) {
                known.push(Secret(form));
            }
        }
        known.sort_by_key(|secret| Reverse(secret.0.len()));
    }

    /// Learns the password of a URL; a text without one teaches nothing.
    pub(crate) fn learn_url(&self, url: &str) {
        if let Some(password) = shapes::url_password(url) {
            self.learn(&Secret::new(shapes::percent_decoded(password)));
            self.learn(&Secret::new(password));
        }
    }

    /// `text` with every secret masked.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        for secret in self.known.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if out.contains(&secret.0) {
                out = Cow::Owned(out.replace(&secret.0, MASK));
            }
        }
        if is_histogram(text) || !shapes::may_hold_any(text) {
            return out;
        }
        for pass in shapes::PASSES {
            if let Some(masked) = pass(&out) {
                out = Cow::Owned(masked);
            }
        }
        out
    }

    /// Masks every string inside `value`, keys included.
    pub(crate) fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.owned(text)),
            Value::Array(items) => Value::Array(items.into_iter().map(|v| self.json(v)).collect()),
            Value::Object(map) => Value::Object(
                map.into_iter()
                    .map(|(key, v)| {
                        let v = if shapes::is_secret_name(&key) { blanked(v) } else { v };
                        (self.owned(key), self.json(v))
                    })
                    .collect(),
            ),
            other => other,
        }
    }

    /// `text` itself where there is nothing to mask.
    fn owned(&self, text: String) -> String {
        match self.text(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked,
        }
    }
}

/// Whether it is a histogram in base64 and nothing else: of so many characters some look like a
/// token by chance, and a masked histogram decides nothing.
fn is_histogram(text: &str) -> bool {
    // The cookie of the V2 compressed form, as HdrHistogram lays it out.
    let is_base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    text.starts_with("HISTFA") && text.bytes().all(is_base64)
}

/// The value of a secret name: every string in it, or in a list, is one.
fn blanked(value: Value) -> Value {
    match value {
        Value::String(text) if !text.is_empty() => Value::String(MASK.into()),
        Value::Array(items) => Value::Array(items.into_iter().map(blanked).collect()),
        other => other,
    }
}

/// How a secret may stand in a text: as it is, line by line, in a URL, in JSON, in base64.
fn forms(secret: &str) -> Vec<String> {
    let bare = secret.trim();
    let quoted = serde_json::to_string(bare).unwrap_or_default();
    let mut forms = vec![
        bare.to_owned(),
        shapes::percent_encoded(bare),
        quoted.trim_matches('"').to_owned(),
        STANDARD_NO_PAD.encode(bare),
        URL_SAFE_NO_PAD.encode(bare),
    ];
    let lines = bare.lines().map(str::trim).filter(|line| line.len() >= LINE_CHARS_MIN);
    forms.extend(lines.filter(|line| !line.starts_with("-----")).map(str::to_owned));
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_masked_in_every_form() {
        let redactor = Redactor::new([Secret::new("p/w&1\"x y")]);
        for text in
            ["p/w&1\"x y", "p%2Fw%261%22x%20y", r#"p/w&1\"x y"#, "cC93JjEieCB5", "x=cC93JjEieCB5="]
        {
            let masked = redactor.text(text).into_owned();
            assert!(
                masked.contains(MASK) && !masked.contains('w') && !masked.contains("JjE"),
                "{masked}"
            );
        }
        let key = "-----BEGIN KEY-----\nMC4CAQAwBQYDK2VwBCIEIDc3\n-----END KEY-----";
        let lines = Redactor::new([Secret::new(key)]);
        assert_eq!(lines.text("line 2 is MC4CAQAwBQYDK2VwBCIEIDc3"), "line 2 is [redacted]");
        assert_eq!(lines.text("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
    }

    #[test]
    fn a_histogram_is_no_token_whatever_it_looks_like() {
        let redactor = Redactor::new([Secret::new("hunter22hunter22")]);
        let (chance, known) = ("/eyJhbGciOiJIUzI1NiJ9", "/hunter22hunter22");
        let histogram = |inside: &str| format!("HISTFAAABBB42pNpmSzMwMDAx{inside}+AAA==");
        assert_eq!(redactor.text(&histogram(chance)), histogram(chance));
        assert!(redactor.text(chance).contains(MASK), "it is a token anywhere else");
        for secret in [histogram(known), format!("{} {chance}", histogram(""))] {
            assert!(redactor.text(&secret).contains(MASK), "{secret}");
        }
    }

    #[test]
    fn what_one_learns_all_mask() {
        let (one, other) = (Redactor::default(), Redactor::default());
        let clone = one.clone();
        one.learn(&Secret::new("hunter22"));
        one.learn_url("postgres://app:top%20secret@db/x");
        one.learn_url("http://127.0.0.1:80/");
        assert_eq!(
            clone.text("hunter22, top secret, top%20secret"),
            "[redacted], [redacted], [redacted]"
        );
        assert_eq!(other.text("hunter22"), "hunter22");
        one.learn(&Secret::new("short"));
        assert_eq!(one.text("short"), "short");
    }

    #[test]
    fn json_is_masked_by_key_and_by_value() {
        let value = serde_json::json!({"db_password": "x", "tokens": 3, "token": ["y"], "note": ["hunter22"]});
        assert_eq!(
            Redactor::new([Secret::new("hunter22")]).json(value),
            serde_json::json!({"db_password": MASK, "tokens": 3, "token": [MASK], "note": [MASK]})
        );
    }

    #[test]
    fn debug_is_blind() {
        assert_eq!(format!("{:?}", Secret::new("hunter22")), MASK);
    }
}
