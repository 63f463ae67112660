//! The zip of a pack. Written one way only: names sorted, deflate 6, 1980-01-01, mode 0644, no
//! extra fields, so the same files give the same bytes. Read with suspicion: exactly the layout
//! that is written, each header where the one before ended, within limits, nothing after the end.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};

use ::zip::write::SimpleFileOptions;
use ::zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use crate::base::limits;

/// Files by their path in the pack.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// Most bytes that one compressed byte may unfold to; deflate itself ends near 1032.
const RATIO_MAX: u64 = 1_100;

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

fn layout<T>(text: impl Into<String>) -> Result<T, ZipError> {
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

/// The files of a zip that may be hostile.
pub(crate) fn read(bytes: &[u8]) -> Result<Files, ZipError> {
    let entries = walk(bytes)?;
    let total: u64 = entries.iter().map(|e| u64::from(e.size)).sum();
    if total > limits::PACK_BYTES_MAX {
        let max = limits::PACK_BYTES_MAX;
        return Err(ZipError::Limit(format!("unpacks to {total} bytes, more than {max}")));
    }
    let unreadable = |e: ::zip::result::ZipError| ZipError::Layout(e.to_string());
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(unreadable)?;
    let mut files = Files::new();
    for (index, entry) in entries.iter().enumerate() {
        let mut content = Vec::new();
        archive
            .by_index(index)
            .map_err(unreadable)?
            .take(u64::from(entry.size) + 1)
            .read_to_end(&mut content)
            .map_err(|e| ZipError::Layout(format!("{}: {e}", entry.name)))?;
        if content.len() != usize::try_from(entry.size).unwrap_or(usize::MAX) {
            return layout(format!("{}: not as long as its header says", entry.name));
        }
        files.insert(entry.name.clone(), content);
    }
    Ok(files)
}

struct Entry {
    name: String,
    size: u32,
}

const END_LENGTH: usize = 22;
const LOCAL_LENGTH: usize = 30;
const CENTRAL_LENGTH: usize = 46;

/// Walks every header; local and central ones must say the same and leave no gap.
fn walk(bytes: &[u8]) -> Result<Vec<Entry>, ZipError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limits::PACK_BYTES_MAX {
        return Err(ZipError::Limit(format!("larger than {} bytes", limits::PACK_BYTES_MAX)));
    }
    let Some(end) = bytes.len().checked_sub(END_LENGTH) else {
        return layout("too short");
    };
    if !bytes[end..].starts_with(b"PK\x05\x06") || u16_at(bytes, end + 20)? != 0 {
        return layout("the end record is not at the end");
    }
    let count = usize::from(u16_at(bytes, end + 10)?);
    if count > limits::PACK_FILES_MAX {
        return Err(ZipError::Limit(format!("{count} files")));
    }
    let whole_disk = u32_at(bytes, end + 4)? == 0 && usize::from(u16_at(bytes, end + 8)?) == count;
    let (mut local, mut central) = (0, offset(u32_at(bytes, end + 16)?));
    let central_start = central;
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let entry = walk_one(bytes, &mut local, &mut central)?;
        if entries.last().is_some_and(|last| last.name >= entry.name) {
            return layout(format!("{} is twice there or out of order", entry.name));
        }
        entries.push(entry);
    }
    let central_length = offset(u32_at(bytes, end + 12)?);
    let closed = local == central_start
        && central == end
        && central_start.checked_add(central_length) == Some(end);
    if whole_disk && closed { Ok(entries) } else { layout("bytes that belong to no file") }
}

fn walk_one(bytes: &[u8], local: &mut usize, central: &mut usize) -> Result<Entry, ZipError> {
    let (at, head) = (*local, *central);
    if slice(bytes, head, 4)? != b"PK\x01\x02" || slice(bytes, at, 4)? != b"PK\x03\x04" {
        return layout("a header is missing");
    }
    // Version needed to lengths: 26 bytes, the same in both headers.
    if slice(bytes, at + 4, 26)? != slice(bytes, head + 6, 26)? {
        return layout("two headers of one file differ");
    }
    let name_length = usize::from(u16_at(bytes, at + 26)?);
    let name = slice(bytes, at + LOCAL_LENGTH, name_length)?;
    if name != slice(bytes, head + CENTRAL_LENGTH, name_length)? {
        return layout("two headers of one file have two names");
    }
    let name = String::from_utf8_lossy(name).into_owned();
    let flags_method = (u16_at(bytes, at + 6)?, u16_at(bytes, at + 8)?);
    let extras = (u16_at(bytes, at + 28)?, u32_at(bytes, head + 32)?, u16_at(bytes, head + 36)?);
    let mode = u32_at(bytes, head + 38)? >> 16;
    if !is_safe(&name) {
        return layout(format!("{name:?} is no name of a file in a pack"));
    }
    if flags_method != (0, 8) || extras != (0, 0, 0) || mode != 0o100_644 {
        return layout(format!("{name}: a link, a folder, encrypted, or with extra fields"));
    }
    if offset(u32_at(bytes, head + 42)?) != at {
        return layout(format!("{name}: does not begin where the file before it ends"));
    }
    let (packed, size) = (u32_at(bytes, at + 18)?, u32_at(bytes, at + 22)?);
    if u64::from(size) > u64::from(packed).saturating_mul(RATIO_MAX) {
        return Err(ZipError::Limit(format!("{name}: {packed} bytes unpack to {size}")));
    }
    *local = at + LOCAL_LENGTH + name_length + offset(packed);
    *central = head + CENTRAL_LENGTH + name_length;
    Ok(Entry { name, size })
}

fn offset(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], ZipError> {
    at.checked_add(length)
        .and_then(|end| bytes.get(at..end))
        .ok_or_else(|| ZipError::Layout("ends inside a header".to_owned()))
}

fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ZipError> {
    slice(bytes, at, 2).map(|b| u16::from_le_bytes([b[0], b[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ZipError> {
    slice(bytes, at, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
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

    fn with_file(name: &str, options: SimpleFileOptions) -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(name, options).unwrap();
        zip.write_all(b"x").unwrap();
        zip.finish().unwrap().into_inner()
    }

    #[test]
    fn hostile_zips_are_refused() {
        let plain = SimpleFileOptions::default();
        let good = write(&files()).unwrap();
        let mut trailing = good.clone();
        trailing.push(0);
        let mut leading = vec![0];
        leading.extend_from_slice(&good);
        let mut link = ZipWriter::new(Cursor::new(Vec::new()));
        link.add_symlink("a", "/etc/passwd", plain).unwrap();
        let link = link.finish().unwrap().into_inner();
        // Two files, the second renamed to the first in both of its headers.
        let two: Files = [("aa", "1"), ("ab", "2")].map(|(p, t)| (p.into(), t.into())).into();
        let twice = replace(&write(&two).unwrap(), b"ab", b"aa");
        // Deflate unfolds about 1030 times at most; the header claims far more.
        let bomb: Files = [("a".to_owned(), vec![0; 100_000])].into();
        let bomb = replace(&write(&bomb).unwrap(), &100_000_u32.to_le_bytes(), &[255, 255, 255, 3]);
        for (what, bytes) in [
            ("empty", Vec::new()),
            ("text", b"this is no zip file, only a text".to_vec()),
            ("trailing", trailing),
            ("leading", leading),
            ("cut", good[..good.len() - 30].to_vec()),
            ("path", with_file("../a", plain)),
            ("stored", with_file("a", plain.compression_method(CompressionMethod::Stored))),
            ("link", link),
            ("twice", twice),
            ("bomb", bomb),
        ] {
            assert!(read(&bytes).is_err(), "{what}");
        }
    }

    fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for at in 0..=out.len() - from.len() {
            if out[at..].starts_with(from) {
                out[at..at + to.len()].copy_from_slice(to);
            }
        }
        out
    }
}
