//! Objects and refs of a git repository, written so that they outlive a power cut: synced, then
//! read back. A full disk or a damaged object has a name here, never a panic.

use std::fs;
use std::path::Path;

use git2::{ErrorCode, Oid};

use super::objects::GitStorage;
use crate::base::clock::Timestamp;
use crate::ledger::chain::STORED_BYTES_MAX;
use crate::ledger::ports::{Result, StorageError, Stored, Swap, Tip};

pub(super) const ENTRY: &str = "entry.json";
pub(super) const DSSE: &str = "entry.dsse.json";

impl GitStorage {
    pub(super) fn read_ref(&self, name: &str) -> Result<Option<Oid>> {
        match self.repository.refname_to_id(name) {
            Ok(oid) => Ok(Some(oid)),
            Err(e) if e.code() == ErrorCode::NotFound => Ok(None),
            Err(e) => Err(damaged(name, &e)),
        }
    }

    /// Moves a ref from `expected` to `to`, durably, and reads it back.
    pub(super) fn swap_ref(&self, name: &str, expected: Option<Oid>, to: Oid) -> Result<Swap> {
        if expected == Some(to) && self.read_ref(name)? == expected {
            return Ok(Swap::Done);
        }
        let moved = match expected {
            Some(old) => self.repository.reference_matching(name, to, true, old, "orca"),
            None => self.repository.reference(name, to, false, "orca"),
        };
        match moved {
            Ok(_) => {}
            Err(e)
                if matches!(
                    e.code(),
                    ErrorCode::Modified | ErrorCode::Exists | ErrorCode::NotFound
                ) =>
            {
                return Ok(Swap::Lost);
            }
            Err(e) if e.code() == ErrorCode::Locked => {
                return Err(StorageError::Locked { path: format!("{name}.lock") });
            }
            Err(e) => return Err(not_written(name, &e.message())),
        }
        sync_file(&self.repository.commondir().join(name)).map_err(|e| not_written(name, &e))?;
        if self.read_ref(name)? != Some(to) {
            return Err(not_written(name, &"it did not read back"));
        }
        Ok(Swap::Done)
    }

    pub(super) fn set_ref(&self, name: &str, to: Oid) -> Result<()> {
        for _ in 0..5 {
            if self.swap_ref(name, self.read_ref(name)?, to)? == Swap::Done {
                return Ok(());
            }
        }
        Err(not_written(name, &"it kept changing"))
    }

    pub(super) fn blob(&self, bytes: &[u8], what: &str) -> Result<Oid> {
        self.repository.blob(bytes).map_err(|e| not_written(what, &e.message()))
    }

    /// Syncs loose objects and the folders that name them, and reads each back.
    pub(super) fn sync_objects(&self, objects: &[(Oid, &str)]) -> Result<()> {
        let folder = self.repository.commondir().join("objects");
        let mut folders = std::collections::BTreeSet::from([folder.clone()]);
        for (oid, what) in objects {
            let hex = oid.to_string();
            let fan_out = folder.join(&hex[..2]);
            let file = fan_out.join(&hex[2..]);
            match fs::File::open(&file).and_then(|f| f.sync_all()) {
                // In a pack already: git synced that.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                other => other.map_err(|e| not_written(what, &e))?,
            }
            if fan_out.is_dir() {
                folders.insert(fan_out);
            }
        }
        for folder in &folders {
            let synced = fs::File::open(folder).and_then(|f| f.sync_all());
            synced.map_err(|e| not_written("the object folder", &e))?;
        }
        let odb = self.repository.odb().map_err(|e| damaged("the object store", &e))?;
        for (oid, what) in objects {
            odb.read(*oid).map_err(|_| not_written(what, &"it did not read back"))?;
        }
        Ok(())
    }

    pub(super) fn read_blob(&self, oid: Oid, what: &str, bytes_max: usize) -> Result<Vec<u8>> {
        match self.repository.find_blob(oid) {
            Ok(blob) if blob.content().len() <= bytes_max => Ok(blob.content().to_vec()),
            Ok(blob) => {
                let detail = format!("{} bytes are more than {bytes_max}", blob.content().len());
                Err(StorageError::Damaged { what: what.to_owned(), detail })
            }
            Err(e) if e.code() == ErrorCode::NotFound && self.is_partial() => {
                Err(StorageError::NotFetched { what: what.to_owned() })
            }
            Err(e) => Err(damaged(what, &e)),
        }
    }

    fn is_partial(&self) -> bool {
        let config = self.repository.config().and_then(|mut c| c.snapshot());
        config.is_ok_and(|c| c.get_str("extensions.partialclone").is_ok())
    }

    /// One entry, and the commit of the one before it.
    pub(super) fn read_one(&self, oid: Oid) -> Result<(Stored, Option<Oid>)> {
        let commit = self.repository.find_commit(oid).map_err(|e| damaged(&name_of(oid), &e))?;
        let message = String::from_utf8_lossy(commit.message_bytes());
        let what = format!("entry {}", message.split_whitespace().last().unwrap_or("unnamed"));
        let tree = commit.tree().map_err(|e| damaged(&what, &e))?;
        let entry = tree.get_name(ENTRY).ok_or_else(|| StorageError::Damaged {
            what: what.clone(),
            detail: format!("its commit {oid} has no {ENTRY}"),
        })?;
        let entry = self.read_blob(entry.id(), &what, STORED_BYTES_MAX)?;
        let dsse = tree.get_name(DSSE).map(|e| e.id());
        let dsse = dsse.map(|oid| self.read_blob(oid, &what, STORED_BYTES_MAX)).transpose()?;
        Ok((Stored { tip: Tip(oid.to_string()), entry, dsse }, commit.parent_ids().next()))
    }
}

pub(super) fn tip_of(oid: Oid) -> Tip {
    Tip(oid.to_string())
}

pub(super) fn oid_of(tip: &Tip) -> Result<Oid> {
    Oid::from_str(&tip.0).map_err(|e| damaged(&format!("tip {}", tip.0), &e))
}

pub(super) fn name_of(oid: Oid) -> String {
    format!("commit {oid}")
}

pub(super) fn signature(
    at: Timestamp,
) -> std::result::Result<git2::Signature<'static>, git2::Error> {
    let time = git2::Time::new(at.as_us().div_euclid(1_000_000), 0);
    git2::Signature::new("orca", "orca@localhost", &time)
}

pub(super) fn damaged(what: &str, detail: &impl std::fmt::Display) -> StorageError {
    StorageError::Damaged { what: what.to_owned(), detail: detail.to_string() }
}

pub(super) fn not_written(what: &str, detail: &(impl std::fmt::Display + ?Sized)) -> StorageError {
    StorageError::NotWritten { what: what.to_owned(), detail: detail.to_string() }
}

/// Syncs a file and the folder that names it. A ref may stand in `packed-refs` alone.
fn sync_file(path: &Path) -> std::io::Result<()> {
    match fs::File::open(path) {
        Ok(file) => file.sync_all()?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}
