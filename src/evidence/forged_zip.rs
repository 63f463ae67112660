//! Zips that say whatever a test wants, header by header, and that nothing here reads back: what
//! attackers make.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::DeflateEncoder;

/// One file, with every field of its headers.
#[derive(Debug, Clone)]
pub(crate) struct Forged {
    pub(crate) name: String,
    /// The name in the central header, where it is another one.
    pub(crate) central_name: Option<String>,
    pub(crate) packed: Vec<u8>,
    pub(crate) crc: u32,
    pub(crate) size: u32,
    pub(crate) packed_size: u32,
    pub(crate) version: u16,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    pub(crate) time: u16,
    pub(crate) date: u16,
    pub(crate) made_by: u16,
    pub(crate) attributes: u32,
    pub(crate) extra: Vec<u8>,
    pub(crate) central_extra: Vec<u8>,
    pub(crate) comment: Vec<u8>,
    pub(crate) internal: u16,
    pub(crate) disk: u16,
    /// Bytes between this file and the next.
    pub(crate) gap: Vec<u8>,
    /// Where the central header says it begins, when it lies.
    pub(crate) begins: Option<u32>,
    /// Sizes that only the central header claims.
    pub(crate) central_sizes: Option<(u32, u32)>,
}

impl Forged {
    /// As orca writes it.
    pub(crate) fn honest(name: &str, content: &[u8]) -> Self {
        let packed = deflated(content);
        let mut crc = flate2::Crc::new();
        crc.update(content);
        Self {
            name: name.to_owned(),
            central_name: None,
            crc: crc.sum(),
            size: length(content),
            packed_size: length(&packed),
            packed,
            version: 20,
            flags: 0,
            method: 8,
            time: 0,
            date: 0x21,
            made_by: 0x0314,
            attributes: 0o100_644 << 16,
            extra: Vec::new(),
            central_extra: Vec::new(),
            comment: Vec::new(),
            internal: 0,
            disk: 0,
            gap: Vec::new(),
            begins: None,
            central_sizes: None,
        }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn middle(&self, (packed, size): (u32, u32), name: &str, extra: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [self.version, self.flags, self.method, self.time, self.date] {
            out.extend(word.to_le_bytes());
        }
        for long in [self.crc, packed, size] {
            out.extend(long.to_le_bytes());
        }
        out.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        out.extend(u16::try_from(extra.len()).unwrap().to_le_bytes());
        out
    }
}

pub(crate) fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap()
}

/// What the end record claims, beside what is so.
#[derive(Debug, Clone, Default)]
pub(crate) struct End {
    pub(crate) before: Vec<u8>,
    pub(crate) count: Option<u16>,
    pub(crate) count_here: Option<u16>,
    pub(crate) disks: u32,
    pub(crate) central_length: Option<u32>,
    pub(crate) central_start: Option<u32>,
    pub(crate) comment_length: u16,
    pub(crate) after: Vec<u8>,
}

/// The zip of these files, as they say.
pub(crate) fn zip(files: &[Forged], end: &End) -> Vec<u8> {
    let mut out = Vec::new();
    let mut central = Vec::new();
    for file in files {
        let begins = file.begins.unwrap_or_else(|| length(&out));
        let sizes = (file.packed_size, file.size);
        out.extend(b"PK\x03\x04");
        out.extend(file.middle(sizes, &file.name, &file.extra));
        out.extend(file.name.as_bytes());
        out.extend(&file.extra);
        out.extend(&file.packed);
        out.extend(&file.gap);
        let name = file.central_name.as_ref().unwrap_or(&file.name);
        central.extend(b"PK\x01\x02");
        central.extend(file.made_by.to_le_bytes());
        central.extend(file.middle(file.central_sizes.unwrap_or(sizes), name, &file.central_extra));
        central.extend(u16::try_from(file.comment.len()).unwrap().to_le_bytes());
        central.extend(file.disk.to_le_bytes());
        central.extend(file.internal.to_le_bytes());
        central.extend(file.attributes.to_le_bytes());
        central.extend(begins.to_le_bytes());
        central.extend(name.as_bytes());
        central.extend(&file.central_extra);
        central.extend(&file.comment);
    }
    let start = end.central_start.unwrap_or_else(|| length(&out));
    let central_length = end.central_length.unwrap_or_else(|| length(&central));
    out.extend(central);
    out.extend(&end.before);
    let count = u16::try_from(files.len() % 0x1_0000).unwrap();
    out.extend(b"PK\x05\x06");
    out.extend(end.disks.to_le_bytes());
    out.extend(end.count_here.unwrap_or(count).to_le_bytes());
    out.extend(end.count.unwrap_or(count).to_le_bytes());
    out.extend(central_length.to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend(end.comment_length.to_le_bytes());
    out.extend(&end.after);
    out
}
