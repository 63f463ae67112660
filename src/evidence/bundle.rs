//! What a pack is made of: bytes as the ledger keeps them. Times come from the entries, never from
//! a clock, so the same bundle gives the same pack.

use std::borrow::Cow;
use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, ReleaseName};
use crate::evidence::manifest::EvidenceManifest;
use crate::evidence::zip::Files;
use crate::ledger::entry::{self, Body, Entry};

/// Everything that goes into a pack.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    pub(crate) release: ReleaseName,
    pub(crate) commit: CommitId,
    /// The ledger, oldest entry first.
    pub(crate) ledger: Vec<LedgerBytes>,
    /// Exhibits by digest; those of other releases may be left out.
    pub(crate) exhibits: BTreeMap<Digest, Vec<u8>>,
    /// More files by their path in the pack, such as `release/notes.md`.
    pub(crate) files: Files,
    pub(crate) manifest: EvidenceManifest,
}

/// One entry as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerBytes {
    /// `entry.json`.
    pub(crate) entry: Vec<u8>,
    /// `entry.dsse.json`, where it was signed.
    pub(crate) dsse: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BundleError {
    #[error("ledger entry {number} cannot be read: {reason}")]
    Entry { number: usize, reason: String },
    #[error("ledger entry {number} does not follow the one before it")]
    Chain { number: usize },
    #[error("the ledger is empty")]
    Empty,
}

/// Reads entries and holds them to their chain. The first one may have a past that is not here.
pub(crate) fn read_ledger<'a>(
    raw: impl Iterator<Item = &'a [u8]>,
) -> Result<Vec<Entry>, BundleError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut before: Option<Digest> = None;
    for (index, bytes) in raw.enumerate() {
        let entry =
            read_entry(bytes).map_err(|reason| BundleError::Entry { number: index + 1, reason })?;
        if index > 0 && entry.prev_sha256 != before {
            return Err(BundleError::Chain { number: index + 1 });
        }
        before = Some(Digest::of(bytes));
        entries.push(entry);
    }
    if entries.is_empty() { Err(BundleError::Empty) } else { Ok(entries) }
}

fn read_entry(bytes: &[u8]) -> Result<Entry, String> {
    let entry: Entry = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    if entry.schema == entry::SCHEMA {
        Ok(entry)
    } else {
        Err(format!("unknown schema '{}'", entry.schema))
    }
}

/// What an entry says: a reconciled fact says what its original said, when it was said.
pub(crate) fn said(entry: &Entry) -> (Timestamp, Body) {
    let original = original(entry);
    (original.at, original.into_owned().body)
}

/// The entry that this one stands for: itself, or the one that it carries.
pub(crate) fn original(entry: &Entry) -> Cow<'_, Entry> {
    let Body::Reconciled { entry_base64, .. } = &entry.body else { return Cow::Borrowed(entry) };
    let inner = STANDARD.decode(entry_base64).ok().and_then(|bytes| read_entry(&bytes).ok());
    inner.map_or(Cow::Borrowed(entry), Cow::Owned)
}

/// The `kind` of a body, as `entry.json` writes it.
pub(crate) fn kind(body: &Body) -> String {
    let value = serde_json::to_value(body).expect("a body is plain data");
    value["kind"].as_str().unwrap_or_default().to_owned()
}
