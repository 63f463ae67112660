//! One test at a time may measure load or traffic; the machine has few cores.

use std::sync::{Mutex, MutexGuard, PoisonError};

static QUIET: Mutex<()> = Mutex::new(());

/// Waits until no other test measures; hold the guard while measuring. A test that failed while
/// holding it does not stop the others.
pub(crate) fn quiet() -> MutexGuard<'static, ()> {
    QUIET.lock().unwrap_or_else(PoisonError::into_inner)
}
