//! Signed envelopes: DSSE v1 (secure-systems-lab/dsse) with ed25519.
//!
//! What is signed is the pre-authentication encoding of payload type and payload, so a signature
//! over an entry can never pass for one over a pack. Verification is strict (no small-order keys)
//! and yields the payload only to who brings the key: the key id is a hint, never a proof.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
};
use ed25519_dalek::{Signature, Signer as _};
use serde::{Deserialize, Serialize};

use super::digest::Digest;

/// What could not be signed or verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DsseError {
    #[error("not an ed25519 private key in PKCS#8 PEM form")]
    PrivateKey,
    #[error("not an ed25519 public key in SPKI PEM form")]
    PublicKey,
    #[error("not a DSSE envelope: {0}")]
    Envelope(String),
    #[error("the payload is '{found}', not '{expected}'")]
    PayloadType { found: String, expected: String },
    #[error("no signature by key {0} is in the envelope")]
    NotSigned(String),
    #[error("the signature by key {0} does not fit the payload")]
    Wrong(String),
}

/// A payload and who signed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Envelope {
    #[serde(rename = "payloadType")]
    pub(crate) payload_type: String,
    /// Standard base64 of the payload.
    pub(crate) payload: String,
    pub(crate) signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnvelopeSignature {
    /// SHA-256 of the key's SPKI DER, in hex.
    pub(crate) keyid: String,
    /// Standard base64 of the 64 signature bytes.
    pub(crate) sig: String,
}

impl Envelope {
    /// `payload` signed by `key`.
    pub(crate) fn sign(payload_type: &str, payload: &[u8], key: &SigningKey) -> Self {
        let signature = key.sign(&pae(payload_type, payload));
        Self {
            payload_type: payload_type.to_owned(),
            payload: STANDARD.encode(payload),
            signatures: vec![EnvelopeSignature {
                keyid: key.public().key_id(),
                sig: STANDARD.encode(signature),
            }],
        }
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DsseError> {
        serde_json::from_slice(bytes).map_err(|e| DsseError::Envelope(e.to_string()))
    }

    /// Canonical JSON of the envelope.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        super::digest::canonical_json(self).expect("an envelope is plain data")
    }

    /// The payload, as long as `key` signed it as `payload_type`.
    pub(crate) fn verify(&self, payload_type: &str, key: &PublicKey) -> Result<Vec<u8>, DsseError> {
        if self.payload_type != payload_type {
            return Err(DsseError::PayloadType {
                found: self.payload_type.clone(),
                expected: payload_type.to_owned(),
            });
        }
        let payload = self.claimed_payload()?;
        let id = key.key_id();
        let ours = self.signatures.iter().find(|s| s.keyid == id);
        let ours = ours.ok_or_else(|| DsseError::NotSigned(id.clone()))?;
        let signature = STANDARD.decode(&ours.sig).map_err(|_| DsseError::Wrong(id.clone()))?;
        key.verify(&pae(payload_type, &payload), &signature).map_err(|_| DsseError::Wrong(id))?;
        Ok(payload)
    }

    /// The payload as it stands there. It proves nothing: use [`Envelope::verify`] to trust it.
    pub(crate) fn claimed_payload(&self) -> Result<Vec<u8>, DsseError> {
        STANDARD.decode(&self.payload).map_err(|e| DsseError::Envelope(format!("payload: {e}")))
    }
}

/// DSSE v1 pre-authentication encoding: what the signature is over.
pub(crate) fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes =
        format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// An ed25519 private key. Debug is blind; it leaves only as signatures.
#[derive(Clone)]
pub(crate) struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// Reads PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it.
    pub(crate) fn from_pkcs8_pem(pem: &str) -> Result<Self, DsseError> {
        ed25519_dalek::SigningKey::from_pkcs8_pem(pem).map(Self).map_err(|_| DsseError::PrivateKey)
    }

    /// A new key from 32 random bytes.
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Self {
        Self(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// PKCS#8 PEM, for the one file that keeps it.
    pub(crate) fn to_pkcs8_pem(&self) -> super::redact::Secret {
        let pem = self.0.to_pkcs8_pem(LineEnding::LF).expect("an ed25519 key encodes");
        super::redact::Secret::new(pem.as_str())
    }

    pub(crate) fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The 64 bytes of a raw signature over `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.public().key_id())
    }
}

/// An ed25519 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey(ed25519_dalek::VerifyingKey);

impl PublicKey {
    /// Reads SPKI PEM, as `openssl pkey -pubout` writes it.
    pub(crate) fn from_spki_pem(pem: &str) -> Result<Self, DsseError> {
        ed25519_dalek::VerifyingKey::from_public_key_pem(pem)
            .map(Self)
            .map_err(|_| DsseError::PublicKey)
    }

    pub(crate) fn to_spki_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).expect("an ed25519 key encodes")
    }

    /// SHA-256 of the SPKI DER, in hex.
    pub(crate) fn key_id(&self) -> String {
        let der = self.0.to_public_key_der().expect("an ed25519 key encodes");
        Digest::of(der.as_bytes()).hex()
    }

    /// Whether `signature` (64 bytes) is this key's over `message`. Strict.
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), DsseError> {
        let wrong = || DsseError::Wrong(self.key_id());
        let signature = Signature::from_slice(signature).map_err(|_| wrong())?;
        self.0.verify_strict(message, &signature).map_err(|_| wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &str = "application/vnd.orca.entry+json";

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32])
    }

    /// The example of the DSSE protocol document.
    #[test]
    fn pae_is_the_published_one() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else_does() {
        let signed = Envelope::sign(TYPE, b"{}\n", &key(1));
        let read = Envelope::parse(&signed.bytes()).unwrap();
        assert_eq!(read.verify(TYPE, &key(1).public()), Ok(b"{}\n".to_vec()));
        let id = key(1).public().key_id();
        let other = key(2).public();
        assert_eq!(read.verify(TYPE, &other), Err(DsseError::NotSigned(other.key_id())));
        assert!(matches!(read.verify("x", &other), Err(DsseError::PayloadType { .. })));
        let changed = Envelope { payload: STANDARD.encode(b"{ }\n"), ..read.clone() };
        assert_eq!(changed.verify(TYPE, &key(1).public()), Err(DsseError::Wrong(id)));
        let mut stolen = read;
        stolen.signatures[0].keyid = other.key_id();
        assert_eq!(stolen.verify(TYPE, &other), Err(DsseError::Wrong(other.key_id())));
        assert!(Envelope::parse(br#"{"payload":"e30K"}"#).is_err());
    }

    #[test]
    fn keys_travel_as_pem_and_debug_is_blind() {
        let pem = key(3).to_pkcs8_pem();
        let again = SigningKey::from_pkcs8_pem(pem.expose()).unwrap();
        assert_eq!(again.public(), key(3).public());
        let public = PublicKey::from_spki_pem(&again.public().to_spki_pem()).unwrap();
        assert_eq!(public, key(3).public());
        assert!(!format!("{again:?}").contains("0303"));
        assert_eq!(SigningKey::from_pkcs8_pem("x").unwrap_err(), DsseError::PrivateKey);
        assert_eq!(PublicKey::from_spki_pem("x").unwrap_err(), DsseError::PublicKey);
    }

    /// The first test key of RFC 8032, in the forms that `openssl` writes.
    #[test]
    fn reads_what_openssl_writes() {
        let private = "-----BEGIN PRIVATE KEY-----\n\
            MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
            -----END PRIVATE KEY-----\n";
        let public = "-----BEGIN PUBLIC KEY-----\n\
            MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
            -----END PUBLIC KEY-----\n";
        let key = SigningKey::from_pkcs8_pem(private).unwrap();
        assert_eq!(key.public().to_spki_pem(), public);
    }
}
