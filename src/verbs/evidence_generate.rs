//! `evidence generate`: everything that the ledger and its exhibits hold about a release, as one
//! bundle. The bundle says what is missing; building the pack is pure.

use std::collections::{BTreeMap, BTreeSet};

use super::book::{Book, BookError};
use crate::base::digest::Digest;
use crate::base::ids::{CommitId, ReleaseName};
use crate::evidence::bundle::{Bundle, LedgerBytes};
use crate::evidence::manifest::EvidenceManifest;
use crate::ledger::entry::{Body, Entry};
use crate::ledger::fold::State;

/// Why there is nothing to pack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatherError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("the ledger knows no release called {0}")]
    Unknown(ReleaseName),
}

/// The commit that a tag of the ledger stands for.
pub(crate) fn commit_of(state: &State, release: &ReleaseName) -> Option<CommitId> {
    let tagged = state.finals.get(release).or_else(|| state.rcs.get(release));
    tagged.map(|tagged| tagged.commit.clone())
}

/// Gathers the ledger, its exhibits and `files` of the repository.
pub(crate) async fn gather(
    book: &dyn Book,
    release: &ReleaseName,
    files: BTreeMap<String, Vec<u8>>,
    manifest: EvidenceManifest,
) -> Result<Bundle, GatherError> {
    let state = book.state().await?;
    let commit = commit_of(&state, release).ok_or_else(|| GatherError::Unknown(release.clone()))?;
    let mut entries = book.raw_entries().await?;
    // A pack does not tell of packs of the same release made just before: made again, it is the same.
    while entries.last().is_some_and(|(entry, _)| is_pack_of(entry, release)) {
        entries.pop();
    }
    let wanted: BTreeSet<Digest> =
        entries.iter().flat_map(|(entry, _)| exhibits_of(entry)).collect();
    let exhibits = book.exhibits(wanted.into_iter().collect()).await;
    let ledger = entries.into_iter().map(|(entry, dsse)| LedgerBytes { entry, dsse }).collect();
    Ok(Bundle { release: release.clone(), commit, ledger, exhibits, files, manifest })
}

fn is_pack_of(entry: &[u8], wanted: &ReleaseName) -> bool {
    serde_json::from_slice::<Entry>(entry).is_ok_and(
        |entry| matches!(&entry.body, Body::PackWritten { release, .. } if release == wanted),
    )
}

/// The exhibits that an entry names; an entry that cannot be read names none, and fails later.
fn exhibits_of(entry: &[u8]) -> Vec<Digest> {
    serde_json::from_slice::<Entry>(entry)
        .map(|entry| entry.exhibits.iter().map(|exhibit| exhibit.sha256).collect())
        .unwrap_or_default()
}
