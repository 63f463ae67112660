//! `trust:` of `orca.yaml`, read from a file or from a tag, and as lines that can be compared:
//! whoever changes trust or required gates changes one of them.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::origin::Setting;
use super::raw::{RawKey, RawTrust};
use super::resolve::Source;
use crate::base::clock::Timestamp;
use crate::base::dsse::PublicKey;
use crate::base::yaml::{self, InputError, Spanned};
use crate::gate::waiver::Role;
use crate::ledger::sign::{Trust, TrustedKey};

/// Who is trusted, and where that was written.
#[derive(Debug, Clone)]
pub(crate) struct TrustConfig {
    /// The PKCS#8 PEM file that this orca signs with.
    pub(crate) signing_key: Setting<Option<String>>,
    pub(crate) required: Setting<bool>,
    pub(crate) keys: Vec<Setting<TrustedKey>>,
}

impl TrustConfig {
    pub(crate) fn list(&self) -> Trust {
        let keys = self.keys.iter().map(|key| key.value.clone()).collect();
        Trust { required: self.required.value, keys }
    }
}

pub(super) fn resolve(
    raw: &RawTrust,
    signing_key: Setting<Option<String>>,
    source: &Source<'_>,
) -> Result<TrustConfig, InputError> {
    let mut keys: Vec<Setting<TrustedKey>> = Vec::new();
    for raw_key in &raw.keys {
        let key = trusted(raw_key, source)?;
        for other in keys.iter().map(|known| &known.value) {
            if other.id == key.id {
                return Err(source.error(&raw_key.id, format!("key {} stands here twice", key.id)));
            }
            if other.key == key.key {
                let text = format!("key {} is the same key as {}", key.id, other.id);
                return Err(source.error(&raw_key.key, text));
            }
        }
        keys.push(Setting::file(key, source.file, raw_key.id.referenced.line()));
    }
    let required = match &raw.required {
        None => Setting::default(false),
        Some(told) => Setting::file(told.value, source.file, told.referenced.line()),
    };
    let rules = |key: &Setting<TrustedKey>| key.value.roles.contains(&Role::Ci);
    if let (Some(told), true, false) = (&raw.required, required.value, keys.iter().any(rules)) {
        let text = "trust is required and no key has the role ci, so no ruling would count";
        return Err(source.error(told, text).suggest("add the key of the CI job to trust.keys"));
    }
    Ok(TrustConfig { signing_key, required, keys })
}

fn trusted(raw: &RawKey, source: &Source<'_>) -> Result<TrustedKey, InputError> {
    let id = raw.id.value.clone();
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.@".contains(c)) {
        let text = format!("'{id}' is no key id; use letters, digits, '-', '_', '.' and '@'");
        return Err(source.error(&raw.id, text));
    }
    let key = public_key(&raw.key.value).ok_or_else(|| {
        source
            .error(&raw.key, format!("the key of {id} is not an ed25519 public key"))
            .suggest("paste what `openssl pkey -in orca.key -pubout` prints, or its base64 line")
    })?;
    if raw.roles.is_empty() {
        return Err(source
            .error(&raw.id, format!("key {id} has no role"))
            .suggest("roles: [ci], or some of engineering, product, ops"));
    }
    let time = |text: &Option<Spanned<String>>| {
        text.as_ref()
            .map(|t| Timestamp::parse_written(&t.value).map_err(|e| source.error(t, e)))
            .transpose()
    };
    let (valid_from, valid_until) = (time(&raw.valid_from)?, time(&raw.valid_until)?);
    if let (Some(from), Some(until), Some(told)) = (valid_from, valid_until, &raw.valid_until)
        && until <= from
    {
        return Err(source.error(told, format!("key {id} ends before it begins to count")));
    }
    let revoked_at = time(&raw.revoked_at)?;
    Ok(TrustedKey { id, key, roles: raw.roles.clone(), valid_from, valid_until, revoked_at })
}

/// SPKI as PEM, or as the base64 between its lines.
fn public_key(text: &str) -> Option<PublicKey> {
    let text = text.trim();
    if text.starts_with("-----BEGIN") {
        return PublicKey::from_spki_pem(&format!("{text}\n")).ok();
    }
    let body: String = text.split_whitespace().collect();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    PublicKey::from_spki_pem(&pem).ok()
}

/// What may not change without an old key, of a whole `orca.yaml`; other keys are left unread, so
/// that the file of an older or newer orca can be compared.
#[derive(Deserialize)]
struct Guarded {
    #[serde(default)]
    trust: RawTrust,
    #[serde(default)]
    gates: Value,
}

/// The trust list that `text` states, and the lines by which it is compared with another.
pub(crate) fn read(text: &str, file: &Path) -> Result<(Trust, BTreeSet<String>), InputError> {
    let guarded: Guarded = yaml::parse(text, file)?;
    let source = Source { file, text };
    let trust = resolve(&guarded.trust, Setting::default(None), &source)?.list();
    let mut lines = BTreeSet::from([format!("trust.required: {}", trust.required)]);
    lines.extend(trust.keys.iter().map(key_line));
    flatten("gates", &guarded.gates, &mut lines);
    Ok((trust, lines))
}

fn key_line(key: &TrustedKey) -> String {
    let roles: Vec<&str> = key.roles.iter().map(|role| role.as_str()).collect();
    let time = |name: &str, at: Option<Timestamp>| {
        at.map_or_else(String::new, |at| format!(", {name} {}", at.rfc3339()))
    };
    let fingerprint: String = key.key.key_id().chars().take(16).collect();
    format!(
        "trust.keys {}: {fingerprint} as {}{}{}{}",
        key.id,
        roles.join(" and "),
        time("from", key.valid_from),
        time("until", key.valid_until),
        time("revoked", key.revoked_at),
    )
}

/// Every setting of a gate as `path: value`. A gate is enforced unless it says otherwise, so saying
/// that is no change.
fn flatten(path: &str, value: &Value, lines: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                flatten(&format!("{path}.{name}"), value, lines);
            }
        }
        Value::Null => {}
        Value::String(text) if path.rsplit('.').next() == Some("mode") && text == "enforce" => {}
        Value::String(text) => drop(lines.insert(format!("{path}: {text}"))),
        other => drop(lines.insert(format!("{path}: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::dsse::SigningKey;

    fn pem(seed: u8) -> String {
        SigningKey::from_seed(&[seed; 32]).public().to_spki_pem()
    }

    fn base64(seed: u8) -> String {
        pem(seed).lines().nth(1).unwrap().to_owned()
    }

    fn config(trust: &str) -> String {
        format!("version: 1\ntrust:\n{trust}")
    }

    #[test]
    fn keys_are_read_as_pem_or_base64() {
        let indented = pem(1).replace('\n', "\n        ");
        let text = config(&format!(
            "  required: true\n  keys:\n    - id: ci\n      key: |\n        {indented}\n      \
             roles: [ci]\n    - {{id: ana, key: {}, roles: [engineering, ops], valid_from: \
             2026-01-01, valid_until: 2027-01-01T12:00:00Z, revoked_at: 2026-06-01}}\n",
            base64(2)
        ));
        let (trust, lines) = read(&text, Path::new("orca.yaml")).unwrap();
        assert!(trust.required);
        assert_eq!(trust.keys[0].key, SigningKey::from_seed(&[1; 32]).public());
        assert_eq!(trust.keys[1].valid_from.unwrap().rfc3339(), "2026-01-01T00:00:00Z");
        assert!(lines.iter().any(|line| line.ends_with(
            "as engineering and ops, from 2026-01-01T00:00:00Z, until 2027-01-01T12:00:00Z, \
             revoked 2026-06-01T00:00:00Z"
        )));
    }

    #[test]
    fn every_mistake_has_a_place_and_a_reason() {
        let key = base64(1);
        for (trust, line, message) in [
            ("  required: true\n".to_owned(), 3, "no key has the role ci"),
            (format!("  keys: [{{id: a b, key: {key}, roles: [ci]}}]\n"), 3, "is no key id"),
            ("  keys: [{id: a, key: AAAA, roles: [ci]}]\n".into(), 3, "not an ed25519 public key"),
            (format!("  keys: [{{id: a, key: {key}, roles: []}}]\n"), 3, "has no role"),
            (format!("  keys: [{{id: a, key: {key}, roles: [boss]}}]\n"), 3, "unknown variant"),
            (format!("  keys: [{{id: a, kee: {key}, roles: [ci]}}]\n"), 3, "unknown field"),
            (
                format!("  keys:\n  - {{id: a, key: {key}, roles: [ci], valid_from: soon}}\n"),
                4,
                "'soon' is not a time",
            ),
            (
                format!(
                    "  keys:\n  - {{id: a, key: {key}, roles: [ci], valid_from: 2026-02-01, \
                     valid_until: 2026-01-01}}\n"
                ),
                4,
                "ends before it begins",
            ),
            (
                format!(
                    "  keys:\n  - {{id: a, key: {key}, roles: [ci]}}\n  - {{id: a, key: {}, roles: \
                     [ci]}}\n",
                    base64(2)
                ),
                5,
                "stands here twice",
            ),
            (
                format!(
                    "  keys:\n  - {{id: a, key: {key}, roles: [ci]}}\n  - {{id: b, key: {key}, \
                     roles: [ci]}}\n"
                ),
                5,
                "is the same key as a",
            ),
        ] {
            let error = read(&config(&trust), Path::new("orca.yaml")).unwrap_err();
            assert_eq!(error.line, line, "{trust}: {error}");
            assert!(error.message.contains(message), "{trust}: {error}");
        }
    }

    #[test]
    fn what_changes_trust_or_gates_changes_a_line() {
        let lines = |text: &str| read(text, Path::new("orca.yaml")).unwrap().1;
        let start = lines("version: 1\ngates: {load: {profile: baseline}}\n");
        for (text, changes) in [
            ("version: 1\ngates: {load: {profile: baseline, mode: enforce}}\n", false),
            ("version: 1\nservice: {name: x}\ngates: {load: {profile: baseline}}\n", false),
            ("version: 1\ntrust: {signing_key: k}\ngates: {load: {profile: baseline}}\n", false),
            ("version: 9\nnew: 1\ngates: {load: {profile: baseline}}\n", false),
            ("version: 1\ngates: {load: {profile: baseline, mode: observe}}\n", true),
            ("version: 1\ngates: {load: {profile: spike}}\n", true),
            ("version: 1\ngates: {load: {profile: baseline}, db: {required: false}}\n", true),
            ("version: 1\n", true),
        ] {
            assert_eq!(lines(text) != start, changes, "{text}");
        }
    }
}
