//! A SQL file as it lies on disk, read whole under a limit. Bytes that no server takes are replaced
//! by blanks of the same length, so that every place stays true, and reported.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::base::limits;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{0} does not exist")]
    Missing(PathBuf),
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("{0} holds more than {max} MiB of SQL", max = limits::SQL_FILE_BYTES_MAX >> 20)]
    TooLarge(PathBuf),
    #[error("{0} cannot be read: {1}")]
    Settings(PathBuf, String),
}

/// A file that was read.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// As the user wrote it.
    pub(crate) path: String,
    /// Valid SQL text as far as bytes go; as long as the file.
    pub(crate) text: String,
    /// The first byte that no server takes.
    pub(crate) bad: Option<(usize, &'static str)>,
}

impl Source {
    /// Reads `path`, which users know as `shown`.
    pub(crate) fn read(path: &Path, shown: &str) -> Result<Self, SourceError> {
        let fail = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::NotFound => SourceError::Missing(shown.into()),
            _ => SourceError::Unreadable(shown.into(), error),
        };
        let file = std::fs::File::open(path).map_err(fail)?;
        let mut bytes = Vec::new();
        let max = limits::SQL_FILE_BYTES_MAX;
        file.take(max + 1).read_to_end(&mut bytes).map_err(fail)?;
        if bytes.len() as u64 > max {
            return Err(SourceError::TooLarge(shown.into()));
        }
        Ok(Self::from_bytes(shown, bytes))
    }

    pub(crate) fn from_bytes(shown: &str, mut bytes: Vec<u8>) -> Self {
        let mut bad = None;
        if let Some(at) = bytes.iter().position(|b| *b == 0) {
            bad = Some((at, "a NUL byte: Postgres takes none in a statement"));
            bytes.iter_mut().filter(|b| **b == 0).for_each(|b| *b = b' ');
        }
        let mut from = 0;
        while let Err(error) = std::str::from_utf8(&bytes[from..]) {
            let at = from + error.valid_up_to();
            bad = bad.filter(|(first, _)| *first < at).or(Some((at, "bytes that are not UTF-8")));
            let length = error.error_len().unwrap_or(bytes.len() - at);
            bytes[at..at + length].fill(b' ');
            from = at + length;
        }
        let text = String::from_utf8(bytes).expect("what was not UTF-8 is blank now");
        Self { path: shown.to_owned(), text, bad }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_bytes_keep_their_length_and_are_named() {
        for (bytes, at) in [
            (&b"select 1;\0"[..], Some(9)),
            (b"select '\xff\xfe';", Some(8)),
            (b"\xef\xbb\xbfselect 1;", None),
        ] {
            let source = Source::from_bytes("a.sql", bytes.to_vec());
            assert_eq!(source.text.len(), bytes.len());
            assert_eq!(source.bad.map(|(at, _)| at), at);
            assert!(source.text.contains("select"));
        }
    }
}
