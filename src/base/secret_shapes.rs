//! What secrets look like to somebody who does not know them: passwords in URLs, tokens by the
//! prefixes of their issuers, authorization headers, values of telling names, private keys. Pure.
//! Each pass gives a masked text, or nothing when there was nothing to mask; masking twice changes
//! nothing.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::redact::MASK;

type Pass = fn(&str) -> Option<String>;

pub(super) const PASSES: [Pass; 5] =
    [mask_url_passwords, mask_tokens, mask_schemes, mask_named, mask_pem];

/// Prefixes after which a token follows, as their issuers publish them.
const TOKEN_PREFIXES: [&str; 33] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sbp_",
    "sb_secret_",
    "xoxb-",
    "xoxp-",
    "xoxa-",
    "xoxr-",
    "xoxs-",
    "xapp-",
    "sk_live_",
    "sk_test_",
    "rk_live_",
    "whsec_",
    "AKIA",
    "ASIA",
    "AIza",
    "eyJ",
    "npm_",
    "pypi-",
    "dop_v1_",
    "shpat_",
    "sntrys_",
    "lin_api_",
    "ya29.",
    "SG.",
    "hf_",
    "AGE-SECRET-KEY-",
];
/// Prefixes that ordinary names have too: what follows must hold a digit.
const WEAK_PREFIXES: [&str; 2] = ["sk-", "sk_"];
/// Fewest characters after a prefix.
const TOKEN_CHARS_MIN: usize = 12;
/// The same after a weak one.
const WEAK_CHARS_MIN: usize = 16;

/// Schemes of an authorization that a credential follows.
const SCHEMES: [&str; 5] = ["bearer ", "basic ", "geniekey ", "oauth ", "negotiate "];
/// The end of the first and of the last line of a private key.
const PEM_START: &str = "PRIVATE KEY-----";

/// Names whose value is a secret, in `name=value`, `name: value`, `"name":"value"` and `--name value`.
const SECRET_NAMES: [&str; 16] = [
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "secret",
    "token",
    "api_key",
    "apikey",
    "authorization",
    "private_key",
    "access_key",
    "credential",
    "credentials",
    "connection_string",
    "x_amz_signature",
    "cookie",
];
/// Most bytes looked at for one value: a text of nothing but beginnings takes no longer than another.
const VALUE_BYTES_MAX: usize = 4_096;
/// The same for user and password of a URL, and for the word before a name.
const WORD_BYTES_MAX: usize = 1_024;
/// Shortest value after `name:`, which is also how sentences begin; after `name=` any is masked.
const NAMED_CHARS_MIN: usize = 6;

/// What stands in every text that a pass changes, whatever else does; most texts hold none of it.
static TRIGGERS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    // The longest part of a name between `_`, which may be written `-`.
    let part = |name: &&'static str| name.split('_').max_by_key(|part| part.len()).unwrap_or(name);
    let names = SECRET_NAMES.iter().map(part);
    let prefixes = TOKEN_PREFIXES.iter().chain(&WEAK_PREFIXES).copied();
    let all = prefixes.chain(names).chain(SCHEMES).chain(["://", PEM_START]);
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(all)
        .expect("a few short constant patterns")
});

/// Whether a pass may have something to mask in `text`: one look instead of many.
pub(super) fn may_hold_any(text: &str) -> bool {
    TRIGGERS.is_match(text)
}

/// Whether the last word of `name`, words being joined by `_` or `-`, is one that names secrets.
pub(crate) fn is_secret_name(name: &str) -> bool {
    let joins = |b: u8| matches!(b, b'_' | b'-');
    let alike = |(a, b): (&u8, &u8)| a.eq_ignore_ascii_case(b) || (joins(*a) && joins(*b));
    SECRET_NAMES.iter().any(|secret| {
        let Some(at) = name.len().checked_sub(secret.len()) else { return false };
        let (before, end) = name.as_bytes().split_at(at);
        end.iter().zip(secret.as_bytes()).rev().all(alike)
            && before.last().is_none_or(|b| joins(*b))
    })
}

/// The password of `scheme://user:password@host`, as it is written.
pub(super) fn url_password(url: &str) -> Option<&str> {
    let (_, tail) = url.split_once("://")?;
    let (user, _) = user_of(tail)?;
    user.split_once(':').map(|(_, password)| password).filter(|password| !password.is_empty())
}

fn start_of(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// `text` with these places masked; of two that overlap the first one ends where the last does.
fn cut(text: &str, mut cuts: Vec<(usize, usize)>) -> Option<String> {
    cuts.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in &cuts {
        if *start >= done {
            out.push_str(&text[done..*start]);
            out.push_str(MASK);
        }
        done = done.max(*end);
    }
    out.push_str(&text[done..]);
    (!cuts.is_empty()).then_some(out)
}

/// User and password before the host, and the length of what is there with its `@`.
fn user_of(tail: &str) -> Option<(&str, usize)> {
    let tail = start_of(tail, WORD_BYTES_MAX);
    let until = |stops: &[char]| {
        let end =
            tail.find(|c: char| c.is_whitespace() || stops.contains(&c)).unwrap_or(tail.len());
        &tail[..end]
    };
    let authority = until(&['/', '"', '\'', '<', '>', '?', '#', '`', '|']);
    if let Some((user, _)) = authority.rsplit_once('@') {
        return Some((user, user.len() + 1));
    }
    // A slash inside the password: what stands before it is no port.
    let (_, port) = authority.rsplit_once(':')?;
    if port.is_empty() || port.bytes().all(|b| b.is_ascii_digit()) || port == MASK {
        return None;
    }
    let (user, _) = until(&['"', '\'', '<', '>', '`']).rsplit_once('@')?;
    Some((user, user.len() + 1))
}

pub(super) fn percent_encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    let one = |b: u8| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") };
    text.bytes().map(one).collect()
}

pub(crate) fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let coded = text.get(at + 1..at + 3).filter(|_| *byte == b'%');
        let decoded = coded.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        out.push(decoded.unwrap_or(*byte));
        at += if decoded.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `scheme://user:password@host` keeps scheme and host, and a user that is a plain name.
fn mask_url_passwords(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        rest = tail;
        let Some((user, length)) = user_of(tail).filter(|(user, _)| *user != "git") else {
            continue;
        };
        let name = user.split_once(':').and_then(|(name, password)| plain_name(name, password));
        let masked = name.map_or(format!("{MASK}@"), |name| format!("{name}:{MASK}@"));
        changed |= masked != tail[..length];
        out.push_str(&masked);
        rest = &tail[length..];
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// A user that is no token itself, as tokens are when the password beside them says nothing.
fn plain_name<'a>(name: &'a str, password: &str) -> Option<&'a str> {
    let is_plain = (1..=16).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
        && !matches!(password, "" | "x-oauth-basic");
    is_plain.then_some(name)
}

fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// How long the token at the start of `text` is.
fn token_at(text: &str) -> Option<usize> {
    let weak = WEAK_PREFIXES.iter().find(|prefix| text.starts_with(**prefix));
    let prefix = TOKEN_PREFIXES.iter().find(|prefix| text.starts_with(**prefix)).or(weak)?;
    let length = text.find(|c| !is_token_char(c)).unwrap_or(text.len());
    let after = text.get(prefix.len()..length)?;
    let strong = TOKEN_PREFIXES.contains(prefix) && after.len() >= TOKEN_CHARS_MIN;
    let digits = after.len() >= WEAK_CHARS_MIN && after.contains(|c: char| c.is_ascii_digit());
    (strong || digits).then_some(length)
}

/// Tokens known by their prefix.
fn mask_tokens(text: &str) -> Option<String> {
    let mut out = String::new();
    let (mut rest, mut before) = (text, ' ');
    let mut changed = false;
    while let Some(first) = rest.chars().next() {
        let token = if before.is_ascii_alphanumeric() { None } else { token_at(rest) };
        let length = token.unwrap_or(first.len_utf8());
        let (taken, after) = rest.split_at(length);
        out.push_str(if token.is_some() { MASK } else { taken });
        changed |= token.is_some();
        before = taken.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    changed.then_some(out)
}

/// `Bearer x` and `Basic x` keep the scheme.
fn mask_schemes(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let mut cuts = Vec::new();
    for scheme in SCHEMES {
        for (at, _) in lower.match_indices(scheme) {
            let start = at + scheme.len();
            let rest = start_of(&text[start..], VALUE_BYTES_MAX);
            let credential = |c: char| is_token_char(c) || matches!(c, '+' | '/' | '=' | '~' | ':');
            let word = &rest[..rest.find(|c| !credential(c)).unwrap_or(rest.len())];
            // "a basic understanding" is none.
            if word.len() >= 8 && word.contains(|c: char| !c.is_ascii_lowercase()) {
                cuts.push((start, start + word.len()));
            }
        }
    }
    cut(text, cuts)
}

/// `password=x`, `token: x`, `"secret":"x"`, `--token x`.
fn mask_named(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase().replace('-', "_");
    let mut cuts: Vec<(usize, usize)> = Vec::new();
    for name in SECRET_NAMES {
        let mut done = 0;
        for (at, _) in lower.match_indices(name) {
            // What stands in a value that is cut anyway needs no look.
            let cut = if at < done { None } else { named_value(text, name, (at, at + name.len())) };
            done = cut.map_or(done, |(_, end)| end);
            cuts.extend(cut);
        }
    }
    cut(text, cuts)
}

/// Whether the name that begins at `at` belongs to an argument such as `--admin-token`.
fn is_argument(text: &str, at: usize) -> bool {
    let from = text.floor_char_boundary(at.saturating_sub(WORD_BYTES_MAX.min(64)));
    let word = text[from..at].rsplit(char::is_whitespace).next();
    word.is_some_and(|word| word.starts_with("--"))
}

/// Where the value of the name at `place` stands, when there is one to mask.
fn named_value(text: &str, name: &str, (at, end): (usize, usize)) -> Option<(usize, usize)> {
    let quotes: &[char] = &['"', '\'', '\\'];
    let tail = start_of(&text[end..], VALUE_BYTES_MAX);
    let joined = tail.trim_start_matches(quotes);
    let (after, least) = match (joined.strip_prefix('='), joined.strip_prefix(':')) {
        (Some(after), _) => (after, 1),
        (_, Some(after)) if name == "authorization" => (after, 1),
        (_, Some(after)) => (after, NAMED_CHARS_MIN),
        _ if is_argument(text, at) => (tail.strip_prefix(' ')?, NAMED_CHARS_MIN),
        _ => return None,
    };
    let value = after.trim_start_matches(' ');
    let bare = value.trim_start_matches(quotes);
    let quote = value[..value.len() - bare.len()].chars().next_back();
    let length = match quote {
        Some(quote) => bare.find([quote, '\n']),
        None if matches!(name, "authorization" | "cookie") => bare.find(['\n', '\r', '"', '\'']),
        None => bare.find(|c: char| {
            c.is_whitespace() || matches!(c, '"' | '\'' | '&' | ',' | ';' | '}' | ')' | '`')
        }),
    };
    let word = bare[..length.unwrap_or(bare.len())].trim_end_matches(['\\', ' ']);
    // The scheme stays, what follows it is masked already or is masked here.
    let scheme = ["Bearer ", "bearer ", "Basic ", "basic "].iter().find(|s| word.starts_with(**s));
    let word = scheme.map_or(word, |scheme| &word[scheme.len()..]);
    let start = end + tail.len() - bare.len() + scheme.map_or(0, |scheme| scheme.len());
    let telling = name != "cookie" || word.contains('=');
    let placeholder = word.starts_with(['<', '[', '$']) || word.starts_with(MASK);
    let masks = word.len() >= least && telling && !placeholder && !word.ends_with(MASK);
    masks.then_some((start, start + word.len()))
}

/// Every PEM private key keeps its first and last line.
fn mask_pem(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find(PEM_START) {
        let (head, tail) = rest.split_at(at + PEM_START.len());
        out.push_str(head);
        // The last line of a key ends in the same words.
        let is_end = head.rsplit("-----").nth(1).is_some_and(|words| words.starts_with("END"));
        let end = if is_end { 0 } else { tail.find("-----END").unwrap_or(tail.len()) };
        let inner = tail[..end].trim();
        if !inner.is_empty() && inner != MASK {
            out.push_str(&format!("\n{MASK}\n"));
            changed = true;
        } else {
            out.push_str(&tail[..end]);
        }
        rest = &tail[end..];
    }
    out.push_str(rest);
    changed.then_some(out)
}

#[cfg(test)]
mod tests {
    use crate::base::redact::{Redactor, Secret};
    use proptest::prelude::*;

    fn masked(text: &str) -> String {
        Redactor::new([Secret::new("hunter22")]).text(text).into_owned()
    }

    #[test]
    fn secrets_are_masked_by_their_shape() {
        for (text, expected) in [
            ("the key hunter22 leaked", "the key [redacted] leaked"),
            ("postgres://admin:s3cr3t@db.example/x", "postgres://admin:[redacted]@db.example/x"),
            ("postgres://u:p/w@db:5432/x done", "postgres://u:[redacted]@db:5432/x done"),
            ("at 'redis://:pw@h:1/0'.", "at 'redis://[redacted]@h:1/0'."),
            ("https://glTOKEN99:x-oauth-basic@h/r", "https://[redacted]@h/r"),
            ("https://s3cr3tt0ken@github.com/a", "https://[redacted]@github.com/a"),
            ("Authorization: Bearer abcdefgh12345", "Authorization: Bearer [redacted]"),
            ("authorization: Digest user=\"x\", r=1", "authorization: [redacted]\"x\", r=1"),
            ("AUTHORIZATION: Basic dTpw", "AUTHORIZATION: Basic [redacted]"),
            ("set-cookie: sid=abcdef; Path=/", "set-cookie: [redacted]"),
            ("token ghp_abcdefghijklmnop1234 used", "token [redacted] used"),
            ("(eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln)", "([redacted])"),
            ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
            ("sk-proj-abc123def456ghi789", "[redacted]"),
            ("password=opensesame&x=1", "password=[redacted]&x=1"),
            ("PGPASSWORD='open sesame' psql", "PGPASSWORD='[redacted]' psql"),
            ("curl --token opensesame x", "curl --token [redacted] x"),
            (r#"{"api_key":"open sesame"}"#, r#"{"api_key":"[redacted]"}"#),
            (r#"{\"password\":\"opensesame\"}"#, r#"{\"password\":\"[redacted]\"}"#),
        ] {
            let once = masked(text);
            assert_eq!(once, expected);
            assert!(super::may_hold_any(text) || text.contains("hunter22"), "{text}");
            assert_eq!(masked(&once), once, "redacting twice changes nothing");
        }
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----";
        let two = masked(&format!("{pem}\n{pem}\n"));
        assert!(!two.contains("MC4CAQ") && two.contains("END"), "{two}");
    }

    #[test]
    fn what_is_no_secret_stays() {
        for text in [
            "fix: token bucket refill",
            "https://example.com/a?b=c",
            "https://www.npmjs.com/package/@scope/name",
            "http://127.0.0.1:4001/@user",
            "ssh://git@github.com/o/r.git",
            "a basic understanding of bearer instruments",
            "signature: orca.sig",
            "the session cookie: it holds the bucket",
            "--token-file FILE",
            "sk-learning-is-a-name",
            "password: none",
        ] {
            assert_eq!(masked(text), text);
        }
    }

    #[test]
    fn a_name_is_known_by_its_last_word() {
        for name in ["token", "ADMIN_TOKEN", "x-api-key", "Db-Password", "connection-string"] {
            assert!(super::is_secret_name(name), "{name}");
        }
        for name in ["", "tokens", "broken", "token_file", "mytoken", "passwordless"] {
            assert!(!super::is_secret_name(name), "{name}");
        }
    }

    proptest! {
        /// Any text, any secret: no panic, nothing of the secret stays, and twice is once.
        #[test]
        fn nothing_known_stays(
            before in "[ -~\\n\u{e9}]{0,40}", secret in "[!-~]{6,30}", after in "[ -~\\n\u{e9}]{0,40}"
        ) {
            let redactor = Redactor::new([Secret::new(secret.as_str())]);
            let once = redactor.text(&format!("{before}{secret}{after}")).into_owned();
            prop_assert!(!once.contains(&secret) || crate::base::redact::MASK.contains(&secret));
        }

        #[test]
        fn any_text_is_masked_without_a_panic(text in "(://|@|:|=|token|password|--|PRIVATE KEY-----|-----END|Bearer |\"|\\\\|[a-z ]|\u{1F600}){0,30}") {
            let once = masked(&text);
            let _ = masked(&once);
            let changes = super::PASSES.iter().any(|pass| pass(&text).is_some());
            prop_assert!(!changes || super::may_hold_any(&text), "{text}");
        }
    }
}
