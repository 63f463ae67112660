//! The lease around a change of traffic: prolonged while the change is made, and given back only
//! once everybody can read what came of it.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use super::book::{Held, Sync};
use super::ship::Ship;
use crate::base::limits;

/// Often enough that one prolonging may be lost.
const EVERY: Duration = Duration::from_secs(limits::LEASE.as_secs() / 4);
/// How long sharing may take after a signal: whoever sent it kills in a few seconds.
const SIGNALLED: Duration = Duration::from_secs(3);

/// Does `work` and prolongs the lease beside it: a call that takes longer than a lease stays ours.
pub(super) async fn prolonged<T>(ship: &Ship, held: &Held, work: impl Future<Output = T>) -> T {
    let prolong = || async {
        if let Err(error) = ship.book.renew_lease(&ship.environment, held).await {
            tracing::debug!(%error, "the lease was not prolonged");
        }
    };
    beside(work, prolong).await
}

/// A slow remote delays the prolonging and never the work.
async fn beside<T, P: Future<Output = ()>>(
    work: impl Future<Output = T>,
    prolong: impl Fn() -> P,
) -> T {
    tokio::select! {
        biased;
        done = work => done,
        never = again_and_again(prolong) => match never {},
    }
}

async fn again_and_again<P: Future<Output = ()>>(prolong: impl Fn() -> P) -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        prolong().await;
    }
}

/// Shares the ledger, and gives the lease back after it: whoever takes it next knows what was done.
/// What could not be shared keeps the lease until it ends by itself.
pub(super) async fn give_back(ship: &Ship, held: &Held) -> Sync {
    let shared = shared(ship).await;
    match &shared {
        Sync::Pending(why) => {
            ship.say(format!("ledger: pending ({why}); the lease is kept until it ends by itself"));
        }
        _ => ship.book.release_lease(&ship.environment, held).await,
    }
    shared
}

/// Shares the ledger; after a signal for a moment only.
pub(super) async fn shared(ship: &Ship) -> Sync {
    let sharing = ship.book.share();
    if !ship.bench.cancel.is_cancelled() {
        return sharing.await;
    }
    let shared = tokio::time::timeout(SIGNALLED, sharing).await;
    shared.unwrap_or_else(|_| Sync::Pending("stopped by a signal".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// One prolonging may be lost, and the lease still holds.
    const _: () = assert!(EVERY.as_secs() * 2 < limits::LEASE.as_secs());

    #[tokio::test(start_paused = true)]
    async fn a_long_call_keeps_its_lease_and_a_slow_remote_delays_nothing() {
        for (call_secs, prolong_secs, expected) in
            [(10, 0, 0), (180, 0, 5), (180, 3_600, 1), (31, 0, 1)]
        {
            let prolonged = Cell::new(0);
            let start = tokio::time::Instant::now();
            let work = async {
                tokio::time::sleep(Duration::from_secs(call_secs)).await;
                "done"
            };
            let prolong = || async {
                prolonged.set(prolonged.get() + 1);
                tokio::time::sleep(Duration::from_secs(prolong_secs)).await;
            };
            assert_eq!(beside(work, prolong).await, "done");
            assert_eq!(start.elapsed().as_secs(), call_secs, "the call decides how long it takes");
            assert_eq!(prolonged.get(), expected, "{call_secs} s");
        }
    }
}
