//! One lease over all clones: taken, prolonged and given back by compare-and-swap, there where there
//! is a remote; a rollback takes it here, at once.

use super::lease::{self, Lease, LeaseError};
use super::ports::{Side, Swap};
use super::store::{Ledger, LedgerError, TRIES};
use crate::base::ids::Environment;

impl Ledger {
    /// Takes the lease of `environment`, over all clones where there is a remote.
    pub(crate) fn acquire_lease(
        &mut self,
        environment: &Environment,
    ) -> Result<Lease, LedgerError> {
        let (me, now) = (self.writer.holder.clone(), self.writer.clock.now());
        let expires_at = now.plus(self.lease);
        self.swap_lease(environment, |current| {
            lease::acquire(current, &me, now).map(|lease| Lease { expires_at, ..lease })
        })
    }

    /// The newest lease of `environment` that is known here, without asking the remote.
    pub(crate) fn lease(&self, environment: &Environment) -> Result<Option<Lease>, LedgerError> {
        let sides = [Side::Here, Side::There];
        let mut known = Vec::new();
        for side in sides {
            let stored = self.storage.lease(environment, side)?;
            known.extend(stored.map(|s| Lease::parse(&s.bytes)).transpose()?);
        }
        // A takeover has the higher epoch; of one epoch, what was renewed or given back last.
        Ok(known
            .into_iter()
            .reduce(|here, there| if there.epoch >= here.epoch { there } else { here }))
    }

    /// Prolongs a lease that is still mine.
    pub(crate) fn renew_lease(
        &mut self,
        environment: &Environment,
        epoch: u64,
    ) -> Result<Lease, LedgerError> {
        let (me, now) = (self.writer.holder.clone(), self.writer.clock.now());
        let expires_at = now.plus(self.lease);
        self.swap_lease(environment, |current| {
            lease::renew(current, (&me, epoch), now).map(|lease| Lease { expires_at, ..lease })
        })
    }

    /// Gives a lease back that is still mine.
    pub(crate) fn release_lease(
        &mut self,
        environment: &Environment,
        epoch: u64,
    ) -> Result<Lease, LedgerError> {
        let (me, now) = (self.writer.holder.clone(), self.writer.clock.now());
        self.swap_lease(environment, |current| lease::release(current, (&me, epoch), now))
    }

    /// Takes the lease from whoever holds it, here and at once; the next sync pushes it.
    pub(crate) fn preempt_lease(
        &mut self,
        environment: &Environment,
    ) -> Result<Lease, LedgerError> {
        let (me, now) = (self.writer.holder.clone(), self.writer.clock.now());
        for _ in 0..TRIES {
            let here = self.storage.lease(environment, Side::Here)?;
            let there = self.storage.lease(environment, Side::There)?;
            // A lease that cannot be read stops no rollback.
            let known =
                [&here, &there].map(|side| side.as_ref().and_then(|s| Lease::parse(&s.bytes).ok()));
            let taken = lease::preempt(&known, &me, now);
            let expected = here.as_ref().map(|s| s.version.as_str());
            let bytes = taken.bytes();
            if self.storage.swap_lease(environment, Side::Here, expected, &bytes)? == Swap::Done {
                return Ok(taken);
            }
        }
        Err(LedgerError::Contended)
    }

    fn swap_lease(
        &mut self,
        environment: &Environment,
        next: impl Fn(Option<&Lease>) -> Result<Lease, LeaseError>,
    ) -> Result<Lease, LedgerError> {
        let shared = self.storage.has_remote();
        for _ in 0..TRIES {
            if shared {
                self.storage.fetch()?;
                self.push_leases()?;
            }
            let here = self.storage.lease(environment, Side::Here)?;
            let there = self.storage.lease(environment, Side::There)?;
            let read = |s: &Option<super::ports::StoredLease>| {
                s.as_ref().map(|s| Lease::parse(&s.bytes)).transpose()
            };
            let current = read(if shared { &there } else { &here })?;
            let lease = next(current.as_ref())?;
            let bytes = lease.bytes();
            if shared {
                let expected = there.as_ref().map(|s| s.version.as_str());
                let swap = self.storage.swap_lease(environment, Side::There, expected, &bytes)?;
                if swap == Swap::Lost {
                    continue;
                }
            }
            let expected = here.as_ref().map(|s| s.version.as_str());
            let swap = self.storage.swap_lease(environment, Side::Here, expected, &bytes)?;
            if swap == Swap::Done || shared {
                return Ok(lease);
            }
        }
        Err(LedgerError::Contended)
    }

    /// Pushes leases that a rollback took here while the remote was away.
    pub(super) fn push_leases(&mut self) -> Result<(), LedgerError> {
        for environment in self.storage.leases()? {
            let here = self.storage.lease(&environment, Side::Here)?;
            let there = self.storage.lease(&environment, Side::There)?;
            let epoch = |s: &Option<super::ports::StoredLease>| {
                s.as_ref().and_then(|s| Lease::parse(&s.bytes).ok()).map(|lease| lease.epoch)
            };
            if let Some(ours) = here.as_ref().filter(|_| epoch(&here) > epoch(&there)) {
                let expected = there.as_ref().map(|s| s.version.as_str());
                // Lost means that somebody else moved it on: the next sync sees which is newer.
                let _ =
                    self.storage.swap_lease(&environment, Side::There, expected, &ours.bytes)?;
            }
        }
        Ok(())
    }
}
