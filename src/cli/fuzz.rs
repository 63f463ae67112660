//! One entry per parser for `fuzz/`: whatever the bytes, each comes back with an answer or an error.
//! The tests below do the same with random bytes and with changed examples, in every test run.

use std::collections::BTreeSet;
use std::path::Path;

use crate::base::dsse::{Envelope, SigningKey};
use crate::base::redact::Redactor;
use crate::cli::config::resolve;
use crate::cli::env::Env;
use crate::cli::rules;
use crate::evidence::rejudge::rejudge;
use crate::evidence::verify::{Submission, verify};
use crate::gate::exhibit::Exhibit;
use crate::gate::verdict::Verdict;
use crate::ledger::chain::{self, Link};
use crate::ledger::sign;
use crate::load::response::Response;
use crate::release::changelog;
use crate::slo::manifest::Manifest;
use crate::slo::objective::Objective;
use crate::smoke::parse;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `slo_manifest.yaml`.
pub fn manifest(bytes: &[u8]) {
    let source = text(bytes);
    if let Err(error) = Manifest::parse(&source, Path::new("slo_manifest.yaml")) {
        assert!(!error.message.is_empty());
    }
}

/// `orca.yaml`.
pub fn config(bytes: &[u8]) {
    let source = text(bytes);
    if let Err(error) = resolve::parse(&source, Path::new("orca.yaml"), &Env::default()) {
        assert!(!error.message.is_empty());
    }
}

/// `entry.json`, and an exhibit.
pub fn ledger_entry(bytes: &[u8]) {
    let mut link = Link::default();
    if let Ok(record) = chain::verify_next(&mut link, bytes) {
        assert_eq!((link.count, link.newest), (1, Some(record.digest)));
    }
    if let Ok(exhibit) = Exhibit::parse(bytes) {
        let _ = rules::all().judge(&exhibit);
    }
}

/// A signed envelope: nothing that nobody signed verifies.
pub fn dsse(bytes: &[u8]) {
    let Ok(envelope) = Envelope::parse(bytes) else { return };
    let _ = envelope.claimed_payload();
    let key = SigningKey::from_seed(&[1; 32]).public();
    let _ = envelope.verify(sign::PAYLOAD_TYPE, &key);
    assert_eq!(Envelope::parse(&envelope.bytes()), Ok(envelope));
}

/// A pack: nothing that nobody signed passes.
pub fn pack(bytes: &[u8]) {
    let key = SigningKey::from_seed(&[1; 32]).public();
    let submission = Submission { zip: bytes, signature: Some(&[0; 64]), key: Some(&key) };
    assert_eq!(verify(&submission, &rules::all()).verdict, Verdict::Fail);
    let _ = rejudge(bytes, &rules::all());
}

/// An HTTP response: the same answer however it is split.
pub fn http_response(bytes: &[u8]) {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let read = |piece: usize| {
        let mut response = Response::new(how & 1 == 1);
        let (mut done, mut end) = (0, 0);
        while end < bytes.len() && !response.is_done() {
            end = (end + piece).min(bytes.len());
            match response.feed(&bytes[done..end]) {
                Ok(used) => done += used,
                Err(error) => return Err(error),
            }
            assert!(done <= end);
        }
        let whole = response.is_done() || response.closed().is_ok();
        Ok((whole, response.status(), response.keep_alive(), done))
    };
    let (whole, split) = (read(bytes.len().max(1)), read(usize::from(how >> 1).max(1)));
    assert_eq!(whole.is_ok(), split.is_ok());
    if let (Ok(whole), Ok(split)) = (whole, split) {
        assert_eq!(whole, split);
    }
}

/// `CHANGELOG.md`: what was written once is not written twice.
pub fn changelog(bytes: &[u8]) {
    let before = text(bytes);
    let written = changelog::with_release(Some(&before), "1.2.3", "2026-01-05", &[]);
    let again = changelog::with_release(Some(&written), "1.2.3", "2026-01-05", &[]);
    assert_eq!(again, written);
    let _ = changelog::reopened(&written, "1.2.3");
}

/// An objective in words: what it says of itself reads back as the same.
pub fn objective(bytes: &[u8]) {
    if let Ok(objective) = text(bytes).parse::<Objective>() {
        assert_eq!(objective.to_string().parse(), Ok(objective));
    }
}

/// Texts with secrets.
pub fn redactor(bytes: &[u8]) {
    let source = text(bytes);
    let _ = Redactor::default().text(&source);
}

/// A `.http` file: whatever is wrong in it has a place inside it.
pub fn smoke(bytes: &[u8]) {
    let source = text(bytes);
    match parse::parse(&source, Path::new("a.http")) {
        Ok(file) => {
            let names: BTreeSet<_> = file.tests.iter().map(|test| &test.name).collect();
            assert_eq!(names.len(), file.tests.len());
        }
        Err(error) => {
            assert!(!error.message.is_empty() && error.suggestion.is_some());
            let lines = u64::try_from(source.lines().count()).unwrap_or(u64::MAX);
            assert!((1..=lines).contains(&error.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use proptest::prelude::*;

    type Entry = fn(&[u8]);

    const ALL: [(&str, Entry); 10] = [
        ("manifest", manifest),
        ("config", config),
        ("ledger_entry", ledger_entry),
        ("dsse", dsse),
        ("pack", pack),
        ("http_response", http_response),
        ("changelog", changelog),
        ("objective", objective),
        ("redactor", redactor),
        ("smoke", smoke),
    ];

    /// Long enough for a busy machine; what is not bounded takes longer still.
    const TIME_MAX: Duration = Duration::from_secs(20);

    fn in_time(name: &str, entry: Entry, bytes: &[u8]) {
        #[expect(clippy::disallowed_methods, reason = "a test of time takes the time")]
        let start = Instant::now();
        entry(bytes);
        assert!(start.elapsed() < TIME_MAX, "{name} took {:?}", start.elapsed());
    }

    fn seeds(name: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        files.map(|file| std::fs::read(file).unwrap()).collect()
    }

    #[test]
    fn every_seed_comes_back() {
        for (name, entry) in ALL {
            let seeds = seeds(name);
            assert!(!seeds.is_empty(), "{name} has no seeds");
            for seed in seeds {
                in_time(name, entry, &seed);
            }
        }
    }

    /// A lot of one thing, for whatever takes the square of its length.
    #[test]
    fn long_inputs_take_bounded_time() {
        let pieces = [
            "[",
            "{a: ",
            "- ",
            "\"",
            "a: &a [*a]\n",
            "## [",
            "p95 < ",
            "token=",
            "basic ",
            "://a:b",
            "\r\n",
            "authorization: ",
            "###\nGET /\n",
            "GET /\n",
            "{{a}}",
        ];
        for piece in pieces {
            let long = piece.repeat(200_000 / piece.len());
            for (name, entry) in ALL {
                in_time(&format!("{name} of '{piece}'"), entry, long.as_bytes());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for (name, entry) in ALL {
                in_time(name, entry, &bytes);
            }
        }

        /// An example with bytes changed, doubled and lost.
        #[test]
        fn changed_seeds_come_back(
            which in any::<prop::sample::Index>(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6),
        ) {
            for (name, entry) in ALL {
                let seeds = seeds(name);
                let mut bytes = seeds[which.index(seeds.len())].clone();
                for (at, byte, how) in &changes {
                    let at = at.index(bytes.len() + 1);
                    match how {
                        0 => bytes.insert(at, *byte),
                        1 => bytes.truncate(at),
                        2 => bytes.extend_from_within(at..),
                        _ => bytes.get_mut(at).into_iter().for_each(|old| *old = *byte),
                    }
                }
                in_time(name, entry, &bytes);
            }
        }
    }
}
