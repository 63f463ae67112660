//! What people see of an answer: masked, short, on one line.

use serde_json::Value;

use crate::base::redact::Redactor;

/// Most of a value that is shown, in characters.
const SHOWN_MAX: usize = 60;

pub(super) fn shown(value: &Value, redactor: &Redactor) -> String {
    match value {
        Value::String(text) => format!("'{}'", short(text, redactor)),
        other => short(&redactor.json(other.clone()).to_string(), redactor),
    }
}

/// Masked, then cut.
pub(super) fn short(text: &str, redactor: &Redactor) -> String {
    let masked = redactor.text(text);
    let mut shown: String = masked.chars().take(SHOWN_MAX).collect();
    if shown.len() < masked.len() {
        shown.push_str("...");
    }
    plain(&shown)
}

/// On one line and without commands: what a server writes must not steer a terminal, nor begin a
/// line of a CI log.
pub(super) fn plain(text: &str) -> String {
    let is_steering =
        |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if is_steering(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}
