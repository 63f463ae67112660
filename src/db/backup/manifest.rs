//! What stands beside a dump: which file it is, of which server, and what the database held in the
//! very snapshot that was dumped. A restore is checked against it; the source is not needed again.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::Facts;
use crate::base::atomic_file;
use crate::base::clock::Timestamp;
use crate::base::digest::{Digest, canonical_json};
use crate::base::limits;

pub(crate) const SCHEMA: &str = "orca.backup/v1";

/// `NAME.json` beside `NAME.dump`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    pub(crate) schema: String,
    /// Version of the orca that wrote it.
    pub(crate) orca: String,
    /// The dump's name, in the same folder.
    pub(crate) file: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// The moment of the snapshot by the server's clock, in microseconds since 1970.
    pub(crate) taken_at: Timestamp,
    /// How long dump and checksums took.
    pub(crate) duration_us: u64,
    pub(crate) source: Source,
    /// As `pg_dump` says it.
    pub(crate) dump_version: String,
    /// Schemas that somebody left out.
    pub(crate) left_out: Vec<String>,
    pub(crate) facts: Facts,
}

/// The server and the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Source {
    pub(crate) database: String,
    pub(crate) version: String,
    pub(crate) major: u32,
    pub(crate) encoding: String,
    /// Size of the whole database on the server, in bytes.
    pub(crate) database_bytes: u64,
}

/// Why a backup cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("there is no backup in {0}")]
    None(PathBuf),
    #[error("{0}: {1}")]
    Unreadable(PathBuf, std::io::Error),
    #[error("{0} is no manifest of a backup: {1}")]
    Malformed(PathBuf, String),
    #[error("{0} was written by a newer orca: its schema is {1}, this one reads {SCHEMA}")]
    Newer(PathBuf, String),
}

impl Manifest {
    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        let bytes = canonical_json(self).expect("a manifest is plain data");
        atomic_file::write(path, &bytes)
    }

    /// Reads the manifest of a dump, or the one that is named itself.
    pub(crate) fn read(path: &Path) -> Result<(PathBuf, Self), ManifestError> {
        let path = path.with_extension("json");
        let text = atomic_file::read_text(&path, limits::BACKUP_MANIFEST_BYTES_MAX)
            .map_err(|e| ManifestError::Unreadable(path.clone(), e))?;
        let value: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| ManifestError::Malformed(path.clone(), e.to_string()))?;
        let schema = value["schema"].as_str().unwrap_or("absent").to_owned();
        if schema != SCHEMA && schema.starts_with("orca.backup/") {
            return Err(ManifestError::Newer(path, schema));
        }
        let manifest: Self = serde_json::from_value(value)
            .map_err(|e| ManifestError::Malformed(path.clone(), e.to_string()))?;
        let plain = !manifest.file.is_empty() && !manifest.file.contains(['/', '\\']);
        if schema != SCHEMA || !plain || Digest::parse(&manifest.sha256).is_none() {
            let why = format!("schema {schema}, file '{}'", manifest.file);
            return Err(ManifestError::Malformed(path, why));
        }
        Ok((path, manifest))
    }

    /// Every readable manifest of a folder, the newest snapshot first.
    pub(crate) fn all(folder: &Path) -> Vec<(PathBuf, Self)> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let files =
            entries.map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json"));
        let mut found: Vec<(PathBuf, Self)> = files.filter_map(|p| Self::read(&p).ok()).collect();
        found.sort_by(|a, b| (b.1.taken_at, &b.0).cmp(&(a.1.taken_at, &a.0)));
        found
    }

    /// The newest of a folder.
    pub(crate) fn newest(folder: &Path) -> Result<(PathBuf, Self), ManifestError> {
        let none = || ManifestError::None(folder.to_owned());
        Self::all(folder).into_iter().next().ok_or_else(none)
    }
}

#[cfg(test)]
pub(crate) fn example() -> Manifest {
    Manifest {
        schema: SCHEMA.to_owned(),
        orca: "0.1.0".to_owned(),
        file: "shop.dump".to_owned(),
        bytes: 3,
        sha256: Digest::of(b"abc").to_string(),
        taken_at: Timestamp::from_us(1_000_000),
        duration_us: 1,
        source: Source {
            database: "shop".to_owned(),
            version: "15.18".to_owned(),
            major: 15,
            encoding: "UTF8".to_owned(),
            database_bytes: 8,
        },
        dump_version: "15.18".to_owned(),
        left_out: Vec::new(),
        facts: Facts::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_newest_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop.json");
        let manifest = example();
        manifest.write(&path).unwrap();
        let newer = Manifest { taken_at: Timestamp::from_us(2_000_000), ..example() };
        newer.write(&folder.path().join("newer.json")).unwrap();
        assert_eq!(Manifest::read(&folder.path().join("shop.dump")).unwrap().1, manifest);
        assert_eq!(Manifest::newest(folder.path()).unwrap().1, newer);
    }

    #[test]
    fn another_file_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let says = |text: &str| {
            atomic_file::write(&path, text.as_bytes()).unwrap();
            Manifest::read(&path).unwrap_err().to_string()
        };
        let good = String::from_utf8(canonical_json(&example()).unwrap()).unwrap();
        assert!(says("{").contains("no manifest"));
        assert!(says(&good.replace("backup/v1", "backup/v2")).contains("newer orca"));
        assert!(says(&good.replace("shop.dump", "../shop.dump")).contains("no manifest"));
        assert!(says(&good.replace("\"bytes\":3", "\"bytes\":-3")).contains("no manifest"));
        let empty = tempfile::tempdir().unwrap();
        assert!(matches!(Manifest::newest(empty.path()), Err(ManifestError::None(_))));
    }
}
