//! What a candidate writes into the tree: the changelog's section and the version in version
//! files, as they should read; and the notes that its tag carries.

use super::tag_rc::{SharedRepository, on_repository};
use crate::release::changelog;
use crate::release::conventional;
use crate::release::notes::{self, Facts};
use crate::release::ports::{Repository, RepositoryError};
use crate::release::version::{self, History, Next, Rules};
use crate::release::version_files::{VersionFileError, with_locked_version, with_version};

/// Where a release writes.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) service: String,
    pub(crate) changelog: String,
    pub(crate) version_files: Vec<String>,
    pub(crate) remote: String,
    /// `2026-11-21`.
    pub(crate) date: String,
}

/// Files with the bytes they should have, and the notes.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) files: Vec<(String, Vec<u8>)>,
    pub(crate) notes: String,
}

/// Why the files could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeError {
    #[error("{0}")]
    Repository(#[from] RepositoryError),
    #[error("{0}")]
    VersionFile(#[from] VersionFileError),
    #[error("{0} is not UTF-8 text")]
    NotText(String),
}

/// Reads the files that are there and makes them as they should be.
pub(crate) async fn make(
    repository: &SharedRepository,
    (next, history): (&Next, &History),
    rules: &Rules,
    places: Places,
) -> Result<Made, MakeError> {
    let (next, history, rules) = (next.clone(), history.clone(), rules.clone());
    on_repository(repository, move |found| {
        let core = &next.core.0;
        let version = core.to_string();
        let before = found.read(&places.changelog)?;
        let text = before
            .map(|bytes| {
                String::from_utf8(bytes).map_err(|_| MakeError::NotText(places.changelog.clone()))
            })
            .transpose()?;
        let reopened = text.map(|text| {
            let drafts = version::superseded(&rules, &history, core);
            drafts.iter().fold(text, |text, draft| changelog::reopened(&text, &draft.to_string()))
        });
        let changes = conventional::standing(&history.commits);
        let log = changelog::with_release(reopened.as_deref(), &version, &places.date, &changes);
        let mut files = vec![(places.changelog.clone(), log.into_bytes())];
        for path in &places.version_files {
            let bytes = found.read(path)?.ok_or_else(|| RepositoryError {
                action: format!("read {path}"),
                detail: "there is no such file".to_owned(),
                next: "correct release.version_files in orca.yaml".to_owned(),
            })?;
            files.push((path.clone(), with_version(path, &bytes, &version)?));
            if let Some((lock_path, lock)) = lock_of(found, path)? {
                let locked = with_locked_version((path, &bytes), (&lock_path, &lock), &version)?;
                files.push((lock_path, locked));
            }
        }
        let remote_url = found.remote_url(&places.remote)?;
        let notes = notes::engineers(&Facts {
            service: &places.service,
            version: &version,
            date: &places.date,
            tag: &next.tag,
            previous: history.stable.as_ref().map(|tag| tag.name.as_str()),
            commits: &history.commits,
            remote_url: remote_url.as_deref(),
        });
        Ok(Made { files, notes })
    })
    .await
}

/// The lock file of a `Cargo.toml`: beside it, or in the nearest folder above it.
fn lock_of(
    found: &dyn Repository,
    manifest: &str,
) -> Result<Option<(String, Vec<u8>)>, RepositoryError> {
    let Some(mut folder) = manifest.strip_suffix("Cargo.toml") else { return Ok(None) };
    loop {
        let path = format!("{folder}Cargo.lock");
        if let Some(bytes) = found.read(&path)? {
            return Ok(found.tracks(&path)?.then_some((path, bytes)));
        }
        let Some(above) = folder.strip_suffix('/') else { return Ok(None) };
        folder = above.rfind('/').map_or("", |slash| &above[..=slash]);
    }
}
