//! The ledger as verbs use it: a verified fold that goes on entry by entry, and the one door
//! through which entries come in.
//!
//! Every string is redacted before it enters. Decisions are validated against the newest fold
//! while the lock is held; facts are always taken. Blocking and not shared: async callers keep it
//! on one thread.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::chain::{self, Corrupted, Link, Record};
pub(crate) use super::draft::{Draft, Writer};
use super::entry::{Actor, Body, Entry, ExhibitRef, SCHEMA, Stored as Place};
use super::fold::State;
use super::lease::LeaseError;
use super::ports::{Pending, Storage, StorageError, Stored, Swap, Tip, ToStore};
use super::sign;
use super::validate::{Proposal, Refused};
use crate::base::crash_point::{self, CrashPoint};
use crate::base::digest::{Digest, canonical_json};
use crate::base::ids::OrcaId;
use crate::base::limits;

/// What the ledger could not do. Every case of bad luck has its own name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LedgerError {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Corrupted(#[from] Corrupted),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Lease(#[from] LeaseError),
    /// The chain does not go on from one that was seen before.
    #[error("ledger rewound: {found} does not go on from {seen}")]
    Rewound { seen: String, found: String },
    /// Decisions of this repository that the other side made wrong; everything else was kept.
    #[error("{} refused after a lost race; the first: {}", .0.len(), .0.first().map(|(id, why)| format!("entry {id}: {why}")).unwrap_or_default())]
    Lost(Vec<(OrcaId, Refused)>),
    #[error("the ledger kept changing while it was written; try again")]
    Contended,
    #[error("entry of kind {kind} has {bytes} bytes, more than {max}")]
    TooLarge { kind: &'static str, bytes: usize, max: usize },
    #[error("redacting changed a {kind} entry so that it cannot be read: {detail}")]
    Redaction { kind: &'static str, detail: String },
}

/// Where a rollback's entry went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kept {
    Appended(Box<Entry>),
    /// It waits in a file, because of this, and comes in with the next append.
    Pending {
        file: PathBuf,
        because: LedgerError,
    },
}

/// An entry with the bytes that were signed and chained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kin {
    pub(crate) record: Record,
    pub(crate) stored: Stored,
}

/// The chain as it was verified last.
#[derive(Debug, Clone, Default)]
pub(super) struct Fold {
    pub(super) tip: Option<Tip>,
    pub(super) link: Link,
    pub(super) state: Arc<State>,
    /// Every entry, and every fact inside a carrier, by digest, as a tag or a signature names it; of
    /// the same bytes stored twice the first.
    pub(super) digests: BTreeMap<Digest, Tip>,
    /// Where each exhibit is.
    exhibits: BTreeMap<Digest, (Tip, ExhibitRef)>,
}

/// The ledger of one repository.
pub(crate) struct Ledger {
    pub(super) storage: Box<dyn Storage>,
    pub(super) writer: Writer,
    pub(super) fold: Fold,
    /// How long a lease of this writer is held without renewal.
    pub(super) lease: Duration,
}

/// Tries before a chain that keeps changing is given up.
pub(super) const TRIES: u32 = 8;

impl Ledger {
    /// Reads nothing yet, so that an unreadable ledger stops no rollback.
    pub(crate) fn open(storage: Box<dyn Storage>, writer: Writer) -> Self {
        Self { storage, writer, fold: Fold::default(), lease: limits::LEASE }
    }

    /// Holds leases for `span` at a time.
    #[must_use]
    pub(crate) fn leasing_for(self, span: Duration) -> Self {
        Self { lease: span, ..self }
    }

    /// The state as of now, from verified entries.
    pub(crate) fn state(&mut self) -> Result<Arc<State>, LedgerError> {
        self.refresh()?;
        Ok(Arc::clone(&self.fold.state))
    }

    /// The newest entry: its position and digest.
    pub(crate) fn head(&mut self) -> Result<Link, LedgerError> {
        self.refresh()?;
        Ok(self.fold.link)
    }

    /// Every entry, oldest first, verified.
    pub(crate) fn entries(&self) -> Result<Vec<Kin>, LedgerError> {
        let Some(tip) = self.storage.tip()? else { return Ok(Vec::new()) };
        let mut link = Link::default();
        self.storage
            .read(&tip, None)?
            .into_iter()
            .map(|stored| {
                let record = chain::verify_next(&mut link, &stored.entry)?;
                Ok(Kin { record, stored })
            })
            .collect()
    }

    /// What is stored of the entry of this digest, unverified: its reader asks for the digest again.
    pub(crate) fn stored(&mut self, digest: &Digest) -> Result<Option<Stored>, LedgerError> {
        self.refresh()?;
        let Some(tip) = self.fold.digests.get(digest) else { return Ok(None) };
        Ok(Some(self.storage.entry(tip)?))
    }

    /// The bytes of an exhibit; nothing when they are missing or not those that were recorded.
    pub(crate) fn exhibit(&mut self, digest: &Digest) -> Result<Option<Vec<u8>>, LedgerError> {
        self.refresh()?;
        let Some((tip, exhibit)) = self.fold.exhibits.get(digest) else { return Ok(None) };
        let bytes = self.storage.exhibit(tip, exhibit)?;
        Ok(bytes.filter(|bytes| Digest::of(bytes) == *digest))
    }

    /// Appends an entry: validated when it is a decision, always taken when it is a fact.
    #[expect(clippy::needless_pass_by_value, reason = "a draft is used up by appending it")]
    pub(crate) fn append(&mut self, draft: Draft) -> Result<Entry, LedgerError> {
        self.append_within(&draft, limits::LEDGER_LOCK)
    }

    /// Appends a rollback's entry, or leaves it in a file: it delays nothing and is never lost
    /// for a lock, a broken chain or a full object store.
    #[expect(clippy::needless_pass_by_value, reason = "a draft is used up by appending it")]
    pub(crate) fn append_rollback(&mut self, draft: Draft) -> Result<Kept, LedgerError> {
        match self.append_within(&draft, limits::LEDGER_LOCK_ROLLBACK) {
            Ok(entry) => Ok(Kept::Appended(Box::new(entry))),
            Err(because) if draft.body.is_fact() => {
                let body = self.redacted(&draft.body)?;
                let entry = self.build(&draft, body, Vec::new(), None);
                let file = self.storage.put_pending(&entry.id, &self.carried(&entry))?;
                Ok(Kept::Pending { file, because })
            }
            Err(refused) => Err(refused),
        }
    }

    fn append_within(&mut self, draft: &Draft, lock: Duration) -> Result<Entry, LedgerError> {
        let body = self.redacted(&draft.body)?;
        let exhibits = references(&draft.exhibits)?;
        for (reference, bytes) in exhibits.iter().filter(|(r, _)| r.stored == Place::Beside) {
            self.storage.put_beside(&reference.sha256, bytes)?;
        }
        let _held = self.storage.lock(lock)?;
        for _ in 0..TRIES {
            self.refresh()?;
            self.fold_pending_in()?;
            let proposal = Proposal {
                environment: draft.environment.as_ref(),
                epoch: draft.epoch,
                body: &body,
            };
            if body.raises() {
                self.refuse_rewound()?;
            }
            self.fold.state.validate(proposal, self.writer.clock.now())?;
            let names = exhibits.iter().map(|(reference, _)| reference.clone()).collect();
            let entry = self.build(draft, body.clone(), names, self.fold.link.newest);
            if self.chain_on(&entry, &exhibits)? == Swap::Done {
                return Ok(entry);
            }
        }
        Err(LedgerError::Contended)
    }

    /// Brings the fold up to the stored tip, reading only what is new.
    pub(super) fn refresh(&mut self) -> Result<(), LedgerError> {
        let tip = self.storage.tip()?;
        if tip == self.fold.tip {
            return Ok(());
        }
        let goes_on = match (&tip, &self.fold.tip) {
            (Some(tip), Some(known)) => self.storage.descends(tip, known)?,
            _ => false,
        };
        // Taken, not copied: what fails half-way is folded anew.
        let fold = std::mem::take(&mut self.fold);
        let fold = if goes_on { fold } else { Fold::default() };
        self.fold = self.fold_on(fold, tip.as_ref())?;
        Ok(())
    }

    /// The fold of the chain at `tip`, going on from the present one where it can.
    pub(super) fn fold_at(&self, tip: Option<&Tip>) -> Result<Fold, LedgerError> {
        let Some(tip) = tip else { return Ok(Fold::default()) };
        let goes_on = match &self.fold.tip {
            Some(known) => self.storage.descends(tip, known)?,
            None => false,
        };
        let fold = if goes_on { self.fold.clone() } else { Fold::default() };
        self.fold_on(fold, Some(tip))
    }

    pub(super) fn fold_on(&self, fold: Fold, tip: Option<&Tip>) -> Result<Fold, LedgerError> {
        let Some(tip) = tip else { return Ok(fold) };
        if fold.tip.is_none()
            && let Ok(whole) = self.storage.recall(tip)
            && let Ok(folded) = fold.clone().all_of(&whole)
        {
            return Ok(folded);
        }
        let new = self.storage.read(tip, fold.tip.as_ref())?;
        fold.all_of(&new)
    }

    /// Stores `entry` on the present tip and folds it.
    fn chain_on(
        &mut self,
        entry: &Entry,
        exhibits: &[(ExhibitRef, Vec<u8>)],
    ) -> Result<Swap, LedgerError> {
        let bytes = entry.bytes();
        let dsse = self.sign(&bytes);
        crash_point::hit(CrashPoint::LedgerBeforeCommit);
        let to_store = ToStore {
            id: &entry.id,
            kind: entry.body.kind(),
            at: entry.at,
            entry: &bytes,
            dsse: dsse.as_deref(),
            exhibits,
        };
        let tip = self.storage.write(self.fold.tip.as_ref(), &to_store)?;
        let swap = self.storage.advance(self.fold.tip.as_ref(), &tip)?;
        if swap == Swap::Done {
            crash_point::hit(CrashPoint::LedgerAfterCommit);
            self.fold.go_on(&Stored { tip, entry: bytes, dsse })?;
        }
        Ok(swap)
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.writer.key.as_ref().map(|key| sign::sign(bytes, key).bytes())
    }

    /// Takes in what waits in files. One that cannot be read stays where it is, and is said.
    pub(super) fn fold_pending_in(&mut self) -> Result<(), LedgerError> {
        for pending in self.storage.pending()? {
            match self.carrier_of(&pending) {
                Ok(None) => {}
                Ok(Some(carrier)) => {
                    if self.chain_on(&carrier, &[])? == Swap::Lost {
                        return Err(LedgerError::Contended);
                    }
                }
                Err(fault) => {
                    tracing::warn!(file = %pending.file.display(), %fault, "pending entry kept");
                    continue;
                }
            }
            self.storage.drop_pending(&pending)?;
        }
        Ok(())
    }

    /// What waits in a file: the body of its carrier, with the signature of its author.
    fn carried(&self, entry: &Entry) -> Vec<u8> {
        let bytes = entry.bytes();
        let body = Body::Reconciled {
            dsse_base64: self.sign(&bytes).map(|dsse| STANDARD.encode(dsse)),
            entry_base64: STANDARD.encode(bytes),
        };
        canonical_json(&body).expect("a body is plain data")
    }

    /// The entry that carries a pending one; nothing when the chain has it already.
    fn carrier_of(&self, pending: &Pending) -> Result<Option<Entry>, chain::Fault> {
        let body: Body = serde_json::from_slice(&pending.bytes)
            .map_err(|e| chain::Fault::Carried(e.to_string()))?;
        let Body::Reconciled { entry_base64, .. } = &body else {
            return Err(chain::Fault::Carried(format!("{} is no carrier", body.kind())));
        };
        let (original, _) = chain::unwrap_carried(entry_base64)?;
        if self.fold.state.contains(&original.id) {
            return Ok(None);
        }
        let draft =
            Draft { epoch: original.epoch, ..Draft::new(original.environment, body.clone()) };
        Ok(Some(self.build(&draft, body, Vec::new(), self.fold.link.newest)))
    }

    pub(super) fn build(
        &self,
        draft: &Draft,
        body: Body,
        exhibits: Vec<ExhibitRef>,
        prev_sha256: Option<Digest>,
    ) -> Entry {
        let Actor { name, role } = &self.writer.actor;
        Entry {
            schema: SCHEMA.to_owned(),
            id: OrcaId::generate("en", &self.writer.entropy),
            prev_sha256,
            at: self.writer.clock.now(),
            actor: Actor { name: self.writer.redactor.text(name).into_owned(), role: *role },
            orca: self.writer.orca.clone(),
            environment: draft.environment.clone(),
            epoch: draft.epoch,
            body,
            exhibits,
        }
    }

    fn redacted(&self, body: &Body) -> Result<Body, LedgerError> {
        let kind = body.kind();
        let failed = |e: serde_json::Error| LedgerError::Redaction { kind, detail: e.to_string() };
        let value = serde_json::to_value(body).map_err(failed)?;
        let value = self.writer.redactor.json(value);
        let bytes = value.to_string().len();
        if bytes > limits::ENTRY_BYTES_MAX {
            return Err(LedgerError::TooLarge { kind, bytes, max: limits::ENTRY_BYTES_MAX });
        }
        serde_json::from_value(value).map_err(failed)
    }
}

impl Fold {
    /// What follows, in order.
    fn all_of(mut self, entries: &[Stored]) -> Result<Self, LedgerError> {
        entries.iter().try_for_each(|stored| self.go_on(stored))?;
        Ok(self)
    }

    pub(super) fn go_on(&mut self, stored: &Stored) -> Result<(), Corrupted> {
        let record = chain::verify_next(&mut self.link, &stored.entry)?;
        self.state.refuse_twice(&record)?;
        Arc::make_mut(&mut self.state).apply(&record);
        for digest in [record.digest, record.told] {
            self.digests.entry(digest).or_insert_with(|| stored.tip.clone());
        }
        for exhibit in record.exhibits() {
            self.exhibits.insert(exhibit.sha256, (stored.tip.clone(), exhibit.clone()));
        }
        self.tip = Some(stored.tip.clone());
        Ok(())
    }
}

/// How exhibits are named, each once, small ones inside the commit.
fn references(exhibits: &[Vec<u8>]) -> Result<Vec<(ExhibitRef, Vec<u8>)>, LedgerError> {
    let mut named: BTreeMap<Digest, (ExhibitRef, Vec<u8>)> = BTreeMap::new();
    for bytes in exhibits {
        if bytes.len() > limits::EXHIBIT_BYTES_MAX {
            let max = limits::EXHIBIT_BYTES_MAX;
            return Err(LedgerError::TooLarge { kind: "exhibit", bytes: bytes.len(), max });
        }
        let sha256 = Digest::of(bytes);
        let is_small = bytes.len() <= limits::EXHIBIT_BLOB_BYTES_MAX;
        let reference = ExhibitRef {
            name: format!("{}.json", sha256.hex()),
            sha256,
            size: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            stored: if is_small { Place::Blob } else { Place::Beside },
        };
        named.insert(sha256, (reference, bytes.clone()));
    }
    Ok(named.into_values().collect())
}
