//! Identities: commits, environments, gates, and the ids orca makes itself.
//! Every one is checked when it is made, so that a name can go into a ref or a file name as it is.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::clock::Entropy;

/// A text that is not the identity it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is not a {what}: {rule}")]
pub(crate) struct IdError {
    pub(crate) what: &'static str,
    pub(crate) text: String,
    pub(crate) rule: &'static str,
}

macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $ok:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                let accept: fn(&str) -> bool = $ok;
                if accept(&text) {
                    Ok(Self(text))
                } else {
                    Err(IdError { what: $what, text, rule: $rule })
                }
            }

            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

fn is_name(text: &str) -> bool {
    (1..=100).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && !text.contains("..")
        && !text.ends_with('.')
        && !text.to_ascii_lowercase().ends_with(".lock")
}

/// Whether a URL carries a user or a password: what is an id in the ledger for ever is no secret.
fn has_user(text: &str) -> bool {
    let authority = text.split_once("://").map(|(_, rest)| rest.split(['/', '?', '#']).next());
    authority.flatten().is_some_and(|authority| authority.contains('@'))
}

checked_text!(
    /// A git commit: 40 lower-case hex digits.
    CommitId,
    "commit id",
    "write all 40 hex digits in lower case",
    |text| text.len() == 40 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
);
checked_text!(
    /// An environment such as `production`. Safe inside a git ref.
    Environment,
    "environment",
    "use up to 100 letters, digits, '-', '_' and '.', starting with a letter or digit",
    is_name
);
checked_text!(
    /// A deployment as its platform names it (a URL, or an id).
    DeploymentId,
    "deployment",
    "give the platform's id or URL, without spaces and without a password, up to 300 characters",
    |text| (1..=300).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_graphic())
        && !has_user(text)
);
checked_text!(
    /// A release name: the tag, such as `v1.4.0-rc.2`.
    ReleaseName,
    "release",
    "use up to 100 letters, digits, '-', '_' and '.', starting with a letter or digit",
    is_name
);
checked_text!(
    /// A check, `domain.noun`, such as `load.slo`.
    CheckId,
    "check id",
    "write domain.noun in lower case, such as load.slo",
    |text| is_name(text)
        && text.contains('.')
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-_".contains(c))
);
checked_text!(
    /// An id that orca made: a kind, an underscore, 16 base32 characters (80 random bits).
    OrcaId,
    "orca id",
    "use an id as orca printed it, such as en_0123456789abcdef",
    |text| (4..=40).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
);

impl CommitId {
    /// The first 9 digits, enough for people.
    pub(crate) fn short(&self) -> &str {
        self.0.get(..9).unwrap_or(&self.0)
    }
}

impl OrcaId {
    /// A new id of the given kind (two or three lower-case letters).
    pub(crate) fn generate(kind: &str, entropy: &Entropy) -> Self {
        const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
        let bits = (u128::from(entropy.next_u64()) << 64) | u128::from(entropy.next_u64());
        let mut text = format!("{kind}_");
        for place in 0..16_u32 {
            let index = usize::try_from((bits >> (place * 5)) & 31).unwrap_or(0);
            text.push(char::from(ALPHABET[index]));
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_leave_a_ref_or_a_folder_are_refused() {
        for bad in ["", "a/b", "../x", "a..b", "-x", "x.lock", "a b", "x."] {
            assert!(Environment::new(bad).is_err(), "{bad}");
        }
        for good in ["production", "eu-west.1", "v1.2.3-rc.1"] {
            assert!(Environment::new(good).is_ok(), "{good}");
        }
        assert!(CommitId::new("ABC").is_err());
        assert!(CheckId::new("load.slo").is_ok());
        assert!(CheckId::new("latency").is_err());
        assert!(DeploymentId::new("http://u:pw@127.0.0.1:80").is_err());
        assert!(DeploymentId::new("http://127.0.0.1:80/@here").is_ok());
    }

    #[test]
    fn made_ids_are_valid_and_differ() {
        let entropy = Entropy::seeded(1);
        let (a, b) = (OrcaId::generate("en", &entropy), OrcaId::generate("en", &entropy));
        assert_ne!(a, b);
        assert_eq!(OrcaId::new(a.as_str()), Ok(a.clone()));
    }
}
