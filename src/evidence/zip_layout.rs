//! The headers of a zip that may be hostile: exactly the layout that orca writes, each header where
//! the file before it ends, local and central ones the same, nothing in between and nothing after.
//! What one header may say and another deny, and what other readers may take in another way, is
//! refused here, so that every reader of a pack sees the same files.

use super::zip::{ZipError, is_safe, layout};
use crate::base::limits;

/// Most bytes that one compressed byte may unfold to; deflate itself ends near 1032.
const RATIO_MAX: u64 = 1_100;
/// 1980-01-01, midnight: the only time that stands in a pack.
const DOS_TIME: (u16, u16) = (0, 0x21);
/// Version 2.0 of the format: deflate, and no zip64.
const VERSION_NEEDED: u16 = 20;
/// The attributes are those of unix.
const UNIX: u16 = 3;
const FILE_0644: u32 = 0o100_644 << 16;

/// One file of a zip, still packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: String,
    pub(super) packed: &'a [u8],
    pub(super) size: u32,
    pub(super) crc: u32,
}

const END_LENGTH: usize = 22;
const LOCAL_LENGTH: usize = 30;
const CENTRAL_LENGTH: usize = 46;

/// Walks every header.
pub(super) fn walk(bytes: &[u8]) -> Result<Vec<Entry<'_>>, ZipError> {
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
    let mut entries: Vec<Entry<'_>> = Vec::new();
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
    if !whole_disk || !closed {
        return layout("bytes that belong to no file");
    }
    limit_total(&entries)?;
    Ok(entries)
}

fn limit_total(entries: &[Entry<'_>]) -> Result<(), ZipError> {
    let sum = |of: &str| -> u64 {
        entries.iter().filter(|e| e.name.starts_with(of)).map(|e| u64::from(e.size)).sum()
    };
    for (folder, max) in [("", limits::PACK_BYTES_MAX), ("ledger/", limits::PACK_LEDGER_BYTES_MAX)]
    {
        let total = sum(folder);
        if total > max {
            return Err(ZipError::Limit(format!(
                "'{folder}' unpacks to {total} bytes, more than {max}"
            )));
        }
    }
    Ok(())
}

fn walk_one<'a>(
    bytes: &'a [u8],
    local: &mut usize,
    central: &mut usize,
) -> Result<Entry<'a>, ZipError> {
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
    if !is_safe(&name) {
        return layout(format!("{name:?} is no name of a file in a pack"));
    }
    plain_file(bytes, (at, head), &name)?;
    if offset(u32_at(bytes, head + 42)?) != at {
        return layout(format!("{name}: does not begin where the file before it ends"));
    }
    let (packed, size) = (u32_at(bytes, at + 18)?, u32_at(bytes, at + 22)?);
    if u64::from(size) > u64::from(packed).saturating_mul(RATIO_MAX) {
        return Err(ZipError::Limit(format!("{name}: {packed} bytes unpack to {size}")));
    }
    let content = at + LOCAL_LENGTH + name_length;
    let packed = slice(bytes, content, offset(packed))?;
    *local = content + packed.len();
    *central = head + CENTRAL_LENGTH + name_length;
    Ok(Entry { name, packed, size, crc: u32_at(bytes, at + 14)? })
}

/// A regular file, packed with deflate, with nothing that a header can hold beside it.
fn plain_file(bytes: &[u8], (at, head): (usize, usize), name: &str) -> Result<(), ZipError> {
    let how = (u16_at(bytes, at + 4)?, u16_at(bytes, at + 6)?, u16_at(bytes, at + 8)?);
    let time = (u16_at(bytes, at + 10)?, u16_at(bytes, at + 12)?);
    let extras = (u16_at(bytes, at + 28)?, u32_at(bytes, head + 32)?, u16_at(bytes, head + 36)?);
    let attributes = (u16_at(bytes, head + 4)? >> 8, u32_at(bytes, head + 38)?);
    if how != (VERSION_NEEDED, 0, 8) || extras != (0, 0, 0) || attributes != (UNIX, FILE_0644) {
        return layout(format!("{name}: a link, a folder, encrypted, or with extra fields"));
    }
    if time != DOS_TIME {
        return layout(format!("{name}: has a time"));
    }
    Ok(())
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
