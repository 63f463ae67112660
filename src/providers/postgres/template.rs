//! States of a cluster that are kept between runs, each a copy of its folder under the user's cache.
//! One that is half written has another name and is swept; one that cannot be used is as if it were
//! not there.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use super::cluster::Account;
use super::sweep;
use crate::base::clock::Entropy;
use crate::base::digest::Digest;
use crate::base::{atomic_file, limits};

/// States kept at most; the one that was used longest ago goes first.
const KEPT_MAX: usize = 6;
/// How a folder is called while it is written.
const UNDER_WAY: &str = "new-";
const NOTE: &str = "note.json";
const DATA: &str = "data";

/// Where states are kept.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    folder: PathBuf,
}

/// One that can be used.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Which of the states that were asked for.
    pub(super) at: usize,
    pub(super) note: String,
    folder: PathBuf,
}

impl Store {
    /// Below the cache of this user. Nothing where the folder is not theirs alone.
    pub(crate) fn open(cache: &Path) -> Option<Self> {
        let folder = cache.join("orca/shadow");
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).ok()?;
        let about = folder.metadata().ok()?;
        let own = about.uid() == rustix::process::geteuid().as_raw();
        (own && about.mode() & 0o022 == 0).then_some(Self { folder })
    }

    /// The last of `states` that is kept.
    pub(super) fn find(&self, version: &str, states: &[Digest]) -> Option<Kept> {
        states.iter().enumerate().rev().find_map(|(at, state)| {
            let folder = self.folder.join(name(version, state));
            let note = folder.join(NOTE);
            let note = atomic_file::read_text(&note, limits::SAMPLES_BYTES_MAX).ok()?;
            Some(Kept { at, note, folder })
        })
    }

    /// Copies the folder of a server that is at rest.
    pub(super) fn keep(
        &self,
        data: &Path,
        (version, state): (&str, &Digest),
        note: &str,
        entropy: &Entropy,
    ) -> io::Result<()> {
        self.sweep();
        let wanted = self.folder.join(name(version, state));
        if wanted.exists() {
            return Ok(());
        }
        let folder = self.folder.join(format!("{UNDER_WAY}{:012x}", entropy.next_u64() >> 16));
        DirBuilder::new().mode(0o700).create(&folder)?;
        let _lock = sweep::hold(&folder)?;
        let kept = copy(data, &folder.join(DATA), None)
            .and_then(|()| atomic_file::write(&folder.join(NOTE), note.as_bytes()))
            .and_then(|()| fs::rename(&folder, &wanted));
        if kept.is_err() {
            let _ = fs::remove_dir_all(&folder);
        }
        kept
    }

    /// Removes what a killed orca left half written, and the oldest above the limit.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut whole = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            let half = path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(UNDER_WAY));
            if !half {
                let used = path.join(NOTE).metadata().and_then(|about| about.modified()).ok();
                whole.push((used, path));
            } else if sweep::is_abandoned(&path) {
                let _ = fs::remove_dir_all(&path);
            }
        }
        whole.sort();
        let over = (whole.len() + 1).saturating_sub(KEPT_MAX);
        for (_, path) in whole.into_iter().take(over) {
            // Its note goes first: without it nobody takes the rest for whole.
            let _ = fs::remove_file(path.join(NOTE)).and_then(|()| fs::remove_dir_all(&path));
        }
    }
}

impl Kept {
    /// Puts a copy at `data`, for the server's user to own.
    pub(super) fn copy_to(&self, data: &Path, account: Option<Account>) -> io::Result<()> {
        // It was used now; the one that was used longest ago goes first.
        atomic_file::write(&self.folder.join(NOTE), self.note.as_bytes())?;
        copy(&self.folder.join(DATA), data, account)
    }

    /// It did not work: the next run makes it again.
    pub(super) fn forget(&self) {
        let _ = fs::remove_file(self.folder.join(NOTE));
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn name(version: &str, state: &Digest) -> String {
    format!("{version}-{}", &state.hex()[..32])
}

/// A folder with everything below it but the notes of a running server. Links are refused: they lead
/// out of the folder.
fn copy(from: &Path, to: &Path, account: Option<Account>) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    own(to, account)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let target = to.join(&name);
        if kind.is_dir() {
            copy(&entry.path(), &target, account)?;
        } else if !kind.is_file() {
            return Err(io::Error::other(format!("{} is no file", entry.path().display())));
        } else if name != "postmaster.pid" && name != "postmaster.opts" {
            fs::copy(entry.path(), &target)?;
            own(&target, account)?;
        }
    }
    Ok(())
}

fn own(path: &Path, account: Option<Account>) -> io::Result<()> {
    let Some(Account { user, group }) = account else { return Ok(()) };
    chown(path, Some(user), Some(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_state_is_found_and_half_written_ones_are_swept() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        fs::create_dir_all(data.join("base/1")).unwrap();
        atomic_file::write(&data.join("base/1/2"), b"rows").unwrap();
        atomic_file::write(&data.join("postmaster.pid"), b"1").unwrap();
        let store = Store::open(&home.path().join("cache")).unwrap();
        let states: Vec<Digest> = (0..9_u8).map(|n| Digest::of(&[n])).collect();
        let entropy = Entropy::seeded(1);
        assert!(store.find("15.1", &states).is_none());
        store.keep(&data, ("15.1", &states[1]), "one", &entropy).unwrap();
        let found = store.find("15.1", &states).unwrap();
        assert_eq!((found.at, found.note.as_str()), (1, "one"));
        assert!(store.find("15.2", &states).is_none());
        let copied = home.path().join("copied");
        found.copy_to(&copied, None).unwrap();
        assert_eq!(fs::read(copied.join("base/1/2")).unwrap(), b"rows");
        assert!(!copied.join("postmaster.pid").exists());

        let half = store.folder.join("new-x");
        DirBuilder::new().create(&half).unwrap();
        drop(sweep::hold(&half).unwrap());
        for state in &states {
            store.keep(&data, ("15.1", state), "n", &entropy).unwrap();
        }
        assert!(!half.exists());
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), KEPT_MAX);
        store.find("15.1", &states).unwrap().forget();
        assert_eq!(fs::read_dir(&store.folder).unwrap().count(), KEPT_MAX - 1);
    }

    #[test]
    fn a_folder_that_others_write_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        assert!(Store::open(home.path()).is_some());
        let folder = home.path().join("orca/shadow");
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(Store::open(home.path()).is_none());
    }
}
