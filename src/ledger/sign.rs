//! Signing an entry: DSSE over the exact bytes of `entry.json`. Without a key an entry stands
//! unsigned, and its actor's role is a claim.

use crate::base::dsse::{Envelope, SigningKey};

pub(crate) const PAYLOAD_TYPE: &str = "application/vnd.orca.entry+json";

/// Signs the bytes of an entry.
pub(crate) fn sign(entry: &[u8], key: &SigningKey) -> Envelope {
    Envelope::sign(PAYLOAD_TYPE, entry, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_over_the_very_bytes() {
        let key = SigningKey::from_seed(&[7; 32]);
        let envelope = sign(b"{}\n", &key);
        assert_eq!(envelope.verify(PAYLOAD_TYPE, &key.public()).unwrap(), b"{}\n");
        let other = SigningKey::from_seed(&[8; 32]);
        assert!(envelope.verify(PAYLOAD_TYPE, &other.public()).is_err());
    }
}
