//! Secrets: a type whose Debug is blind, and a redactor for every text that leaves orca.
//!
//! The redactor knows the secrets of this process by value and others by their shape. Redacting
//! twice changes nothing, and a text without secrets comes back as it was.

use std::borrow::Cow;
use std::fmt;

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

/// Removes known secrets, and what looks like one, from text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Redactor {
    known: Vec<Secret>,
}

/// Shortest secret that is masked by value: shorter ones would mask ordinary words.
const KNOWN_CHARS_MIN: usize = 6;

/// Prefixes after which a token follows, as their issuers publish them.
const TOKEN_PREFIXES: [&str; 14] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "sbp_",
    "sb_secret_",
    "xoxb-",
    "xoxp-",
    "xapp-",
    "sk_live_",
    "AKIA",
    "eyJ",
];

/// Names whose value is a secret, in `name=value`, `name: value` and `"name":"value"`.
const SECRET_NAMES: [&str; 9] = [
    "password",
    "passwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
    "private_key",
    "access_key",
];

impl Redactor {
    pub(crate) fn new(known: impl IntoIterator<Item = Secret>) -> Self {
        let mut known: Vec<Secret> =
            known.into_iter().filter(|s| s.0.trim().len() >= KNOWN_CHARS_MIN).collect();
        known.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
        Self { known }
    }

    /// `text` with every secret masked.
    pub(crate) fn text<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut out = Cow::Borrowed(text);
        for secret in &self.known {
            if out.contains(secret.0.trim()) {
                out = Cow::Owned(out.replace(secret.0.trim(), MASK));
            }
        }
        for pass in [mask_url_passwords, mask_tokens, mask_bearer, mask_named, mask_pem] {
            if let Some(masked) = pass(&out) {
                out = Cow::Owned(masked);
            }
        }
        out
    }

    /// Masks every string inside `value`, keys included.
    pub(crate) fn json(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::String(text) => Value::String(self.text(&text).into_owned()),
            Value::Array(items) => Value::Array(items.into_iter().map(|v| self.json(v)).collect()),
            Value::Object(map) => Value::Object(
                map.into_iter()
                    .map(|(key, v)| {
                        let v = match v {
                            Value::String(text) if is_secret_name(&key) && !text.is_empty() => {
                                Value::String(MASK.into())
                            }
                            other => self.json(other),
                        };
                        (self.text(&key).into_owned(), v)
                    })
                    .collect(),
            ),
            other => other,
        }
    }
}

fn is_secret_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase().replace('-', "_");
    SECRET_NAMES.iter().any(|n| lower == *n || lower.ends_with(&format!("_{n}")))
}

/// `scheme://user:password@host` keeps scheme, user and host.
fn mask_url_passwords(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>' | '?'))
            .unwrap_or(tail.len());
        let (authority, after) = tail.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) if user != MASK => {
                let name = user.split_once(':').map(|(n, _)| n);
                let shown = name.filter(|n| !n.is_empty()).map(|n| format!("{n}:"));
                out.push_str(&shown.unwrap_or_default());
                out.push_str(MASK);
                out.push('@');
                out.push_str(host);
                changed = true;
            }
            _ => out.push_str(authority),
        }
        rest = after;
    }
    out.push_str(rest);
    (changed && out != text).then_some(out)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// Tokens known by their prefix, when at least 12 token characters follow it.
fn mask_tokens(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut changed = false;
    let mut chars = text.char_indices().peekable();
    let mut word_start = true;
    while let Some((at, c)) = chars.next() {
        let rest = &text[at..];
        let token = word_start
            .then(|| TOKEN_PREFIXES.iter().find(|p| rest.starts_with(**p)))
            .flatten()
            .map(|prefix| (prefix, rest.chars().take_while(|c| is_token_char(*c)).count()))
            .filter(|(prefix, length)| *length >= prefix.len() + 12);
        if let Some((_, length)) = token {
            out.push_str(MASK);
            changed = true;
            for _ in 1..length {
                chars.next();
            }
            word_start = false;
            continue;
        }
        word_start = !is_token_char(c);
        out.push(c);
    }
    changed.then_some(out)
}

/// `Bearer x` and `Basic x` keep the scheme.
fn mask_bearer(text: &str) -> Option<String> {
    let mut out = text.to_owned();
    let mut changed = false;
    for scheme in ["Bearer ", "bearer ", "Basic ", "GenieKey ", "OAuth "] {
        let mut from = 0;
        while let Some(found) = out.get(from..).and_then(|t| t.find(scheme)) {
            let start = from + found + scheme.len();
            let length: usize = out[start..]
                .chars()
                .take_while(|c| is_token_char(*c) || matches!(c, '+' | '/' | '=' | '~'))
                .map(char::len_utf8)
                .sum();
            if length >= 8 {
                out.replace_range(start..start + length, MASK);
                changed = true;
            }
            from = start;
        }
    }
    changed.then_some(out)
}

/// `password=x`, `token: x`, `"secret":"x"`.
fn mask_named(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase().replace('-', "_");
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for name in SECRET_NAMES {
        for (at, _) in lower.match_indices(name) {
            let tail = &text[at + name.len()..];
            let value_at = tail.trim_start_matches(['"', '\'']);
            let Some(after) = value_at.strip_prefix('=').or_else(|| value_at.strip_prefix(':'))
            else {
                continue;
            };
            let value = after.trim_start_matches([' ', '"', '\'']);
            let start = text.len() - value.len();
            let length = value
                .find(|c: char| {
                    c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ',' | ';' | '}')
                })
                .unwrap_or(value.len());
            let word = &value[..length];
            let scheme = matches!(word, "Bearer" | "bearer" | "Basic");
            if length >= KNOWN_CHARS_MIN && word != MASK && !scheme {
                cuts.push((start, start + length));
            }
        }
    }
    if cuts.is_empty() {
        return None;
    }
    cuts.sort_unstable();
    cuts.dedup_by(|later, earlier| later.0 < earlier.1);
    let mut out = text.to_owned();
    for (start, end) in cuts.into_iter().rev() {
        out.replace_range(start..end, MASK);
    }
    Some(out)
}

/// A PEM private key keeps its first and last line.
fn mask_pem(text: &str) -> Option<String> {
    let start = text.find("PRIVATE KEY-----")? + "PRIVATE KEY-----".len();
    let end = text[start..].find("-----END").map_or(text.len(), |at| start + at);
    let inner = &text[start..end];
    (inner.trim() != MASK && !inner.trim().is_empty())
        .then(|| format!("{}\n{MASK}\n{}", &text[..start], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str) -> String {
        Redactor::new([Secret::new("hunter22")]).text(text).into_owned()
    }

    #[test]
    fn masks_by_value_and_by_shape() {
        for (text, expected) in [
            ("the key hunter22 leaked", "the key [redacted] leaked"),
            ("postgres://admin:s3cr3t@db.example/x", "postgres://admin:[redacted]@db.example/x"),
            ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer [redacted]"),
            ("token ghp_abcdefghijklmnop1234 used", "token [redacted] used"),
            ("password=opensesame&x=1", "password=[redacted]&x=1"),
            (r#"{"api_key":"opensesame"}"#, r#"{"api_key":"[redacted]"}"#),
            ("fix: token bucket refill", "fix: token bucket refill"),
            ("https://example.com/a?b=c", "https://example.com/a?b=c"),
        ] {
            let once = masked(text);
            assert_eq!(once, expected);
            assert_eq!(masked(&once), once, "redacting twice changes nothing");
        }
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----";
        assert!(!masked(pem).contains("MC4CAQ"));
    }

    #[test]
    fn json_is_masked_by_key_and_by_value() {
        let value = serde_json::json!({"db_password": "x", "note": ["hunter22"]});
        assert_eq!(
            Redactor::new([Secret::new("hunter22")]).json(value),
            serde_json::json!({"db_password": MASK, "note": [MASK]})
        );
    }

    #[test]
    fn debug_is_blind() {
        assert_eq!(format!("{:?}", Secret::new("hunter22")), MASK);
    }
}
