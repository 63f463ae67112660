//! Signing an entry, and whether a signature counts: DSSE over the exact bytes of `entry.json`. Pure.
//!
//! The list of trusted keys is read by the caller from where the candidate cannot change it. Without
//! one an entry's role is a claim. Facts and rollbacks never ask here: only proof for a raise does.

use super::entry::{Body, Entry};
use crate::base::clock::Timestamp;
use crate::base::dsse::{Envelope, PublicKey, SigningKey};
use crate::base::limits;
use crate::gate::verdict::Cause;
use crate::gate::waiver::Role;

pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.orca.entry+json";

/// Signs the bytes of an entry.
pub(crate) fn sign(entry: &[u8], key: &SigningKey) -> Envelope {
    Envelope::sign(PAYLOAD_TYPE, entry, key)
}

/// A key that counts, for what and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrustedKey {
    /// What people call it.
    pub(crate) id: String,
    pub(crate) key: PublicKey,
    pub(crate) roles: Vec<Role>,
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) valid_until: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// Every key that counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trust {
    /// Whether proof without such a signature counts for nothing.
    pub(crate) required: bool,
    pub(crate) keys: Vec<TrustedKey>,
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Distrust {
    #[error("it is unsigned")]
    Unsigned,
    #[error("its signature cannot be read: {0}")]
    Unreadable(String),
    #[error("no trusted key signed it; the envelope names {0}")]
    Foreign(String),
    #[error("the signature by key {id} is wrong: {why}")]
    Wrong { id: String, why: String },
    #[error("key {id} counts from {}", from.rfc3339())]
    NotYet { id: String, from: Timestamp },
    #[error("key {id} ended at {}", until.rfc3339())]
    Ended { id: String, until: Timestamp },
    #[error("key {id} was revoked at {}", at.rfc3339())]
    Revoked { id: String, at: Timestamp },
    #[error("key {id} has the role {has}, and {wanted} must sign it")]
    Role { id: String, has: String, wanted: String },
    #[error("it is dated {}, more than five minutes ahead", .0.rfc3339())]
    Future(Timestamp),
    #[error("it is dated {}, before what it says it saw", .0.rfc3339())]
    Backdated(Timestamp),
}

impl Distrust {
    /// The typed cause of the Inconclusive that it makes.
    pub(crate) const fn cause(&self) -> Cause {
        match self {
            Self::Unsigned => Cause::Unsigned,
            Self::Unreadable(_) | Self::Wrong { .. } => Cause::WrongSignature,
            Self::Foreign(_) => Cause::ForeignKey,
            Self::NotYet { .. } | Self::Ended { .. } => Cause::KeyNotValid,
            Self::Revoked { .. } => Cause::KeyRevoked,
            Self::Role { .. } => Cause::WrongRole,
            Self::Future(_) | Self::Backdated(_) => Cause::FromTheFuture,
        }
    }
}

impl Trust {
    /// Who signed these bytes of an entry, as long as that key counted when it was written.
    pub(crate) fn signer(
        &self,
        (entry, at): (&[u8], Timestamp),
        dsse: Option<&[u8]>,
    ) -> Result<&TrustedKey, Distrust> {
        let envelope = Envelope::parse(dsse.ok_or(Distrust::Unsigned)?)
            .map_err(|error| Distrust::Unreadable(error.to_string()))?;
        let names: Vec<&str> = envelope.signatures.iter().map(|s| s.keyid.as_str()).collect();
        let mut first = None;
        for known in self.keys.iter().filter(|k| names.contains(&k.key.key_id().as_str())) {
            match known.signed(&envelope, entry).and_then(|()| known.counts_at(at)) {
                Ok(()) => return Ok(known),
                Err(why) => first = first.or(Some(why)),
            }
        }
        Err(first.unwrap_or_else(|| Distrust::Foreign(names.join(", "))))
    }

    /// Whether this stored entry counts as proof at `now`, signed by one of these roles.
    pub(crate) fn counts(
        &self,
        (entry, dsse): (&[u8], Option<&[u8]>),
        roles: &[Role],
        now: Timestamp,
    ) -> Result<&TrustedKey, Distrust> {
        let said: Entry = serde_json::from_slice(entry)
            .map_err(|error| Distrust::Unreadable(error.to_string()))?;
        let skew = i64::try_from(limits::CLOCK_SKEW.as_micros()).unwrap_or(i64::MAX);
        if said.at > now.plus_us(skew) {
            return Err(Distrust::Future(said.at));
        }
        // An old date must not bring an old key back: what was seen later was not written before.
        if let Body::Ruled { ruling, .. } = &said.body
            && ruling.checks.iter().any(|check| check.observed_at > said.at.plus_us(skew))
        {
            return Err(Distrust::Backdated(said.at));
        }
        let signer = self.signer((entry, said.at), dsse)?;
        signer.has_one_of(roles).map(|()| signer)
    }

    /// Whether what `key` signs now will count for one of these roles.
    pub(crate) fn holds(
        &self,
        key: Option<&PublicKey>,
        roles: &[Role],
        now: Timestamp,
    ) -> Result<&TrustedKey, Distrust> {
        let key = key.ok_or(Distrust::Unsigned)?;
        let known = self.keys.iter().find(|known| known.key == *key);
        let known = known.ok_or_else(|| Distrust::Foreign(key.key_id()))?;
        known.counts_at(now)?;
        known.has_one_of(roles).map(|()| known)
    }
}

impl TrustedKey {
    fn signed(&self, envelope: &Envelope, entry: &[u8]) -> Result<(), Distrust> {
        let wrong = |why: String| Distrust::Wrong { id: self.id.clone(), why };
        let payload =
            envelope.verify(PAYLOAD_TYPE, &self.key).map_err(|error| wrong(error.to_string()))?;
        if payload == entry { Ok(()) } else { Err(wrong("it is over other bytes".to_owned())) }
    }

    /// A revoked key counts for nothing, not even for what it signed before: who stole it can
    /// write any date.
    fn counts_at(&self, at: Timestamp) -> Result<(), Distrust> {
        let id = self.id.clone();
        if let Some(at) = self.revoked_at {
            return Err(Distrust::Revoked { id, at });
        }
        match (self.valid_from, self.valid_until) {
            (Some(from), _) if at < from => Err(Distrust::NotYet { id, from }),
            (_, Some(until)) if at >= until => Err(Distrust::Ended { id, until }),
            _ => Ok(()),
        }
    }

    fn has_one_of(&self, roles: &[Role]) -> Result<(), Distrust> {
        if self.roles.iter().any(|role| roles.contains(role)) {
            return Ok(());
        }
        let list = |roles: &[Role], between: &str| {
            roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(between)
        };
        let (has, wanted) = (list(&self.roles, ", "), list(roles, " or "));
        Err(Distrust::Role { id: self.id.clone(), has, wanted })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Told, ruled, waived};
    use super::*;
    use crate::base::digest::Digest;
    use crate::base::ids::CheckId;
    use crate::gate::ruling::CheckRecord;
    use crate::gate::verdict::{Judgement, Verdict};

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_us(secs * 1_000_000)
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    fn trusted(seed: u8, id: &str, roles: &[Role]) -> TrustedKey {
        TrustedKey {
            id: id.into(),
            key: key(seed).public(),
            roles: roles.to_vec(),
            valid_from: None,
            valid_until: None,
            revoked_at: None,
        }
    }

    fn trust() -> Trust {
        let (ci, ana) =
            (trusted(1, "ci", &[Role::Ci]), trusted(2, "ana", &[Role::Engineering, Role::Ops]));
        Trust { required: true, keys: vec![ci, ana] }
    }

    /// A ruling dated 1,000 s, signed by the key of that seed.
    fn signed(seed: Option<u8>) -> (Vec<u8>, Option<Vec<u8>>) {
        let mut entry = Told::new().next(Some("production"), ruled("load", '4', Verdict::Pass));
        entry.at = at(1_000);
        let bytes = entry.bytes();
        let dsse = seed.map(|seed| sign(&bytes, &key(seed)).bytes());
        (bytes, dsse)
    }

    fn cause(trust: &Trust, (entry, dsse): &(Vec<u8>, Option<Vec<u8>>), now: i64) -> Option<Cause> {
        let stored = (entry.as_slice(), dsse.as_deref());
        trust.counts(stored, &[Role::Ci], at(now)).err().map(|why| why.cause())
    }

    #[test]
    fn only_a_trusted_key_of_the_right_role_counts() {
        let two = |bytes: &[u8]| {
            let mut both = sign(bytes, &key(3));
            both.signatures.extend(sign(bytes, &key(1)).signatures);
            Some(both.bytes())
        };
        let (entry, _) = signed(None);
        let mut stolen = sign(&entry, &key(3));
        stolen.signatures[0].keyid = key(1).public().key_id();
        for (stored, expected) in [
            (signed(Some(1)), None),
            (signed(None), Some(Cause::Unsigned)),
            (signed(Some(3)), Some(Cause::ForeignKey)),
            (signed(Some(2)), Some(Cause::WrongRole)),
            ((entry.clone(), two(&entry)), None),
            ((entry.clone(), Some(stolen.bytes())), Some(Cause::WrongSignature)),
            ((entry.clone(), Some(b"{".to_vec())), Some(Cause::WrongSignature)),
            ((entry, two(b"{}\n")), Some(Cause::WrongSignature)),
        ] {
            assert_eq!(cause(&trust(), &stored, 1_000), expected);
        }
    }

    #[test]
    fn a_key_counts_from_until_and_unless_revoked() {
        let with = |change: fn(&mut TrustedKey)| {
            let mut trust = trust();
            change(&mut trust.keys[0]);
            trust
        };
        for (trust, expected) in [
            (with(|k| k.valid_from = Some(at(1_000))), None),
            (with(|k| k.valid_from = Some(at(1_001))), Some(Cause::KeyNotValid)),
            (with(|k| k.valid_until = Some(at(1_001))), None),
            (with(|k| k.valid_until = Some(at(1_000))), Some(Cause::KeyNotValid)),
            (with(|k| k.revoked_at = Some(at(2_000))), Some(Cause::KeyRevoked)),
        ] {
            assert_eq!(cause(&trust, &signed(Some(1)), 1_000), expected, "{trust:?}");
        }
    }

    /// A ruling dated 1,000 s about something seen at `observed`.
    fn saw(observed: i64) -> Entry {
        let mut body = ruled("load", '4', Verdict::Pass);
        if let Body::Ruled { ruling, .. } = &mut body {
            ruling.checks.push(CheckRecord {
                check: CheckId::new("load.slo").unwrap(),
                rule: "load.slo".into(),
                rule_version: 1,
                required: true,
                judgement: Judgement::pass("fine", "told v1"),
                policy: Digest::of(b"policy"),
                exhibit: Digest::of(b"exhibit"),
                observed_at: at(observed),
                max_age_us: 1,
                waivers: Vec::new(),
                counted: Verdict::Pass,
            });
        }
        let mut entry = Told::new().next(Some("production"), body);
        entry.at = at(1_000);
        entry
    }

    /// Five minutes of skew are forgiven either way, and not a second more.
    #[test]
    fn dates_that_cannot_be() {
        let stored = signed(Some(1));
        assert_eq!(cause(&trust(), &stored, 700), None);
        assert_eq!(cause(&trust(), &stored, 699), Some(Cause::FromTheFuture));
        for (observed, expected) in [(1_300, None), (1_301, Some(Cause::FromTheFuture))] {
            let bytes = saw(observed).bytes();
            let dsse = sign(&bytes, &key(1)).bytes();
            assert_eq!(cause(&trust(), &(bytes, Some(dsse)), 2_000), expected, "{observed}");
        }
    }

    #[test]
    fn a_waiver_needs_a_person() {
        let entry = Told::new().next(None, waived("slo.latency"));
        let now = entry.at;
        let bytes = entry.bytes();
        for (seed, counts) in [(1, false), (2, true), (3, false)] {
            let dsse = sign(&bytes, &key(seed)).bytes();
            let stored = (bytes.as_slice(), Some(dsse.as_slice()));
            let stands = trust().counts(stored, &[Role::Engineering], now).is_ok();
            assert_eq!(stands, counts, "key {seed}");
        }
        assert!(trust().holds(Some(&key(1).public()), &[Role::Ci], now).is_ok());
        assert_eq!(trust().holds(None, &[Role::Ci], now), Err(Distrust::Unsigned));
    }
}
