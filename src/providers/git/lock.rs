//! The lock that every writer of the ledger in one repository takes. The kernel frees it when the
//! process dies, so it is never stale.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use super::objects::not_written;
use crate::base::clock;
use crate::ledger::ports::{Held, Result, StorageError};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(5);

/// The held lock; dropping it frees it.
#[derive(Debug)]
pub(super) struct RepositoryLock {
    _file: File,
}

impl Held for RepositoryLock {}

impl RepositoryLock {
    /// Takes the lock, trying until `deadline` has passed.
    pub(super) fn take(path: &Path, deadline: Duration) -> Result<Self> {
        let name = path.display().to_string();
        let failed = |e: std::io::Error| not_written(&name, &e);
        fs::create_dir_all(path.parent().unwrap_or(path)).map_err(failed)?;
        let file = File::options().create(true).append(true).open(path).map_err(failed)?;
        let started = clock::monotonic();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::Error(e)) => return Err(failed(e)),
                Err(TryLockError::WouldBlock) if started.elapsed() >= deadline => {
                    return Err(StorageError::Locked { path: name });
                }
                Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            }
        }
    }
}
