//! Where a database is and how to speak to it, read once from a URL: for orca's own connections, and
//! as environment variables for the programs of Postgres, so that no password stands in a command
//! line. `sslmode` means what libpq means by it.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::base::redact::Secret;
use crate::base::tls::{self, Trust};

/// Why a URL is none of a database. Never carries the URL: its password would stand in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("the URL of the database cannot be read: {0}")]
    Url(String),
    #[error("sslmode={0} is unknown; write disable, prefer, require or verify-full")]
    Mode(String),
    #[error("sslrootcert {0}: {1}")]
    Roots(PathBuf, String),
}

/// Whose certificates are taken, as libpq says it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Certificates {
    /// `prefer` and `require`: encrypted, to whoever answers.
    Any,
    /// `verify-ca` and `verify-full`: of this machine's roots, or of those in a file.
    Verified(Option<PathBuf>),
}

/// A database that somebody named.
#[derive(Debug, Clone)]
pub(crate) struct Address {
    config: Config,
    certificates: Certificates,
    /// As libpq reads it.
    mode: String,
}

impl Address {
    /// Reads `postgres://user:password@host:port/database?sslmode=...`.
    pub(crate) fn parse(url: &Secret) -> Result<Self, AddressError> {
        let (bare, options) = url.expose().split_once('?').unwrap_or((url.expose(), ""));
        let mut kept = Vec::new();
        let (mut mode, mut roots) = ("prefer".to_owned(), None);
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("sslmode", value)) => value.clone_into(&mut mode),
                Some(("sslrootcert", "system")) => roots = None,
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(percent_decoded(value))),
                _ => kept.push(option),
            }
        }
        let bare =
            if kept.is_empty() { bare.to_owned() } else { format!("{bare}?{}", kept.join("&")) };
        let mut config = Config::from_str(&bare).map_err(|e| AddressError::Url(cause(&e)))?;
        let verified = matches!(mode.as_str(), "verify-ca" | "verify-full")
            || mode == "require" && roots.is_some();
        config.ssl_mode(match mode.as_str() {
            "disable" => SslMode::Disable,
            "allow" | "prefer" => SslMode::Prefer,
            "require" | "verify-ca" | "verify-full" => SslMode::Require,
            _ => return Err(AddressError::Mode(mode)),
        });
        let certificates = if verified { Certificates::Verified(roots) } else { Certificates::Any };
        Ok(Self { config, certificates, mode })
    }

    /// One of the cluster's own, on its socket.
    pub(super) fn local(config: Config) -> Self {
        Self { config, certificates: Certificates::Any, mode: "disable".to_owned() }
    }

    /// A server by its parts.
    pub(super) fn of_server(
        (host, port): (&str, u16),
        (user, password): (&str, &Secret),
        encrypted: bool,
    ) -> Self {
        let mut config = Config::new();
        config.host(host).port(port).user(user).password(password.expose());
        let (ssl, mode) =
            if encrypted { (SslMode::Require, "require") } else { (SslMode::Prefer, "prefer") };
        config.ssl_mode(ssl);
        Self { config, certificates: Certificates::Any, mode: mode.to_owned() }
    }

    /// The same server, another database.
    pub(crate) fn with_database(mut self, name: &str) -> Self {
        self.config.dbname(name);
        self
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// How orca's own connections speak TLS.
    pub(super) fn tls(&self) -> Result<MakeRustlsConnect, AddressError> {
        let config = match &self.certificates {
            Certificates::Any => tls::client_config_for(&[], Trust::Anyone),
            Certificates::Verified(None) => tls::client_config_for(&[], Trust::Roots),
            Certificates::Verified(Some(file)) => tls::client_config_of(roots_in(file)?),
        };
        Ok(MakeRustlsConnect::new(config))
    }

    /// The same for programs that use libpq. Nothing of it belongs into a command line.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.to_string_lossy().into_owned(),
        });
        let joined = |parts: Vec<String>| parts.join(",");
        let ports = self.config.get_ports().iter().map(ToString::to_string);
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let password = self.config.get_password().map(String::from_utf8_lossy).unwrap_or_default();
        let roots = match &self.certificates {
            Certificates::Verified(Some(file)) => file.to_string_lossy().into_owned(),
            Certificates::Verified(None) => "system".to_owned(),
            Certificates::Any => String::new(),
        };
        let addresses = self.config.get_hostaddrs().iter().map(ToString::to_string);
        [
            ("PGHOST", joined(hosts.collect())),
            ("PGHOSTADDR", joined(addresses.collect())),
            ("PGPORT", joined(ports.collect())),
            ("PGUSER", text(self.config.get_user())),
            ("PGDATABASE", text(self.config.get_dbname())),
            ("PGPASSWORD", password.into_owned()),
            ("PGOPTIONS", text(self.config.get_options())),
            ("PGSSLMODE", self.mode.clone()),
            ("PGSSLROOTCERT", roots),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect()
    }
}

fn roots_in(file: &Path) -> Result<RootCertStore, AddressError> {
    let wrong = |why: String| AddressError::Roots(file.to_owned(), why);
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|e| wrong(e.to_string()))? {
        let certificate = certificate.map_err(|e| wrong(e.to_string()))?;
        store.add(certificate).map_err(|e| wrong(e.to_string()))?;
    }
    if store.is_empty() {
        return Err(wrong("no certificate in it".to_owned()));
    }
    Ok(store)
}

fn percent_decoded(text: &str) -> String {
    crate::base::secret_shapes::percent_decoded(text)
}

/// What is wrong, without what stands in the URL.
fn cause(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(url: &str) -> Vec<(&'static str, String)> {
        Address::parse(&Secret::new(url)).unwrap().variables()
    }

    #[test]
    fn a_url_is_read_once_for_all() {
        let read = variables("postgres://app:p%40ss@db.example.com:6543/shop?sslmode=require");
        let expected = [
            ("PGHOST", "db.example.com"),
            ("PGPORT", "6543"),
            ("PGUSER", "app"),
            ("PGDATABASE", "shop"),
            ("PGPASSWORD", "p@ss"),
            ("PGSSLMODE", "require"),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name, value.to_owned())));
        let socket = variables("postgres://postgres@%2Ftmp%2Fx/a");
        assert!(socket.contains(&("PGHOST", "/tmp/x".to_owned())), "{socket:?}");
        let verified = variables("postgres://h/a?sslmode=verify-full&sslrootcert=%2Fa%20b.pem");
        assert!(verified.contains(&("PGSSLROOTCERT", "/a b.pem".to_owned())), "{verified:?}");
        let system = variables("postgres://h/a?sslmode=verify-full");
        assert!(system.contains(&("PGSSLROOTCERT", "system".to_owned())), "{system:?}");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_password() {
        for (url, says) in [
            ("postgres://a:hunter22@h/x?sslmode=perhaps", "sslmode=perhaps is unknown"),
            ("postgres://a:hunter22@h:port/x", "port"),
            ("postgres://a:hunter22@h/x?pgbouncer=true", "pgbouncer"),
        ] {
            let error = Address::parse(&Secret::new(url)).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("hunter22"), "{error}");
        }
    }
}
