//! Entries that were read before, in one file of the repository: unpacking three git objects for each
//! is most of what reading a long ledger costs.
//!
//! Nothing is believed for standing here. The digest at its head finds a damaged file, the newest
//! entries always come from git and each names the digest of the one before it, and a chain that does
//! not hold is read from git again. A file that cannot be read or written costs time and nothing else.
//!
//! Format: the SHA-256 of all that follows, in 64 hex digits; then for each entry, oldest first, the 20 bytes of its
//! commit, the lengths of entry and signature as `u32` (little-endian; all ones without a signature),
//! and their bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use git2::Oid;

use super::durable::tip_of;
use super::objects::GitStorage;
use crate::base::atomic_file;
use crate::base::digest::Digest;
use crate::base::limits;
use crate::ledger::ports::{Result, Stored};

/// So many of the newest entries come from git before the file is looked at; twice as many make it
/// worth writing again. A shorter ledger never has one.
const FRESH: usize = if cfg!(test) { 4 } else { 256 };
const HEAD: usize = 64;
const UNSIGNED: u32 = u32::MAX;

impl GitStorage {
    /// The whole chain that ends at `tip`, oldest first.
    pub(super) fn recall_chain(&self, tip: Oid) -> Result<Vec<Stored>> {
        let cache = EntryCache { file: self.own_folder().join("entries") };
        let mut kept = Vec::new();
        let mut places = BTreeMap::new();
        let mut next = Some(tip);
        let mut new = Vec::new();
        while let Some(oid) = next {
            if new.len() == FRESH {
                kept = cache.entries();
                places = kept.iter().enumerate().map(|(place, (oid, _))| (*oid, place)).collect();
            }
            if let Some(place) = places.get(&oid) {
                kept.truncate(place + 1);
                break;
            }
            let (entry, parent) = self.read_one(oid)?;
            new.push((oid, entry));
            next = parent;
        }
        if next.is_none() {
            kept.clear();
        }
        let is_much = new.len() >= 2 * FRESH;
        kept.extend(new.into_iter().rev());
        if is_much {
            cache.keep(&kept);
        }
        Ok(kept.into_iter().map(|(_, entry)| entry).collect())
    }
}

struct EntryCache {
    file: PathBuf,
}

impl EntryCache {
    /// What was kept, oldest first, each with its commit; nothing where that is not whole.
    fn entries(&self) -> Vec<(Oid, Stored)> {
        let bytes = atomic_file::read_limited(&self.file, limits::PACK_LEDGER_BYTES_MAX);
        let read = bytes.ok().and_then(|bytes| {
            let (head, mut rest) = bytes.split_at_checked(HEAD)?;
            (Digest::of(rest).hex().as_bytes() == head).then_some(())?;
            let mut entries = Vec::new();
            while !rest.is_empty() {
                entries.push(next(&mut rest)?);
            }
            Some(entries)
        });
        read.unwrap_or_default()
    }

    /// Keeps a chain from its first entry on.
    fn keep(&self, entries: &[(Oid, Stored)]) {
        let mut bytes = vec![0; HEAD];
        for (commit, stored) in entries {
            let length = |piece: &[u8]| u32::try_from(piece.len()).unwrap_or(UNSIGNED);
            let dsse = stored.dsse.as_deref();
            bytes.extend(commit.as_bytes());
            bytes.extend(length(&stored.entry).to_le_bytes());
            bytes.extend(dsse.map_or(UNSIGNED, length).to_le_bytes());
            bytes.extend(&stored.entry);
            bytes.extend(dsse.unwrap_or_default());
        }
        let digest = Digest::of(&bytes[HEAD..]).hex();
        bytes[..HEAD].copy_from_slice(digest.as_bytes());
        let _ = atomic_file::write(&self.file, &bytes);
    }
}

fn next(rest: &mut &[u8]) -> Option<(Oid, Stored)> {
    let commit = Oid::from_bytes(take(rest, 20)?).ok()?;
    let entry = length(rest)?;
    let dsse = length(rest)?;
    let entry = take(rest, usize::try_from(entry).ok()?)?.to_vec();
    let dsse = match dsse {
        UNSIGNED => None,
        length => Some(take(rest, usize::try_from(length).ok()?)?.to_vec()),
    };
    Some((commit, Stored { tip: tip_of(commit), entry, dsse }))
}

fn length(rest: &mut &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(take(rest, 4)?.try_into().ok()?))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(count)?;
    *rest = left;
    Some(taken)
}
