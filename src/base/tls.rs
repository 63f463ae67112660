//! The one TLS configuration: rustls with ring, and the machine's roots, else Mozilla's.
//!
//! In a slim container without CA files a client must still come to be, or a rollback would die.
//! It stands in `base` because both the providers' HTTP client and the load driver speak TLS.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::{atomic_file, limits};

/// Certificates that this run trusts beside the roots: a company's own authority.
static ALSO: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();

/// Trusts the certificates in a PEM file beside the roots, from here on. To be called once, at the
/// start; the error says what is wrong with the file.
pub(crate) fn also_trust(file: &Path) -> Result<usize, String> {
    let pem = atomic_file::read_text(file, limits::INPUT_FILE_BYTES_MAX)
        .map_err(|error| error.to_string())?;
    let certificates = authorities(&pem)?;
    let count = certificates.len();
    ALSO.set(certificates).map_err(|_| "other certificates are trusted already".to_owned())?;
    Ok(count)
}

/// Every certificate in a PEM text, each one that can be an authority.
fn authorities(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = read.map_err(|error| format!("not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("there is no certificate in it".to_owned());
    }
    for (number, certificate) in (1..).zip(&certificates) {
        RootCertStore::empty()
            .add(certificate.clone())
            .map_err(|error| format!("certificate {number} in it cannot be used: {error}"))?;
    }
    Ok(certificates)
}

/// Whose certificates are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those that a known root vouches for.
    Roots,
    /// Any. Only where somebody asked for it, by `--insecure` or by `sslmode=require`.
    Anyone,
}

/// A client configuration that verifies servers. The roots are read with the first server there is
/// to verify: a rollback by a router on this machine does not wait for them.
pub(crate) fn client_config() -> ClientConfig {
    with(&[b"h2", b"http/1.1"], Verifier::new(Trust::Roots))
}

/// A client configuration that offers these protocols, the best first. The roots are read at once:
/// a load waits for nothing of ours.
pub(crate) fn client_config_for(protocols: &[&[u8]], trust: Trust) -> ClientConfig {
    let verifier = Verifier::new(trust);
    if trust == Trust::Roots {
        verifier.by_roots();
    }
    with(protocols, verifier)
}

fn with(protocols: &[&[u8]], verifier: Verifier) -> ClientConfig {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&verifier.provider))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config
}

/// A client configuration that takes what these roots vouch for, and nothing else.
pub(crate) fn client_config_of(roots: RootCertStore) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The verifier of rustls itself, made when it is needed; or none. That the server holds its key is
/// checked in any case.
#[derive(Debug)]
struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    by_roots: OnceLock<Arc<WebPkiServerVerifier>>,
}

impl Verifier {
    fn new(trust: Trust) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        Self { trust, provider, by_roots: OnceLock::new() }
    }

    fn by_roots(&self) -> &WebPkiServerVerifier {
        self.by_roots.get_or_init(|| {
            let roots = Arc::new(roots());
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&self.provider))
                .build()
                .expect("there are always roots, and no revocation lists")
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.trust {
            Trust::Anyone => Ok(ServerCertVerified::assertion()),
            Trust::Roots => {
                self.by_roots().verify_server_cert(end_entity, intermediates, name, ocsp, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(native.certs);
    if store.is_empty() {
        tracing::debug!("no native root certificates, using the built-in ones");
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store.add_parsable_certificates(ALSO.get().into_iter().flatten().cloned());
    store
}

/// A certificate as PEM.
#[cfg(test)]
pub(crate) fn pem_of(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_are_always_roots() {
        assert!(!super::roots().is_empty());
        assert_eq!(super::client_config().alpn_protocols.len(), 2);
    }

    #[test]
    fn a_file_of_authorities_holds_certificates_and_nothing_broken() {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pem = super::pem_of(own.cert.der());
        let count = |text: &str| super::authorities(text).map(|found| found.len());
        assert_eq!(count(&pem), Ok(1));
        assert_eq!(count(&format!("a note\n{pem}{pem}")), Ok(2));
        let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
        for (text, said) in [
            ("", "there is no certificate in it"),
            ("plain text", "there is no certificate in it"),
            (broken, "certificate 1 in it cannot be used"),
        ] {
            let why = count(text).unwrap_err();
            assert!(why.contains(said), "{text}: {why}");
        }
    }
}
