//! A file under way: written under another name, locked while somebody writes, removed unless it is
//! finished. What a SIGKILL left behind is swept by the next one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::base::digest::{Digest, Digesting};

const SUFFIX: &str = ".partial";

/// The file; only its owner reads it.
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    digest: Option<Digesting>,
    bytes: u64,
}

impl Partial {
    /// Sweeps old ones, makes the folder where it is missing, and opens a new file there. A new folder
    /// says to git that nothing in it is meant for a repository.
    pub(crate) fn open(folder: &Path, name: &str) -> io::Result<Self> {
        if !folder.exists() {
            std::fs::create_dir_all(folder)?;
            crate::base::atomic_file::write(&folder.join(".gitignore"), b"*\n")?;
        }
        sweep(folder);
        let path = folder.join(format!(".{name}{SUFFIX}"));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.try_lock()?;
        Ok(Self { path, file, digest: Some(Digest::of_pieces()), bytes: 0 })
    }

    pub(crate) fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.bytes += u64::try_from(piece.len()).unwrap_or_default();
        if let Some(digest) = &mut self.digest {
            digest.add(piece);
        }
        Ok(())
    }

    /// Syncs it and gives it its name, which nobody has yet.
    pub(crate) fn finish(mut self, name: &Path) -> io::Result<(u64, Digest)> {
        self.file.sync_all()?;
        // A link refuses a name that is taken; a rename would replace it.
        std::fs::hard_link(&self.path, name)?;
        let folder = name.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        let digest = self.digest.take().expect("it is taken once, here");
        Ok((self.bytes, digest.end()))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes what nobody writes any more.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = name.starts_with('.') && name.ends_with(SUFFIX);
        let file = OpenOptions::new().write(true).open(entry.path());
        if ours && file.is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The digest of a file and its size, read in pieces.
pub(crate) fn digest_of(path: &Path) -> io::Result<(u64, Digest)> {
    use io::Read as _;
    let mut file = File::open(path)?;
    let (mut digest, mut bytes, mut piece) = (Digest::of_pieces(), 0, vec![0; 256 * 1024]);
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((bytes, digest.end()));
        }
        digest.add(&piece[..read]);
        bytes += u64::try_from(read).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().flatten();
        let mut names: Vec<String> =
            entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_a_finished_file_has_its_name() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("backups");
        let mut partial = Partial::open(&folder, "a.dump").unwrap();
        partial.write(b"ab").unwrap();
        partial.write(b"c").unwrap();
        let name = folder.join("a.dump");
        assert_eq!(partial.finish(&name).unwrap(), (3, Digest::of(b"abc")));
        assert_eq!(digest_of(&name).unwrap(), (3, Digest::of(b"abc")));
        let taken = Partial::open(&folder, "b.dump").unwrap().finish(&name).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        drop(Partial::open(&folder, "c.dump").unwrap());
        assert_eq!(names(&folder), [".gitignore", "a.dump"]);
    }

    #[test]
    fn what_nobody_writes_is_swept() {
        let home = tempfile::tempdir().unwrap();
        let living = Partial::open(home.path(), "a").unwrap();
        crate::base::atomic_file::write(&home.path().join(".b.partial"), b"x").unwrap();
        crate::base::atomic_file::write(&home.path().join("c.partial"), b"x").unwrap();
        drop(Partial::open(home.path(), "d").unwrap());
        assert_eq!(names(home.path()), [".a.partial", "c.partial"]);
        drop(living);
    }
}
