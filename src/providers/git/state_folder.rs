//! The user's own place for intents that no repository took: `orca/pending` below
//! `$XDG_STATE_HOME`. One folder a repository, or a platform where there was no repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::durable::{damaged, not_written};
use crate::base::atomic_file;
use crate::base::digest::Digest;
use crate::base::ids::{Environment, OrcaId};
use crate::base::limits;
use crate::ledger::entry::ExhibitRef;
use crate::ledger::ports::{
    Held, Pending, Remote, Result, Side, Storage, StorageError, Stored, StoredLease, Swap, Tip,
    ToStore,
};

/// Where intents of many repositories and platforms wait.
#[derive(Debug, Clone)]
pub(crate) struct StateFolder(PathBuf);

impl StateFolder {
    /// `state` is the user's state folder, as the environment names it.
    pub(crate) fn new(state: &Path) -> Self {
        Self(state.join("orca/pending"))
    }

    /// The folder of one place: a repository by its path, a platform by its address.
    pub(super) fn of(&self, place: &str) -> PathBuf {
        self.0.join(Digest::of(place.as_bytes()).short())
    }
}

/// Entries that wait in `folder`, oldest name first. One that cannot be read stays, and is said.
pub(super) fn waiting(folder: &Path) -> Result<Vec<Pending>> {
    let listed = match fs::read_dir(folder) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| damaged(&folder.display().to_string(), &e))?,
    };
    let mut files: Vec<PathBuf> = listed.filter_map(|f| f.ok().map(|f| f.path())).collect();
    files.retain(|f| f.extension().is_some_and(|e| e == "json"));
    files.sort();
    let bytes_max = u64::try_from(2 * limits::ENTRY_BYTES_MAX).unwrap_or(u64::MAX);
    let read = |file: PathBuf| match atomic_file::read_limited(&file, bytes_max) {
        Ok(bytes) => Some(Pending { file, bytes }),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "pending entry kept");
            None
        }
    };
    Ok(files.into_iter().filter_map(read).collect())
}

/// Writes into the first folder that takes it.
pub(super) fn put<'a>(
    folders: impl Iterator<Item = &'a PathBuf>,
    id: &OrcaId,
    bytes: &[u8],
) -> Result<PathBuf> {
    let mut failed = not_written("the intent", "there is no folder for it");
    for folder in folders {
        let file = folder.join(format!("{id}.json"));
        match atomic_file::write(&file, bytes) {
            Ok(()) => return Ok(file),
            Err(error) => failed = not_written(&file.display().to_string(), &error),
        }
    }
    Err(failed)
}

/// No repository, or none that can be opened: nothing is known, and intents wait outside.
pub(crate) struct NoRepository {
    folders: Vec<PathBuf>,
    why: StorageError,
}

impl NoRepository {
    /// Intents wait in `state` under the name of the first of `places`.
    pub(crate) fn new(state: &StateFolder, places: &[String], why: StorageError) -> Self {
        Self { folders: places.iter().take(1).map(|place| state.of(place)).collect(), why }
    }

    fn none<T>(&self) -> Result<T> {
        Err(self.why.clone())
    }
}

impl Storage for NoRepository {
    fn lock(&self, _: Duration) -> Result<Box<dyn Held>> {
        self.none()
    }
    fn tip(&self) -> Result<Option<Tip>> {
        self.none()
    }
    fn read(&self, _: &Tip, _: Option<&Tip>) -> Result<Vec<Stored>> {
        self.none()
    }
    fn write(&self, _: Option<&Tip>, _: &ToStore<'_>) -> Result<Tip> {
        self.none()
    }
    fn advance(&self, _: Option<&Tip>, _: &Tip) -> Result<Swap> {
        self.none()
    }
    fn exhibit(&self, _: &Tip, _: &ExhibitRef) -> Result<Option<Vec<u8>>> {
        self.none()
    }
    fn put_beside(&self, _: &Digest, _: &[u8]) -> Result<()> {
        self.none()
    }
    fn descends(&self, _: &Tip, _: &Tip) -> Result<bool> {
        self.none()
    }
    fn common(&self, _: &Tip, _: &Tip) -> Result<Option<Tip>> {
        self.none()
    }
    fn keep_lost(&self, _: &Tip) -> Result<()> {
        self.none()
    }
    fn high_water(&self) -> Result<Option<Tip>> {
        self.none()
    }
    fn set_high_water(&self, _: &Tip) -> Result<()> {
        self.none()
    }
    fn pending(&self) -> Result<Vec<Pending>> {
        Ok(Vec::new())
    }
    fn put_pending(&self, id: &OrcaId, bytes: &[u8]) -> Result<PathBuf> {
        put(self.folders.iter(), id, bytes)
    }
    fn drop_pending(&self, _: &Pending) -> Result<()> {
        self.none()
    }
    fn has_remote(&self) -> bool {
        false
    }
    fn fetch(&self) -> Result<Remote> {
        self.none()
    }
    fn fetched(&self) -> Result<Remote> {
        self.none()
    }
    fn push(&self, _: &Tip) -> Result<Swap> {
        self.none()
    }
    fn lease(&self, _: &Environment, _: Side) -> Result<Option<StoredLease>> {
        self.none()
    }
    fn leases(&self) -> Result<Vec<Environment>> {
        self.none()
    }
    fn swap_lease(&self, _: &Environment, _: Side, _: Option<&str>, _: &[u8]) -> Result<Swap> {
        self.none()
    }
}
