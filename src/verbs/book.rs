//! What verbs need of the ledger, in their words. More exposure waits for a synced ledger and a
//! lease; less exposure never does.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::base::clock::Timestamp;
use crate::base::digest::Digest;
use crate::base::ids::{Environment, OrcaId};
use crate::ledger::entry::{Body, Entry};
use crate::ledger::fold::State;
use crate::ledger::lease::Lease;
pub(crate) use crate::ledger::unsound::Unsound;

/// Why the ledger did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BookError {
    /// A ledger rule says no; the text names who did what.
    #[error("{0}")]
    Refused(String),
    /// The same, of a rule that ends by itself or is lifted: what is under way waits.
    #[error("{0}")]
    Frozen(String),
    /// A proof ran out before it was written down: running it again helps.
    #[error("{0}")]
    Expired(String),
    /// The head does not descend from what was seen before, or an entry is damaged or newer than
    /// this orca: nothing may be raised on it.
    #[error("{0}")]
    Unsound(Unsound),
    /// The remote did not answer: what is here may be old.
    #[error("{0}")]
    Unsynced(String),
    /// It could not be written or read here.
    #[error("{0}")]
    Unwritten(Unwritten),
    /// The same, and not lost: it waits in a file, and comes in with the next entry.
    #[error("{because}; it waits in {file}")]
    Waiting { because: Box<Self>, file: String },
}

/// Why nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritten {
    #[error("{0}")]
    Locked(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Disk(String),
}

impl BookError {
    /// What went wrong, whether or not the entry waits for better times.
    pub(crate) fn cause(self) -> Self {
        match self {
            Self::Waiting { because, file } => because.and(&format!("it waits in {file}")),
            other => other,
        }
    }

    fn and(self, more: &str) -> Self {
        let with = |text: String| format!("{text}; {more}");
        match self {
            Self::Refused(text) => Self::Refused(with(text)),
            Self::Expired(text) => Self::Expired(with(text)),
            Self::Frozen(text) => Self::Frozen(with(text)),
            Self::Unsynced(text) => Self::Unsynced(with(text)),
            Self::Unsound(Unsound::Rewound(text)) => Self::Unsound(Unsound::Rewound(with(text))),
            Self::Unsound(Unsound::Corrupt(text)) => Self::Unsound(Unsound::Corrupt(with(text))),
            Self::Unsound(Unsound::Newer(text)) => Self::Unsound(Unsound::Newer(with(text))),
            Self::Unwritten(Unwritten::Locked(text)) => {
                Self::Unwritten(Unwritten::Locked(with(text)))
            }
            Self::Unwritten(Unwritten::Unsupported(text)) => {
                Self::Unwritten(Unwritten::Unsupported(with(text)))
            }
            Self::Unwritten(Unwritten::Disk(text)) => Self::Unwritten(Unwritten::Disk(with(text))),
            Self::Waiting { because, file } => {
                Self::Waiting { because: Box::new(because.and(more)), file }
            }
        }
    }
}

/// Something to be written.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) environment: Option<Environment>,
    pub(crate) epoch: Option<u64>,
    pub(crate) body: Body,
    /// Canonical bytes of exhibits that belong to it.
    pub(crate) exhibits: Vec<Vec<u8>>,
}

impl Note {
    pub(crate) fn of(environment: &Environment, body: Body) -> Self {
        Self { environment: Some(environment.clone()), epoch: None, body, exhibits: Vec::new() }
    }
}

/// Where the ledger stands against its remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sync {
    Synced,
    NoRemote,
    /// There is no ledger here: nothing was remembered.
    NoLedger,
    /// Kept here, not there yet: `orca ledger sync`.
    Pending(String),
    /// Kept nowhere: what happened has to be told again.
    Unwritten(String),
}

impl Sync {
    /// What became of an entry that the ledger did not take.
    pub(crate) fn of(error: &BookError) -> Self {
        match error {
            BookError::Waiting { .. } => Self::Pending(error.to_string()),
            _ => Self::Unwritten(error.to_string()),
        }
    }
}

/// The right to raise, while it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) epoch: u64,
    pub(crate) expires_at: Timestamp,
}

/// The bytes of an entry, and of its signature.
pub(crate) type RawEntry = (Vec<u8>, Option<Vec<u8>>);

/// The ledger as verbs use it.
#[async_trait]
pub(crate) trait Book: Send + std::marker::Sync {
    /// What is known here, folded and verified.
    async fn state(&self) -> Result<Arc<State>, BookError>;

    /// The same after fetching and reconciling with the remote; a repository without one counts.
    async fn synced(&self) -> Result<Arc<State>, BookError>;

    /// Writes a decision, checked against the newest state, and shares it before returning.
    async fn decide(&self, note: Note) -> Result<Entry, BookError>;

    /// Keeps a fact here; sharing it is left to [`Book::share`].
    async fn keep(&self, note: Note) -> Result<Entry, BookError>;

    /// Keeps an intent on the way back, within 200 ms, here or in a file beside; never waits longer.
    async fn keep_at_once(&self, note: Note) -> Result<(), BookError>;

    /// Shares what is kept, under a deadline.
    async fn share(&self) -> Sync;

    /// The bytes of exhibits, as far as they are here.
    async fn exhibits(&self, wanted: Vec<Digest>) -> BTreeMap<Digest, Vec<u8>>;

    /// Every entry's raw bytes with its signature's, oldest first.
    async fn raw_entries(&self) -> Result<Vec<RawEntry>, BookError>;

    /// The same of the entries of these digests, as far as they are here. A fact that a carrier
    /// brought comes inside it.
    async fn raw_entries_of(&self, wanted: Vec<Digest>) -> Result<Vec<RawEntry>, BookError>;

    /// Takes the lease of an environment, with a higher epoch than any before.
    async fn take_lease(&self, environment: &Environment) -> Result<Held, BookError>;

    async fn renew_lease(&self, environment: &Environment, held: &Held) -> Result<Held, BookError>;

    async fn release_lease(&self, environment: &Environment, held: &Held);

    /// Takes the lease whoever holds it, for going back.
    async fn preempt_lease(&self, environment: &Environment) -> Result<Held, BookError>;

    /// Who holds, or held, the lease of an environment, as far as is known here.
    async fn lease(&self, environment: &Environment) -> Result<Option<Lease>, BookError>;

    /// The digest of the newest entry.
    async fn head(&self) -> Result<Option<Digest>, BookError>;

    /// A new id.
    fn id(&self, kind: &str) -> OrcaId;
}
