//! Who may move traffic up in an environment, until when. Pure.
//!
//! The epoch only ever grows: releasing a lease keeps it, taking it raises it. Whoever acts under
//! an older epoch than the newest one known is refused. A rollback takes the lease from anyone.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;
use crate::base::digest::canonical_json;
use crate::base::limits;

pub(crate) const SCHEMA: &str = "orca.lease/v1";

/// The lease of one environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lease {
    pub(crate) schema: String,
    /// Absent when nobody holds it.
    pub(crate) holder: Option<String>,
    pub(crate) epoch: u64,
    pub(crate) expires_at: Timestamp,
}

/// Why a lease was not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LeaseError {
    #[error("{holder} holds the lease (epoch {epoch}) until {}", expires_at.rfc3339())]
    Held { holder: String, epoch: u64, expires_at: Timestamp },
    #[error("the lease of epoch {mine} is lost: {holder} took epoch {newest}")]
    Lost { mine: u64, newest: u64, holder: String },
    #[error("the lease of epoch {epoch} ended at {}", expires_at.rfc3339())]
    Expired { epoch: u64, expires_at: Timestamp },
    #[error("the stored lease cannot be read: {0}")]
    Unreadable(String),
}

impl Lease {
    fn held_by(holder: &str, epoch: u64, now: Timestamp) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            holder: Some(holder.to_owned()),
            epoch,
            expires_at: now.plus(limits::LEASE),
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        canonical_json(self).expect("a lease is plain data")
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, LeaseError> {
        let lease: Self =
            serde_json::from_slice(bytes).map_err(|e| LeaseError::Unreadable(e.to_string()))?;
        if lease.schema == SCHEMA {
            Ok(lease)
        } else {
            Err(LeaseError::Unreadable(format!("unknown schema '{}'", lease.schema)))
        }
    }

    /// Whether somebody holds it at `now`.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.holder.is_some() && now < self.expires_at
    }
}

/// Takes the lease when nobody else holds it; a new epoch each time.
pub(crate) fn acquire(
    current: Option<&Lease>,
    me: &str,
    now: Timestamp,
) -> Result<Lease, LeaseError> {
    let epoch = current.map_or(0, |lease| lease.epoch);
    match current {
        Some(Lease { holder: Some(holder), expires_at, .. })
            if holder != me && now < *expires_at =>
        {
            Err(LeaseError::Held { holder: holder.clone(), epoch, expires_at: *expires_at })
        }
        _ => Ok(Lease::held_by(me, epoch.saturating_add(1), now)),
    }
}

/// Prolongs a lease that is still mine. An expired one must be acquired anew.
pub(crate) fn renew(
    current: Option<&Lease>,
    (me, epoch): (&str, u64),
    now: Timestamp,
) -> Result<Lease, LeaseError> {
    let lease = own(current, (me, epoch))?;
    if lease.is_live(now) {
        Ok(Lease::held_by(me, epoch, now))
    } else {
        Err(LeaseError::Expired { epoch, expires_at: lease.expires_at })
    }
}

/// Gives a lease back that is still mine. The epoch stays.
pub(crate) fn release(
    current: Option<&Lease>,
    (me, epoch): (&str, u64),
    now: Timestamp,
) -> Result<Lease, LeaseError> {
    let lease = own(current, (me, epoch))?;
    Ok(Lease { holder: None, expires_at: now.min(lease.expires_at), ..lease.clone() })
}

/// Takes the lease from whoever holds it: only going back may. It ends at once, so that the next
/// candidate need not wait; the name stays, for whoever lost it.
pub(crate) fn preempt(known: &[Option<Lease>], me: &str, now: Timestamp) -> Lease {
    let newest = known.iter().flatten().map(|lease| lease.epoch).max().unwrap_or(0);
    Lease { expires_at: now, ..Lease::held_by(me, newest.saturating_add(1), now) }
}

fn own<'a>(current: Option<&'a Lease>, (me, epoch): (&str, u64)) -> Result<&'a Lease, LeaseError> {
    match current {
        Some(lease) if lease.epoch == epoch && lease.holder.as_deref() == Some(me) => Ok(lease),
        other => Err(LeaseError::Lost {
            mine: epoch,
            newest: other.map_or(0, |lease| lease.epoch),
            holder: other
                .and_then(|lease| lease.holder.clone())
                .unwrap_or_else(|| "nobody".to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_us(secs * 1_000_000)
    }

    #[test]
    fn one_holder_at_a_time_and_epochs_only_grow() {
        let first = acquire(None, "ci", at(0)).unwrap();
        assert_eq!((first.epoch, first.expires_at), (1, at(120)));
        // (who, when, what comes of it)
        for (who, when, epoch) in
            [("ana", 0, None), ("ana", 119, None), ("ana", 120, Some(2)), ("ci", 1, Some(2))]
        {
            let got = acquire(Some(&first), who, at(when)).ok().map(|l| l.epoch);
            assert_eq!(got, epoch, "{who} at {when}");
        }
        let error = acquire(Some(&first), "ana", at(5)).unwrap_err();
        assert!(matches!(error, LeaseError::Held { holder, epoch: 1, .. } if holder == "ci"));
        let free = release(Some(&first), ("ci", 1), at(7)).unwrap();
        assert_eq!((free.epoch, free.holder.as_deref()), (1, None));
        assert_eq!(acquire(Some(&free), "ana", at(8)).unwrap().epoch, 2);
    }

    #[test]
    fn only_the_holder_of_the_newest_epoch_renews() {
        let mine = acquire(None, "ci", at(0)).unwrap();
        assert_eq!(renew(Some(&mine), ("ci", 1), at(119)).unwrap().expires_at, at(239));
        let late = renew(Some(&mine), ("ci", 1), at(120)).unwrap_err();
        assert!(matches!(late, LeaseError::Expired { epoch: 1, .. }));
        let taken = preempt(&[Some(mine.clone()), None], "ana (rollback)", at(10));
        assert_eq!(taken.epoch, 2);
        let lost = renew(Some(&taken), ("ci", 1), at(11)).unwrap_err();
        assert_eq!(lost.to_string(), "the lease of epoch 1 is lost: ana (rollback) took epoch 2");
        assert!(release(Some(&taken), ("ci", 1), at(11)).is_err());
        assert!(renew(None, ("ci", 1), at(0)).is_err());
    }

    #[test]
    fn a_takeover_is_above_everything_known() {
        let low = acquire(None, "ci", at(0)).unwrap();
        let high = Lease { epoch: 9, ..low.clone() };
        assert_eq!(preempt(&[Some(low), Some(high)], "ana", at(1)).epoch, 10);
        let first = preempt(&[], "ana", at(1));
        assert_eq!(first.epoch, 1);
        assert_eq!(acquire(Some(&first), "ci", at(1)).unwrap().epoch, 2, "nobody waits for it");
    }

    #[test]
    fn leases_travel_as_json() {
        let lease = acquire(None, "ci", at(0)).unwrap();
        assert_eq!(Lease::parse(&lease.bytes()), Ok(lease));
        assert!(Lease::parse(b"{}").is_err());
    }
}
