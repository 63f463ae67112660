//! Who signed an entry, and whether that key counted at the time. Pure.
//!
//! A signature is over the exact bytes of `entry.json`. The trust list is read by the caller from
//! where the candidate cannot change it; without one a role stays a claim.

use super::entry::Body;
use crate::base::clock::Timestamp;
use crate::base::dsse::{DsseError, Envelope, PublicKey, SigningKey};
use crate::gate::waiver::Role;

pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.orca.entry+json";

/// A key that counts, for what and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TrustedKey {
    pub(crate) name: String,
    pub(crate) key: PublicKey,
    pub(crate) role: Role,
    pub(crate) valid_from: Timestamp,
    pub(crate) valid_until: Option<Timestamp>,
    pub(crate) revoked_at: Option<Timestamp>,
}

/// Every key that counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Trust {
    pub(crate) keys: Vec<TrustedKey>,
}

/// What is known of who wrote an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Signed {
    /// No signature: its actor is a claim.
    Unsigned,
    By {
        name: String,
        key_id: String,
        role: Role,
    },
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the signature cannot be read: {0}")]
    Unreadable(DsseError),
    #[error("no trusted key signed it; the envelope names {0}")]
    UnknownKey(String),
    #[error("the signature by {name} is over other bytes")]
    OtherBytes { name: String },
    #[error("the signature by {name} is wrong: {cause}")]
    Wrong { name: String, cause: DsseError },
    #[error("the key of {name} counts from {}", from.rfc3339())]
    NotYet { name: String, from: Timestamp },
    #[error("the key of {name} ended at {}", until.rfc3339())]
    Ended { name: String, until: Timestamp },
    #[error("the key of {name} was revoked at {}", at.rfc3339())]
    Revoked { name: String, at: Timestamp },
    #[error("role {role:?} of {name} may not sign {kind}")]
    Role { name: String, role: Role, kind: &'static str },
}

/// Signs the bytes of an entry.
pub(crate) fn sign(entry: &[u8], key: &SigningKey) -> Envelope {
    Envelope::sign(PAYLOAD_TYPE, entry, key)
}

impl Trust {
    /// Who signed `entry`, written at `at`.
    ///
    /// A revoked key counts for nothing, not even for what it signed before: who stole it can
    /// write any date.
    pub(crate) fn verify(
        &self,
        entry: &[u8],
        dsse: Option<&[u8]>,
        at: Timestamp,
    ) -> Result<Signed, SignatureError> {
        let Some(dsse) = dsse else { return Ok(Signed::Unsigned) };
        let envelope = Envelope::parse(dsse).map_err(SignatureError::Unreadable)?;
        let named = |k: &&TrustedKey| {
            let id = k.key.key_id();
            envelope.signatures.iter().any(|s| s.keyid == id)
        };
        let Some(trusted) = self.keys.iter().find(named) else {
            let names: Vec<&str> = envelope.signatures.iter().map(|s| s.keyid.as_str()).collect();
            return Err(SignatureError::UnknownKey(names.join(", ")));
        };
        let name = trusted.name.clone();
        match envelope.verify(PAYLOAD_TYPE, &trusted.key) {
            Err(cause) => return Err(SignatureError::Wrong { name, cause }),
            Ok(payload) if payload != entry => return Err(SignatureError::OtherBytes { name }),
            Ok(_) => {}
        }
        trusted.counts_at(at)?;
        Ok(Signed::By { name, key_id: trusted.key.key_id(), role: trusted.role })
    }
}

impl TrustedKey {
    fn counts_at(&self, at: Timestamp) -> Result<(), SignatureError> {
        let name = self.name.clone();
        if let Some(at) = self.revoked_at {
            return Err(SignatureError::Revoked { name, at });
        }
        if at < self.valid_from {
            return Err(SignatureError::NotYet { name, from: self.valid_from });
        }
        match self.valid_until {
            Some(until) if at >= until => Err(SignatureError::Ended { name, until }),
            _ => Ok(()),
        }
    }
}

impl Signed {
    /// Whether this signer may say `body`: CI may not waive.
    pub(crate) fn may_say(&self, body: &Body) -> Result<(), SignatureError> {
        match self {
            Self::By { name, role: Role::Ci, .. } if matches!(body, Body::Waived { .. }) => {
                Err(SignatureError::Role { name: name.clone(), role: Role::Ci, kind: body.kind() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(us: i64) -> Timestamp {
        Timestamp::from_us(us)
    }

    fn trust(change: impl FnOnce(&mut TrustedKey)) -> Trust {
        let mut key = TrustedKey {
            name: "ci".into(),
            key: SigningKey::from_seed(&[1; 32]).public(),
            role: Role::Ci,
            valid_from: at(10),
            valid_until: Some(at(20)),
            revoked_at: None,
        };
        change(&mut key);
        Trust { keys: vec![key] }
    }

    #[test]
    fn a_key_counts_from_until_and_unless_revoked() {
        let entry = b"{}\n";
        let dsse = sign(entry, &SigningKey::from_seed(&[1; 32])).bytes();
        let list = trust(|_| ());
        for (when, counts) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(list.verify(entry, Some(&dsse), at(when)).is_ok(), counts, "{when}");
        }
        let signed = list.verify(entry, Some(&dsse), at(15)).unwrap();
        assert!(matches!(&signed, Signed::By { name, role: Role::Ci, .. } if name == "ci"));
        assert_eq!(list.verify(entry, None, at(15)), Ok(Signed::Unsigned));
        let revoked = trust(|k| k.revoked_at = Some(at(18))).verify(entry, Some(&dsse), at(15));
        assert!(matches!(revoked, Err(SignatureError::Revoked { .. })));
    }

    #[test]
    fn other_bytes_keys_and_forms_do_not_count() {
        let entry = b"{}\n";
        let dsse = sign(entry, &SigningKey::from_seed(&[1; 32])).bytes();
        let list = trust(|_| ());
        let other = list.verify(b"{ }\n", Some(&dsse), at(15));
        assert_eq!(other, Err(SignatureError::OtherBytes { name: "ci".into() }));
        let stranger = sign(entry, &SigningKey::from_seed(&[2; 32])).bytes();
        let unknown = list.verify(entry, Some(&stranger), at(15));
        assert!(matches!(unknown, Err(SignatureError::UnknownKey(_))));
        let torn = list.verify(entry, Some(b"{"), at(15));
        assert!(matches!(torn, Err(SignatureError::Unreadable(_))));
    }

    #[test]
    fn ci_may_not_waive() {
        let by = |role| Signed::By { name: "x".into(), key_id: "k".into(), role };
        let waived = super::super::fixture::waived("slo.latency");
        assert!(by(Role::Ci).may_say(&waived).is_err());
        assert!(by(Role::Ops).may_say(&waived).is_ok());
        assert!(Signed::Unsigned.may_say(&waived).is_ok());
    }
}
