//! Verifies a sequence of raw entries: every link, schema, kind and size. Pure.
//!
//! What does not fit is named by its position and id. An entry of a newer orca (another schema
//! version, another kind) is kept unread: it is part of the chain, and whoever folds it must not
//! raise exposure. A reconciled fact is unwrapped to the entry that it was.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::entry::{Body, Entry, ExhibitRef, SCHEMA};
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::OrcaId;
use crate::base::limits;

/// Largest stored `entry.json`: a reconciled entry holds another one, and its signature, as text.
pub(crate) const STORED_BYTES_MAX: usize = 4 * limits::ENTRY_BYTES_MAX;

/// Where a chain stands: what the next entry links to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Link {
    /// How many entries there are.
    pub(crate) count: u64,
    /// SHA-256 of the newest `entry.json`.
    pub(crate) newest: Option<Digest>,
}

/// One verified entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// 1-based.
    pub(crate) position: u64,
    /// SHA-256 of its bytes.
    pub(crate) digest: Digest,
    /// SHA-256 of the entry it stands for: for a carrier, of the bytes that it carries.
    pub(crate) told: Digest,
    pub(crate) said: Said,
}

/// What an entry says, as far as this orca can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Known(Box<Entry>),
    /// A fact that lost a race: the entry that carries it, and the fact as it was first written.
    Reconciled {
        carrier: Box<Entry>,
        original: Box<Entry>,
    },
    Unknown(UnknownEntry),
}

/// An entry that a newer orca wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnknownEntry {
    pub(crate) id: OrcaId,
    pub(crate) schema: String,
    pub(crate) kind: String,
    pub(crate) at: Timestamp,
}

impl Record {
    /// The id under which other entries refer to it.
    pub(crate) fn id(&self) -> &OrcaId {
        match &self.said {
            Said::Known(entry) | Said::Reconciled { original: entry, .. } => &entry.id,
            Said::Unknown(unknown) => &unknown.id,
        }
    }

    /// The digest of what it says, wherever it stands in a chain.
    pub(crate) fn content(&self) -> Digest {
        self.entry().map_or(self.told, Entry::content)
    }

    /// Exhibits that its commit holds, or that stand beside.
    pub(crate) fn exhibits(&self) -> &[ExhibitRef] {
        match &self.said {
            Said::Known(entry) | Said::Reconciled { carrier: entry, .. } => &entry.exhibits,
            Said::Unknown(_) => &[],
        }
    }

    /// The entry it stands for; nothing when a newer orca wrote it.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        match &self.said {
            Said::Known(entry) | Said::Reconciled { original: entry, .. } => Some(entry),
            Said::Unknown(_) => None,
        }
    }
}

/// An entry that does not fit the chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ledger entry {position} ({}) is corrupted: {fault}", id.as_deref().unwrap_or("id unreadable"))]
pub(crate) struct Corrupted {
    /// 1-based.
    pub(crate) position: u64,
    pub(crate) id: Option<String>,
    pub(crate) fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{bytes} bytes are more than {max}")]
    TooLarge { bytes: usize, max: usize },
    #[error("not an entry: {0}")]
    Unreadable(String),
    #[error("it links to {found}, and the entry before it is {expected}")]
    Link { found: String, expected: String },
    #[error("unknown schema '{0}'")]
    Schema(String),
    #[error("what it carries is not an entry: {0}")]
    Carried(String),
    #[error("entry {0} was written before, and said something else")]
    Twice(OrcaId),
}

/// As much of an entry as every version has.
#[derive(Deserialize)]
struct Outline {
    schema: String,
    id: OrcaId,
    prev_sha256: Option<Digest>,
    at: Timestamp,
    body: Kind,
}

#[derive(Deserialize)]
struct Kind {
    kind: String,
}

/// Verifies the next entry after `link` and moves `link` onto it.
pub(crate) fn verify_next(link: &mut Link, bytes: &[u8]) -> Result<Record, Corrupted> {
    let position = link.count + 1;
    let corrupted = |id: Option<String>, fault| Corrupted { position, id, fault };
    if bytes.len() > STORED_BYTES_MAX {
        let fault = Fault::TooLarge { bytes: bytes.len(), max: STORED_BYTES_MAX };
        return Err(corrupted(None, fault));
    }
    let digest = Digest::of(bytes);
    // Nearly every entry reads at once; only what does not is looked at twice.
    let (id, before, said) = match serde_json::from_slice::<Entry>(bytes) {
        Ok(entry) if entry.schema == SCHEMA => {
            (entry.id.clone(), entry.prev_sha256, known(entry, digest))
        }
        read => {
            let outline: Outline = serde_json::from_slice(bytes)
                .map_err(|e| corrupted(id_in(bytes), Fault::Unreadable(e.to_string())))?;
            let before = outline.prev_sha256;
            (outline.id.clone(), before, newer(outline, read.err()).map(|said| (said, digest)))
        }
    };
    let named = |fault| corrupted(Some(id.to_string()), fault);
    if before != link.newest {
        let (found, expected) = (show(before), show(link.newest));
        return Err(named(Fault::Link { found, expected }));
    }
    let (said, told) = said.map_err(named)?;
    *link = Link { count: position, newest: Some(digest) };
    Ok(Record { position, digest, told, said })
}

/// Verifies a whole sequence, oldest first.
#[cfg(test)]
pub(crate) fn verify<'a>(
    link: &mut Link,
    entries: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Record>, Corrupted> {
    entries.into_iter().map(|bytes| verify_next(link, bytes)).collect()
}

/// What an entry of this schema says, and the digest of the one that it stands for.
fn known(entry: Entry, digest: Digest) -> Result<(Said, Digest), Fault> {
    match &entry.body {
        Body::Reconciled { entry_base64, .. } => {
            let (original, told) = unwrap_carried(entry_base64)?;
            let (carrier, original) = (Box::new(entry), Box::new(original));
            Ok((Said::Reconciled { carrier, original }, told))
        }
        _ => Ok((Said::Known(Box::new(entry)), digest)),
    }
}

/// What is left when it does not read as an entry of this schema, because of `unread`.
fn newer(outline: Outline, unread: Option<serde_json::Error>) -> Result<Said, Fault> {
    let Outline { schema, id, at, body: Kind { kind }, .. } = outline;
    let is_ours = schema == SCHEMA;
    if let (true, true, Some(error)) = (is_ours, Body::KINDS.contains(&kind.as_str()), unread) {
        return Err(Fault::Unreadable(error.to_string()));
    }
    let version = schema.strip_prefix("orca.entry/v").and_then(|v| v.parse::<u32>().ok());
    if is_ours || version.is_some_and(|v| v > 1) {
        return Ok(Said::Unknown(UnknownEntry { id, schema, kind, at }));
    }
    Err(Fault::Schema(schema))
}

/// The entry inside a `reconciled` one, and the digest of its bytes. Only facts are carried, and
/// never another carrier.
pub(crate) fn unwrap_carried(entry_base64: &str) -> Result<(Entry, Digest), Fault> {
    let bytes = STANDARD.decode(entry_base64).map_err(|e| Fault::Carried(e.to_string()))?;
    let entry: Entry = serde_json::from_slice(&bytes).map_err(|e| Fault::Carried(e.to_string()))?;
    if entry.schema != SCHEMA {
        return Err(Fault::Carried(format!("unknown schema '{}'", entry.schema)));
    }
    if !entry.body.is_fact() || matches!(entry.body, Body::Reconciled { .. }) {
        return Err(Fault::Carried(format!("{} is not a fact to carry", entry.body.kind())));
    }
    Ok((entry, Digest::of(&bytes)))
}

/// The bytes and the signature that speak for a stored entry: for a carrier those that it carries. A
/// signature that is not even text stays what it is, and fits nothing.
pub(crate) fn speaks_for(entry: &[u8], dsse: Option<&[u8]>) -> (Vec<u8>, Option<Vec<u8>>) {
    let body = serde_json::from_slice::<Entry>(entry).map(|said| said.body);
    if let Ok(Body::Reconciled { entry_base64, dsse_base64 }) = body
        && let Ok(original) = STANDARD.decode(entry_base64)
    {
        let decoded = |text: String| STANDARD.decode(&text).unwrap_or(text.into_bytes());
        return (original, dsse_base64.map(decoded));
    }
    (entry.to_vec(), dsse.map(<[u8]>::to_vec))
}

/// The id of an entry that is otherwise unreadable, where its JSON still holds.
fn id_in(bytes: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let id = value.get("id")?.as_str()?;
    OrcaId::new(id).ok().map(String::from)
}

fn show(digest: Option<Digest>) -> String {
    digest.map_or_else(|| "nothing".to_owned(), |d| d.short())
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Told, environment};
    use super::*;

    fn three() -> Vec<Vec<u8>> {
        let mut told = Told::new();
        for reason in ["one", "two", "three"] {
            told.tell(Some("production"), Told::frozen("v1.4.0-rc.1", reason));
        }
        told.bytes()
    }

    fn check(entries: &[Vec<u8>]) -> Result<Vec<Record>, Corrupted> {
        verify(&mut Link::default(), entries.iter().map(Vec::as_slice))
    }

    fn rewritten(entry: &[u8], change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut value = serde_json::from_slice(entry).unwrap();
        change(&mut value);
        crate::base::digest::canonical_json(&value).unwrap()
    }

    #[test]
    fn a_whole_chain_verifies_and_goes_on() {
        let entries = three();
        let records = check(&entries).unwrap();
        assert_eq!(records.iter().map(|r| r.position).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(records[0].entry().unwrap().environment, Some(environment("production")));
        let mut link = Link { count: 2, newest: Some(records[1].digest) };
        assert_eq!(verify_next(&mut link, &entries[2]).unwrap(), records[2]);
    }

    #[test]
    fn every_fault_is_named_by_position_and_id() {
        let whole = three();
        let id = check(&whole).unwrap()[1].id().to_string();
        let with_second =
            |bytes: Vec<u8>| check(&[whole[0].clone(), bytes, whole[2].clone()]).unwrap_err();
        let removed = check(&[whole[0].clone(), whole[2].clone()]).unwrap_err();
        assert!(matches!((removed.position, removed.fault), (2, Fault::Link { .. })));
        // A changed word keeps its own entry readable, and breaks the next link.
        let changed = with_second(rewritten(&whole[1], |v| v["actor"]["name"] = "eve".into()));
        assert!(matches!((changed.position, changed.fault), (3, Fault::Link { .. })));
        let torn = with_second(whole[1][..40].to_vec());
        assert_eq!((torn.position, torn.id.as_deref()), (2, None));
        let extra = with_second(rewritten(&whole[1], |v| v["extra"] = 1.into()));
        assert_eq!((extra.position, extra.id.as_ref()), (2, Some(&id)));
        let shown = extra.to_string();
        assert!(shown.starts_with(&format!("ledger entry 2 ({id}) is corrupted")), "{shown}");
        let no_time = with_second(rewritten(&whole[1], |v| v["at"] = "noon".into()));
        assert_eq!((no_time.position, no_time.id), (2, Some(id)));
        let schema = with_second(rewritten(&whole[1], |v| v["schema"] = "else/v1".into()));
        assert_eq!(schema.fault, Fault::Schema("else/v1".into()));
        let large = with_second(vec![b' '; STORED_BYTES_MAX + 1]);
        assert!(matches!(large.fault, Fault::TooLarge { .. }));
        let at_limit = with_second(vec![b' '; STORED_BYTES_MAX]);
        assert!(matches!(at_limit.fault, Fault::Unreadable(_)));
    }

    #[test]
    fn what_a_newer_orca_wrote_is_kept_unread() {
        let whole = three();
        let kind = rewritten(&whole[2], |v| v["body"]["kind"] = "teleported".into());
        let schema = rewritten(&whole[2], |v| v["schema"] = "orca.entry/v2".into());
        for (newest, wanted) in [(kind, "teleported"), (schema, "frozen")] {
            let records = check(&[whole[0].clone(), whole[1].clone(), newest]).unwrap();
            assert!(records[2].entry().is_none());
            assert!(matches!(&records[2].said, Said::Unknown(u) if u.kind == wanted));
        }
    }

    #[test]
    fn only_facts_are_carried() {
        let mut told = Told::new();
        let decision = told.tell(None, Told::frozen("v1.4.0-rc.1", "x"));
        let carried = STANDARD.encode(decision.bytes());
        told.tell(None, Body::Reconciled { entry_base64: carried, dsse_base64: None });
        let error = check(&told.bytes()).unwrap_err();
        assert!(matches!((error.position, error.fault), (2, Fault::Carried(_))));
    }

    proptest::proptest! {
        /// Whatever stands in the store, reading it never panics, and what is refused moves
        /// nothing: the link stays where it was.
        #[test]
        fn arbitrary_bytes_are_an_error_with_a_place(bytes in proptest::collection::vec(0_u8.., 0..400)) {
            refuses(&bytes);
        }

        /// The same for entries that were whole: cut, or with bytes changed.
        #[test]
        fn changed_entries_are_read_or_refused(
            which in 0..3_usize,
            cut in 0..900_usize,
            changes in proptest::collection::vec((0..900_usize, 0_u8..), 0..4),
        ) {
            let mut bytes = three().remove(which);
            for (at, byte) in changes {
                let length = bytes.len();
                bytes[at % length] = byte;
            }
            bytes.truncate(cut.max(1));
            refuses(&bytes);
        }

        /// And for what a carrier carries, and for JSON of the right outline.
        #[test]
        fn carried_bytes_never_panic(text in "\\PC{0,200}", kind in "[a-z_]{0,20}") {
            let _ = unwrap_carried(&text);
            let _ = unwrap_carried(&STANDARD.encode(&text));
            let outline = serde_json::json!({
                "schema": text, "id": "en_1", "prev_sha256": null, "at": 1, "body": {"kind": kind},
            });
            refuses(outline.to_string().as_bytes());
        }
    }

    /// Reads `bytes` as the first entry: taken, or refused without moving the link.
    fn refuses(bytes: &[u8]) {
        let mut link = Link::default();
        match verify_next(&mut link, bytes) {
            Ok(record) => assert_eq!((link.count, link.newest), (1, Some(record.digest))),
            Err(error) => {
                assert_eq!((error.position, link), (1, Link::default()));
                assert!(error.to_string().starts_with("ledger entry 1"), "{error}");
            }
        }
    }
}
