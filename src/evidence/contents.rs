//! The files of an opened pack: the digest of each, and the bytes of those that are asked for. All
//! of them have been unpacked once and are as long, and as whole, as the zip says.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::base::limits;
use crate::evidence::pack;
use crate::evidence::summary::Exhibits;
use crate::evidence::zip::{Archive, ZipError};

pub(crate) struct Contents<'a> {
    archive: Archive<'a>,
    digests: BTreeMap<String, Digest>,
}

impl<'a> Contents<'a> {
    pub(crate) fn open(zip: &'a [u8]) -> Result<Self, ZipError> {
        let archive = Archive::open(zip)?;
        let digests = archive.digests()?;
        Ok(Self { archive, digests })
    }

    /// Every file and its digest, by name.
    pub(crate) fn digests(&self) -> &BTreeMap<String, Digest> {
        &self.digests
    }

    pub(crate) fn size(&self, path: &str) -> Option<u64> {
        self.archive.size(path)
    }

    /// A file that is held whole; what cannot be is said.
    pub(crate) fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        let size = self.size(path).ok_or_else(|| format!("{path} is missing"))?;
        let max = limits::PACK_FILE_BYTES_MAX;
        if size > max {
            return Err(format!("{path} has {size} bytes, more than {max}"));
        }
        let bytes = self.archive.read(path).ok_or_else(|| format!("{path} is missing"))?;
        bytes.map_err(|error| error.to_string())
    }

    /// The ledger, oldest entry first, up to the first number that is not there.
    pub(crate) fn ledger(&self) -> Result<Vec<Vec<u8>>, String> {
        let paths = (1..).map(pack::entry_path);
        paths
            .take_while(|path| self.digests.contains_key(path))
            .map(|path| self.file(&path))
            .collect()
    }

    /// Files that the bundle brought, beside those that every pack has.
    pub(crate) fn brought(&self) -> Vec<&str> {
        let is_brought = |path: &&str| {
            !pack::UNLISTED.contains(path)
                && ![pack::MANIFEST, pack::REPORT, pack::CLASSES].contains(path)
                && !path.starts_with(pack::LEDGER)
                && !path.starts_with(pack::EXHIBITS)
        };
        self.digests.keys().map(String::as_str).filter(is_brought).collect()
    }
}

impl Exhibits for Contents<'_> {
    fn holds(&self, digest: &Digest) -> bool {
        self.digests.get(&pack::exhibit_path(digest)) == Some(digest)
    }

    fn bytes(&self, digest: &Digest) -> Option<Cow<'_, [u8]>> {
        let path = pack::exhibit_path(digest);
        let max = u64::try_from(limits::EXHIBIT_BYTES_MAX).unwrap_or(u64::MAX);
        self.size(&path).filter(|size| *size <= max)?;
        self.archive.read(&path)?.ok().map(Cow::Owned)
    }
}
