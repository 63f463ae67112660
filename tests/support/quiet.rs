//! A test that measures load or traffic runs alone: the machine has few cores, and what other tests
//! do with them would be taken for lateness of the generator or slowness of the product.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
struct Room {
    /// Worlds of tests that do not measure.
    busy: usize,
    measuring: bool,
}

static ROOM: Mutex<Room> = Mutex::new(Room { busy: 0, measuring: false });
static LEFT: Condvar = Condvar::new();

thread_local! {
    static MEASURES: Cell<bool> = const { Cell::new(false) };
}

fn room() -> MutexGuard<'static, Room> {
    ROOM.lock().unwrap_or_else(PoisonError::into_inner)
}

fn when(free: impl Fn(&Room) -> bool) -> MutexGuard<'static, Room> {
    LEFT.wait_while(room(), |room| !free(room)).unwrap_or_else(PoisonError::into_inner)
}

/// Waits until no other test runs a world; hold the guard while measuring, and take it before the
/// test's own world is made. A test that fails while holding it does not stop the others.
pub(crate) fn quiet() -> Quiet {
    when(|room| room.busy == 0 && !room.measuring).measuring = true;
    MEASURES.set(true);
    Quiet(())
}

#[derive(Debug)]
#[must_use = "the machine is quiet while this is held"]
pub(crate) struct Quiet(());

impl Drop for Quiet {
    fn drop(&mut self) {
        MEASURES.set(false);
        room().measuring = false;
        LEFT.notify_all();
    }
}

/// What a world holds while it lives, so that nobody measures beside it.
#[derive(Debug)]
pub(crate) struct Busy {
    /// The world of a test that measures is its own noise.
    counted: bool,
}

impl Busy {
    pub(crate) fn enter() -> Self {
        let counted = !MEASURES.get();
        if counted {
            when(|room| !room.measuring).busy += 1;
        }
        Self { counted }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.counted {
            room().busy -= 1;
            LEFT.notify_all();
        }
    }
}
