//! The only place that reads environment variables. Read once, at the start.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::base::clock::{Clock, Entropy, Timestamp};
use crate::base::redact::{Redactor, Secret};

/// Parts of a variable's name that make its value a secret.
const SECRET_NAME_PARTS: [&str; 9] =
    ["TOKEN", "SECRET", "PASSWORD", "PASSWD", "API_KEY", "APIKEY", "PRIVATE_KEY", "_KEY", "DSN"];

/// What the environment says.
#[derive(Debug, Clone, Default)]
pub(crate) struct Env {
    variables: BTreeMap<String, String>,
}

impl Env {
    #[expect(clippy::disallowed_methods, reason = "this is the one home of the environment")]
    pub(crate) fn read() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables }
    }

    /// For tests of precedence: exactly these variables.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { variables: variables.iter().map(own).collect() }
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| !matches!(value, "0" | "false" | "no"))
    }

    pub(crate) fn secret(&self, name: &str) -> Option<Secret> {
        self.get(name).map(Secret::new)
    }

    /// Knows every secret of this environment by value.
    pub(crate) fn redactor(&self) -> Redactor {
        let is_secret = |name: &str| {
            SECRET_NAME_PARTS.iter().any(|part| name.to_ascii_uppercase().contains(part))
        };
        Redactor::new(
            self.variables.iter().filter(|(name, _)| is_secret(name)).map(|(_, v)| Secret::new(v)),
        )
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
