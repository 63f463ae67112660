//! The ledger as verbs use it: one thread owns it, because git objects are not shared between
//! threads, and async callers send it work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};

use super::book::{Book, BookError, Held, Note, RawEntry, Sync, Unsound, Unwritten};
use crate::base::clock::Entropy;
use crate::base::digest::Digest;
use crate::base::ids::{Environment, OrcaId};
use crate::ledger::entry::Entry;
use crate::ledger::fold::State;
use crate::ledger::lease::Lease;
use crate::ledger::ports::StorageError;
use crate::ledger::reconcile::Standing;
use crate::ledger::store::{Draft, Kept, Ledger, LedgerError};

type Job = Box<dyn FnOnce(&mut Ledger) + Send>;

/// How long sharing may take after the work is done.
const SHARE: Duration = Duration::from_secs(12);

/// A handle to the ledger's thread. The thread ends when the last handle is gone.
#[derive(Clone)]
pub(crate) struct LedgerBook {
    jobs: mpsc::UnboundedSender<Job>,
    entropy: Entropy,
}

impl LedgerBook {
    /// Starts the thread. `open` runs on it.
    pub(crate) fn start(
        open: impl FnOnce() -> Result<Ledger, LedgerError> + Send + 'static,
        entropy: Entropy,
    ) -> Result<Self, BookError> {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        let (opened, answer) = std::sync::mpsc::channel();
        std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || match open() {
                Ok(mut ledger) => {
                    let _ = opened.send(Ok(()));
                    while let Some(job) = inbox.blocking_recv() {
                        job(&mut ledger);
                    }
                }
                Err(error) => {
                    let _ = opened.send(Err(error));
                }
            })
            .map_err(|error| BookError::Unwritten(Unwritten::Disk(error.to_string())))?;
        match answer.recv() {
            Ok(Ok(())) => Ok(Self { jobs, entropy }),
            Ok(Err(error)) => Err(named(&error)),
            Err(_) => Err(gone()),
        }
    }

    /// The same on the runtime's own thread: in a simulation everything happens in one order. Each
    /// job waits as long as `pace` says before it runs.
    #[cfg(test)]
    pub(crate) fn beside(
        mut ledger: Ledger,
        entropy: Entropy,
        pace: impl Fn() -> Duration + Send + 'static,
    ) -> Self {
        let (jobs, mut inbox) = mpsc::unbounded_channel::<Job>();
        tokio::spawn(async move {
            while let Some(job) = inbox.recv().await {
                tokio::time::sleep(pace()).await;
                job(&mut ledger);
            }
        });
        Self { jobs, entropy }
    }

    pub(crate) async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Ledger) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, BookError> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |ledger| {
            let _ = reply.send(work(ledger));
        });
        self.jobs.send(job).map_err(|_| gone())?;
        match answer.await {
            Ok(result) => result.map_err(|error| named(&error)),
            Err(_) => Err(gone()),
        }
    }
}

fn gone() -> BookError {
    BookError::Unwritten(Unwritten::Disk("the ledger's thread is gone".to_owned()))
}

/// Every bad luck of the ledger under the name that verbs act on.
pub(crate) fn named(error: &LedgerError) -> BookError {
    let text = error.to_string();
    match error {
        LedgerError::Refused(crate::ledger::validate::Refused::NewerOrca { .. }) => {
            BookError::Unsound(Unsound::Newer(text))
        }
        // A pause ends: whoever drives the canary waits for that.
        LedgerError::Refused(
            crate::ledger::validate::Refused::ClearanceExpired { .. }
            | crate::ledger::validate::Refused::Paused { .. },
        ) => BookError::Expired(text),
        LedgerError::Refused(crate::ledger::validate::Refused::Frozen { .. }) => {
            BookError::Frozen(text)
        }
        LedgerError::Refused(_) | LedgerError::Lost(_) | LedgerError::Lease(_) => {
            BookError::Refused(text)
        }
        LedgerError::Rewound { .. } => BookError::Unsound(Unsound::Rewound(text)),
        LedgerError::Corrupted(_) => BookError::Unsound(Unsound::Corrupt(text)),
        LedgerError::Contended => BookError::Unwritten(Unwritten::Locked(text)),
        LedgerError::TooLarge { .. } | LedgerError::Redaction { .. } => {
            BookError::Unwritten(Unwritten::Disk(text))
        }
        LedgerError::Storage(storage) => match storage {
            StorageError::RemoteUnavailable { .. } | StorageError::RemoteRefused { .. } => {
                BookError::Unsynced(text)
            }
            StorageError::Locked { .. } => BookError::Unwritten(Unwritten::Locked(text)),
            StorageError::NoRepository { .. } | StorageError::Unsupported { .. } => {
                BookError::Unwritten(Unwritten::Unsupported(text))
            }
            StorageError::Damaged { .. } | StorageError::NotFetched { .. } => {
                BookError::Unsound(Unsound::Corrupt(text))
            }
            StorageError::NotWritten { .. } => BookError::Unwritten(Unwritten::Disk(text)),
        },
    }
}

/// The entry is not lost: it waits in a file.
fn waiting(because: &LedgerError, file: &std::path::Path) -> BookError {
    BookError::Waiting { because: Box::new(named(because)), file: file.display().to_string() }
}

fn draft(note: Note) -> Draft {
    Draft {
        environment: note.environment,
        epoch: note.epoch,
        body: note.body,
        exhibits: note.exhibits,
    }
}

fn held(lease: &Lease) -> Held {
    Held { epoch: lease.epoch, expires_at: lease.expires_at }
}

/// A ledger that may be raised on: synced, or without a remote.
fn sync_now(ledger: &mut Ledger) -> Result<(), LedgerError> {
    match ledger.sync()? {
        Standing::Synced | Standing::NoRemote => Ok(()),
        Standing::Pending => Err(LedgerError::Contended),
        Standing::Rewound => Err(LedgerError::Rewound {
            seen: "the newest entry seen here".to_owned(),
            found: "the present chain".to_owned(),
        }),
    }
}

#[async_trait]
impl Book for LedgerBook {
    async fn state(&self) -> Result<Arc<State>, BookError> {
        self.on_thread(Ledger::state).await
    }

    async fn synced(&self) -> Result<Arc<State>, BookError> {
        self.on_thread(|ledger| {
            sync_now(ledger)?;
            ledger.refuse_rewound()?;
            ledger.state()
        })
        .await
    }

    async fn decide(&self, note: Note) -> Result<Entry, BookError> {
        self.on_thread(move |ledger| {
            let entry = ledger.append(draft(note))?;
            sync_now(ledger)?;
            Ok(entry)
        })
        .await
    }

    async fn keep(&self, note: Note) -> Result<Entry, BookError> {
        self.on_thread(move |ledger| match ledger.append(draft(note.clone())) {
            // A fact is never lost for a lock, a broken chain or a full store: it waits in a file.
            Err(LedgerError::Corrupted(_) | LedgerError::Storage(_) | LedgerError::Contended)
                if note.body.is_fact() =>
            {
                match ledger.append_rollback(draft(note))? {
                    Kept::Appended(entry) => Ok(Ok(*entry)),
                    Kept::Pending { because, file } => Ok(Err(waiting(&because, &file))),
                }
            }
            result => result.map(Ok),
        })
        .await?
    }

    async fn keep_at_once(&self, note: Note) -> Result<(), BookError> {
        let kept = self.on_thread(move |ledger| ledger.append_rollback(draft(note)));
        let within = crate::base::limits::LEDGER_LOCK_ROLLBACK;
        match tokio::time::timeout(within, kept).await {
            Ok(Ok(Kept::Appended(_))) => Ok(()),
            Ok(Ok(Kept::Pending { because, file })) => Err(waiting(&because, &file)),
            Ok(Err(error)) => Err(error),
            Err(_) => {
                let text = "the intent was not written within 200 ms".to_owned();
                Err(BookError::Unwritten(Unwritten::Locked(text)))
            }
        }
    }

    async fn share(&self) -> Sync {
        let shared = self.on_thread(Ledger::sync);
        match tokio::time::timeout(SHARE, shared).await {
            Ok(Ok(Standing::Synced)) => Sync::Synced,
            Ok(Ok(Standing::NoRemote)) => Sync::NoRemote,
            Ok(Ok(Standing::Pending)) => Sync::Pending("not pushed yet".to_owned()),
            Ok(Ok(Standing::Rewound)) => Sync::Pending("the remote was rewound".to_owned()),
            Ok(Err(error)) => Sync::Pending(error.to_string()),
            Err(_) => Sync::Pending(format!("no answer within {} s", SHARE.as_secs())),
        }
    }

    async fn exhibits(&self, wanted: Vec<Digest>) -> BTreeMap<Digest, Vec<u8>> {
        let found = self.on_thread(move |ledger| {
            let mut found = BTreeMap::new();
            for digest in wanted {
                if let Ok(Some(bytes)) = ledger.exhibit(&digest) {
                    found.insert(digest, bytes);
                }
            }
            Ok(found)
        });
        found.await.unwrap_or_default()
    }

    async fn raw_entries_of(&self, wanted: Vec<Digest>) -> Result<Vec<RawEntry>, BookError> {
        self.on_thread(move |ledger| {
            let mut found = Vec::new();
            for digest in wanted {
                found.extend(ledger.stored(&digest)?.map(|stored| (stored.entry, stored.dsse)));
            }
            Ok(found)
        })
        .await
    }

    async fn raw_entries(&self) -> Result<Vec<RawEntry>, BookError> {
        self.on_thread(|ledger| {
            Ok(ledger
                .entries()?
                .into_iter()
                .map(|kin| (kin.stored.entry, kin.stored.dsse))
                .collect())
        })
        .await
    }

    async fn take_lease(&self, environment: &Environment) -> Result<Held, BookError> {
        let environment = environment.clone();
        self.on_thread(move |ledger| Ok(held(&ledger.acquire_lease(&environment)?))).await
    }

    async fn renew_lease(
        &self,
        environment: &Environment,
        held_now: &Held,
    ) -> Result<Held, BookError> {
        let (environment, epoch) = (environment.clone(), held_now.epoch);
        self.on_thread(move |ledger| Ok(held(&ledger.renew_lease(&environment, epoch)?))).await
    }

    async fn release_lease(&self, environment: &Environment, held_now: &Held) {
        let (environment, epoch) = (environment.clone(), held_now.epoch);
        // A lease that is not given back ends by itself.
        let _ = self
            .on_thread(move |ledger| ledger.release_lease(&environment, epoch).map(|_| ()))
            .await;
    }

    async fn preempt_lease(&self, environment: &Environment) -> Result<Held, BookError> {
        let environment = environment.clone();
        self.on_thread(move |ledger| Ok(held(&ledger.preempt_lease(&environment)?))).await
    }

    async fn lease(&self, environment: &Environment) -> Result<Option<Lease>, BookError> {
        let environment = environment.clone();
        self.on_thread(move |ledger| ledger.lease(&environment)).await
    }

    async fn head(&self) -> Result<Option<Digest>, BookError> {
        self.on_thread(|ledger| Ok(ledger.head()?.newest)).await
    }

    fn id(&self, kind: &str) -> OrcaId {
        OrcaId::generate(kind, &self.entropy)
    }
}
