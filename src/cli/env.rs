//! The only place that reads environment variables. Read once, at the start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::clock::{Clock, Entropy, Timestamp};
use crate::base::redact::{Redactor, Secret};

/// Parts of a variable's name that make its value a secret.
const SECRET_NAME_PARTS: [&str; 13] = [
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "API_KEY",
    "APIKEY",
    "_KEY",
    "_PWD",
    "DSN",
    "WEBHOOK",
    "COOKIE",
];
/// Ends of such names.
const SECRET_NAME_ENDS: [&str; 3] = ["_AUTH", "_PAT", "_PASS"];
/// Names that look like it and hold the path of a file.
const PATHS: [&str; 1] = ["ORCA_SIGNING_KEY"];

/// What the environment says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Env {
    variables: BTreeMap<String, String>,
    redactor: Redactor,
}

impl Env {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
    pub(crate) fn read() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self::with(variables)
    }

    fn with(variables: BTreeMap<String, String>) -> Self {
        let redactor = Redactor::default();
        for (name, value) in &variables {
            if is_secret(name, value) {
                redactor.learn(&Secret::new(value));
            }
            redactor.learn_url(value);
        }
        Self { variables, redactor }
    }

    /// For tests of precedence: exactly these variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self::with(variables.iter().map(own).collect())
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "0" | "false" | "no"))
    }

    /// A variable that somebody named as the place of a secret: masked from here on, whatever it
    /// is called.
    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        let secret = self.get(name).map(Secret::new)?;
        self.redactor.learn(&secret);
        Some(secret)
    }

    /// Knows every secret of this environment by value, and what is learned later.
    pub(crate) fn redactor(&self) -> Redactor {
        self.redactor.clone()
    }

    pub(crate) fn is_github_actions(&self) -> bool {
        self.get("GITHUB_ACTIONS") == Some("true")
    }

    /// No live bars, no prompts.
    pub(crate) fn is_ci(&self) -> bool {
        self.is_true("CI") || self.is_github_actions()
    }

    pub(crate) fn wants_no_colour(&self) -> bool {
        self.get("NO_COLOR").is_some() || self.get("TERM") == Some("dumb")
    }

    /// The width people gave, where it is a number.
    pub(crate) fn columns(&self) -> Option<usize> {
        self.get("COLUMNS")?.parse().ok().filter(|columns| *columns >= 20)
    }

    /// Where programs keep what must outlive a run: `XDG_STATE_HOME`, else `~/.local/state`.
    pub(crate) fn state_folder(&self) -> Option<PathBuf> {
        let own = self.get("XDG_STATE_HOME").map(PathBuf::from);
        own.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(".local/state")))
    }

    /// Where programs keep what they can make again: `XDG_CACHE_HOME`, else `~/.cache`.
    pub(crate) fn cache_folder(&self) -> Option<PathBuf> {
        let own = self.get("XDG_CACHE_HOME").map(PathBuf::from);
        own.or_else(|| Some(PathBuf::from(self.get("HOME")?).join(".cache")))
    }

    /// Who acts: `ORCA_ACTOR`, the GitHub actor, or the login name.
    pub(crate) fn actor(&self) -> String {
        ["ORCA_ACTOR", "GITHUB_ACTOR", "USER", "LOGNAME"]
            .iter()
            .find_map(|name| self.get(name))
            .unwrap_or("unknown")
            .to_owned()
    }

    /// The wall clock; tests of a debug build may freeze it.
    pub(crate) fn clock(&self) -> Clock {
        let frozen = self.test_override("ORCA_TEST_NOW_US").and_then(|text| text.parse().ok());
        frozen.map_or(Clock::System, |us| Clock::Frozen(Timestamp::from_us(us)))
    }

    pub(crate) fn entropy(&self) -> Entropy {
        let seed = self.test_override("ORCA_TEST_SEED").and_then(|text| text.parse().ok());
        seed.map_or_else(Entropy::from_system, Entropy::seeded)
    }

    /// The crash point that a test arms.
    pub(crate) fn crash_point(&self) -> Option<&str> {
        self.test_override("ORCA_TEST_CRASH")
    }

    fn test_override(&self, name: &str) -> Option<&str> {
        if cfg!(debug_assertions) { self.get(name) } else { None }
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let is_path = PATHS.contains(&name.as_str()) && !value.contains("PRIVATE KEY");
    let is_telling = SECRET_NAME_PARTS.iter().any(|part| name.contains(part))
        || SECRET_NAME_ENDS.iter().any(|end| name.ends_with(end));
    is_telling && !is_path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_telling_names_and_passwords_of_urls_are_secrets() {
        let env = Env::of(&[
            ("NPM_TOKEN", "value-of-1"),
            ("deploy_pat", "value-of-2"),
            ("DATABASE_URL", "postgres://app:value-of-3@db/x"),
            ("ORCA_SIGNING_KEY", "orca.key"),
            ("REGION", "value-of-5"),
            ("ADMIN", "value-of-6"),
        ]);
        let shown = |text: &str| env.redactor().text(text).into_owned();
        for (text, is_shown) in [
            ("value-of-1", false),
            ("value-of-2", false),
            ("value-of-3", false),
            ("orca.key", true),
            ("value-of-5", true),
            ("value-of-6", true),
        ] {
            assert_eq!(shown(text) == text, is_shown, "{text}");
        }
        env.secret("ADMIN").unwrap();
        assert_eq!(shown("value-of-6"), "[redacted]");
    }
}
