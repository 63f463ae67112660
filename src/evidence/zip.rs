//! The zip of a pack. Written one way only: names sorted, deflate 6, 1980-01-01, mode 0644, no
//! extra fields, so the same files give the same bytes. Read with suspicion: exactly the layout
//! that is written (`zip_layout`), within limits, and a file at a time: nothing is held that nobody
//! asked for.

use std::collections::BTreeMap;
use std::io::{Cursor, Write as _};

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, DateTime, ZipWriter};
use flate2::{Crc, Decompress, FlushDecompress, Status};

use crate::base::digest::Digest;
use crate::evidence::parallel;
use crate::evidence::zip_layout::{Entry, walk};

/// Files by their path in the pack.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Bytes unpacked at a time.
const PIECE: usize = 64 * 1024;
/// Below this, starting threads takes longer than the work.
const PARALLEL_MIN: u64 = 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub(crate) enum ZipError {
    #[error("the zip could not be made: {0}")]
    Write(#[from] ::zip::result::ZipError),
    #[error("the zip could not be made: {0}")]
    Input(#[from] std::io::Error),
    #[error("not a zip that orca writes: {0}")]
    Layout(String),
    #[error("{0}")]
    Limit(String),
}

pub(super) fn layout<T>(text: impl Into<String>) -> Result<T, ZipError> {
    Err(ZipError::Layout(text.into()))
}

/// The zip of `files`: the same files give the same bytes.
pub(crate) fn write(files: &Files) -> Result<Vec<u8>, ZipError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (path, bytes) in files {
        zip.start_file(path.as_str(), options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}

/// Whether `path` may stand in a pack: relative, plain, inside.
pub(crate) fn is_safe(path: &str) -> bool {
    (1..=200).contains(&path.len())
        && path.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
}

/// A zip that may be hostile. Its headers are sound; its files are unpacked when asked for.
#[derive(Debug, Clone)]
pub(crate) struct Archive<'a> {
    /// In the order of their names.
    entries: Vec<Entry<'a>>,
}

impl<'a> Archive<'a> {
    pub(crate) fn open(bytes: &'a [u8]) -> Result<Self, ZipError> {
        Ok(Self { entries: walk(bytes)? })
    }

    fn entry(&self, path: &str) -> Option<&Entry<'a>> {
        let found = self.entries.binary_search_by(|entry| entry.name.as_str().cmp(path)).ok()?;
        self.entries.get(found)
    }

    /// Length of a file, as its header says and unpacking holds it to.
    pub(crate) fn size(&self, path: &str) -> Option<u64> {
        self.entry(path).map(|entry| u64::from(entry.size))
    }

    /// One file; nothing when it is not there.
    pub(crate) fn read(&self, path: &str) -> Option<Result<Vec<u8>, ZipError>> {
        let entry = self.entry(path)?;
        let mut content = Vec::new();
        Some(unpack(entry, |piece| content.extend_from_slice(piece)).map(|()| content))
    }

    /// The digest of every file, unpacked piece by piece on every core.
    pub(crate) fn digests(&self) -> Result<BTreeMap<String, Digest>, ZipError> {
        let digest = |entry: &Entry<'a>| {
            let mut digest = Digest::of_pieces();
            unpack(entry, |piece| digest.add(piece))?;
            Ok((entry.name.clone(), digest.end()))
        };
        let total: u64 = self.entries.iter().map(|entry| u64::from(entry.size)).sum();
        if total < PARALLEL_MIN {
            return self.entries.iter().map(digest).collect();
        }
        parallel::map(&self.entries, digest).into_iter().collect()
    }
}

/// Unpacks one file; what it says of itself (length, checksum, where it ends) must be so.
fn unpack(entry: &Entry<'_>, mut take: impl FnMut(&[u8])) -> Result<(), ZipError> {
    let wrong = |what: &str| ZipError::Layout(format!("{}: {what}", entry.name));
    let mut inflate = Decompress::new(false);
    let mut piece = vec![0; PIECE.min(usize::try_from(entry.size).unwrap_or(PIECE) + 1)];
    let mut crc = Crc::new();
    loop {
        let (read, written) = (inflate.total_in(), inflate.total_out());
        let rest = usize::try_from(read).ok().and_then(|at| entry.packed.get(at..));
        let status = inflate
            .decompress(rest.unwrap_or_default(), &mut piece, FlushDecompress::None)
            .map_err(|error| wrong(&error.to_string()))?;
        let fresh = usize::try_from(inflate.total_out() - written).unwrap_or(usize::MAX);
        let fresh = piece.get(..fresh).unwrap_or_default();
        crc.update(fresh);
        take(fresh);
        if inflate.total_out() > u64::from(entry.size) {
            return Err(wrong("longer than its header says"));
        }
        if status == Status::StreamEnd {
            break;
        }
        if (inflate.total_in(), inflate.total_out()) == (read, written) {
            return Err(wrong("ends before its end"));
        }
    }
    if inflate.total_out() != u64::from(entry.size) {
        return Err(wrong("shorter than its header says"));
    }
    if inflate.total_in() != u64::try_from(entry.packed.len()).unwrap_or(u64::MAX) {
        return Err(wrong("bytes after its end"));
    }
    if crc.sum() == entry.crc { Ok(()) } else { Err(wrong("its checksum is another one")) }
}

/// Every file of a zip, held.
#[cfg(test)]
pub(crate) fn read(bytes: &[u8]) -> Result<Files, ZipError> {
    let archive = Archive::open(bytes)?;
    let file = |entry: &Entry<'_>| {
        Ok((entry.name.clone(), archive.read(&entry.name).expect("it is listed")?))
    };
    archive.entries.iter().map(file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        [("a.json", "{}\n"), ("dir/b.txt", "hello hello hello"), ("dir/empty", "")]
            .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec()))
            .into()
    }

    #[test]
    fn what_is_written_is_read_and_written_the_same() {
        let bytes = write(&files()).unwrap();
        assert_eq!(read(&bytes).unwrap(), files());
        assert_eq!(write(&files()).unwrap(), bytes);
        assert_eq!(read(&write(&Files::new()).unwrap()).unwrap(), Files::new());
    }

    #[test]
    fn unsafe_names() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".git", "a\\b", "a b", "é"]
        {
            assert!(!is_safe(bad), "{bad}");
        }
        assert!(is_safe("exhibits/0a.json"));
    }
}
