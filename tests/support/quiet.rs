//! Tests that move or measure traffic keep out of each other's way: the machine has few cores, and
//! what other tests do with them would be taken for lateness of the generator or slowness of the product.

use std::cell::Cell;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Worlds that move users at the same time: they wait for most of their time.
const TOGETHER: usize = 2;

#[derive(Debug)]
struct Room {
    /// Worlds of tests that neither move nor measure traffic.
    busy: usize,
    moving: usize,
    measuring: bool,
}

static ROOM: Mutex<Room> = Mutex::new(Room { busy: 0, moving: 0, measuring: false });
static LEFT: Condvar = Condvar::new();

thread_local! {
    static HAS_ROOM: Cell<bool> = const { Cell::new(false) };
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
    when(|room| room.busy == 0 && room.moving == 0 && !room.measuring).measuring = true;
    HAS_ROOM.set(true);
    Quiet { measures: true }
}

/// For tests that move users and decide by comparison: what disturbs them disturbs both versions
/// alike, so some of them run together, and nothing else beside them.
pub(crate) fn traffic() -> Quiet {
    when(|room| room.busy == 0 && room.moving < TOGETHER && !room.measuring).moving += 1;
    HAS_ROOM.set(true);
    Quiet { measures: false }
}

#[derive(Debug)]
#[must_use = "the machine is quiet while this is held"]
pub(crate) struct Quiet {
    measures: bool,
}

impl Drop for Quiet {
    fn drop(&mut self) {
        HAS_ROOM.set(false);
        let mut room = room();
        if self.measures {
            room.measuring = false;
        } else {
            room.moving -= 1;
        }
        LEFT.notify_all();
    }
}

/// What a world holds while it lives, so that nobody moves or measures traffic beside it.
#[derive(Debug)]
pub(crate) struct Busy {
    /// The world of a test that measures is its own noise.
    counted: bool,
}

impl Busy {
    pub(crate) fn enter() -> Self {
        let counted = !HAS_ROOM.get();
        if counted {
            when(|room| !room.measuring && room.moving == 0).busy += 1;
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
