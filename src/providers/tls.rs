//! The one TLS configuration: rustls with ring, and the machine's roots, else Mozilla's.
//!
//! In a slim container without CA files a client must still come to be, or a rollback would die.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// A client configuration that verifies servers.
pub(crate) fn client_config() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots())
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn roots() -> RootCertStore {
    let mut store = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(native.certs);
    if store.is_empty() {
        tracing::debug!("no native root certificates, using the built-in ones");
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    store
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_are_always_roots() {
        assert!(!super::roots().is_empty());
        assert_eq!(super::client_config().alpn_protocols.len(), 2);
    }
}
