//! What the ledger needs of the place where it is kept, in its own words. Blocking: whoever is
//! async talks to one ledger thread.
//!
//! A tip names one whole chain by its newest entry, as the store does; it never enters an entry.

use std::path::PathBuf;
use std::time::Duration;

use super::entry::ExhibitRef;
use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{Environment, OrcaId};

/// A chain by its newest entry, in the store's own name for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tip(pub(crate) String);

/// One entry as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) tip: Tip,
    pub(crate) entry: Vec<u8>,
    pub(crate) dsse: Option<Vec<u8>>,
}

/// One entry on its way into the store.
#[derive(Debug, Clone)]
pub(crate) struct ToStore<'a> {
    pub(crate) id: &'a OrcaId,
    pub(crate) kind: &'static str,
    pub(crate) at: Timestamp,
    pub(crate) entry: &'a [u8],
    pub(crate) dsse: Option<&'a [u8]>,
    pub(crate) exhibits: &'a [(ExhibitRef, Vec<u8>)],
}

/// What the remote has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remote {
    None,
    /// The remote answers and has no ledger.
    Empty,
    At(Tip),
}

/// What came of changing something only if nobody else did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum Swap {
    Done,
    /// Somebody else was first: read again.
    Lost,
}

/// Which copy of a lease or chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Here,
    /// As it was fetched last.
    There,
}

/// A stored lease: its bytes, and the name by which it is swapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredLease {
    pub(crate) version: String,
    pub(crate) bytes: Vec<u8>,
}

/// An entry that waits to be folded in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) file: PathBuf,
    pub(crate) bytes: Vec<u8>,
}

/// What a store could not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StorageError {
    #[error("{path} is not inside a git repository")]
    NoRepository { path: String },
    #[error("the repository at {path} uses {feature}, which the ledger cannot read; {fix}")]
    Unsupported { path: String, feature: &'static str, fix: String },
    #[error("another orca holds the ledger lock {path}")]
    Locked { path: String },
    #[error("{what} of the ledger cannot be read: {detail}")]
    Damaged { what: String, detail: String },
    #[error("{what} is not in this partial clone; run: git fetch --refetch")]
    NotFetched { what: String },
    #[error("{what} could not be written: {detail}")]
    NotWritten { what: String, detail: String },
    #[error("the remote {remote} could not be reached: {detail}")]
    RemoteUnavailable { remote: String, detail: String },
    #[error("the remote {remote} refused: {detail}")]
    RemoteRefused { remote: String, detail: String },
}

pub(crate) type Result<T> = std::result::Result<T, StorageError>;

/// Held while the chain is changed; given back on drop, and by the kernel when the process dies.
pub(crate) trait Held {}

/// Where the ledger is kept.
pub(crate) trait Storage: Send {
    fn lock(&self, deadline: Duration) -> Result<Box<dyn Held>>;
    fn tip(&self) -> Result<Option<Tip>>;
    /// Entries up to `tip`, oldest first, without those up to `after`.
    fn read(&self, tip: &Tip, after: Option<&Tip>) -> Result<Vec<Stored>>;
    /// The newest entry of the chain at `tip`.
    fn entry(&self, tip: &Tip) -> Result<Stored> {
        self.read(tip, None)?.pop().ok_or_else(|| StorageError::Damaged {
            what: format!("entry {}", tip.0),
            detail: "there is none".to_owned(),
        })
    }
    /// The whole chain at `tip`, oldest first. What is not new may come from where it was kept to be
    /// read faster: only for whoever verifies the chain, and reads it again if it does not hold.
    fn recall(&self, tip: &Tip) -> Result<Vec<Stored>> {
        self.read(tip, None)
    }
    /// Stores an entry on top of `parent`, durably, without making it the tip.
    fn write(&self, parent: Option<&Tip>, new: &ToStore<'_>) -> Result<Tip>;
    /// Makes `to` the tip as long as `expected` still is, durably, and reads it back.
    fn advance(&self, expected: Option<&Tip>, to: &Tip) -> Result<Swap>;
    /// The bytes of an exhibit that the entry at `tip` holds, or that stand beside.
    fn exhibit(&self, tip: &Tip, exhibit: &ExhibitRef) -> Result<Option<Vec<u8>>>;
    /// Keeps an exhibit beside the chain.
    fn put_beside(&self, digest: &Digest, bytes: &[u8]) -> Result<()>;

    /// Whether the chain at `tip` goes on from, or is, the one at `ancestor`.
    fn descends(&self, tip: &Tip, ancestor: &Tip) -> Result<bool>;
    /// The newest entry that both chains have.
    fn common(&self, a: &Tip, b: &Tip) -> Result<Option<Tip>>;
    /// Keeps a chain that lost a race from being collected.
    fn keep_lost(&self, tip: &Tip) -> Result<()>;
    /// The newest chain that this repository and the remote agreed on.
    fn high_water(&self) -> Result<Option<Tip>>;
    fn set_high_water(&self, tip: &Tip) -> Result<()>;

    /// Ledger heads that release tags name, with the tags.
    fn tagged_heads(&self) -> Result<Vec<(String, Digest)>> {
        Ok(Vec::new())
    }
    /// Every chain known here, and those of another clone, each with the name of where it stands.
    fn chains(&self, _from: Option<&str>) -> Result<Vec<(String, Tip)>> {
        Ok(Vec::new())
    }
    /// Makes `tip` the remote's chain, whatever its history, as long as `expected` is there.
    fn replace(&self, _expected: &Remote, tip: &Tip) -> Result<Swap> {
        self.push(tip)
    }

    fn pending(&self) -> Result<Vec<Pending>>;
    fn put_pending(&self, id: &OrcaId, bytes: &[u8]) -> Result<PathBuf>;
    fn drop_pending(&self, pending: &Pending) -> Result<()>;

    fn has_remote(&self) -> bool;
    /// Brings chain and leases of the remote here.
    fn fetch(&self) -> Result<Remote>;
    /// The remote's chain as it was fetched last.
    fn fetched(&self) -> Result<Remote>;
    /// Makes `tip` the remote's chain as long as it goes on from what is there.
    fn push(&self, tip: &Tip) -> Result<Swap>;

    fn lease(&self, environment: &Environment, side: Side) -> Result<Option<StoredLease>>;
    fn leases(&self) -> Result<Vec<Environment>>;
    /// Swaps the lease on one side as long as its version is still `expected`.
    fn swap_lease(
        &self,
        environment: &Environment,
        side: Side,
        expected: Option<&str>,
        bytes: &[u8],
    ) -> Result<Swap>;
}
