//! Where a value came from. The order is: flag, environment, file, default.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// The source of a setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File { file: PathBuf, line: u64 },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "from {name}"),
            Self::Environment(name) => write!(f, "from the environment variable {name}"),
            Self::File { file, line } => write!(f, "from {}:{line}", file.display()),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

impl<T> Setting<T> {
    pub(crate) fn default(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }

    pub(crate) fn file(value: T, file: &Path, line: u64) -> Self {
        Self { value, origin: Origin::File { file: file.to_owned(), line } }
    }

    /// This setting, unless a flag or the environment gives another: flag before environment
    /// before file before default.
    #[must_use]
    pub(crate) fn overridden(
        self,
        (flag_name, flag): (&'static str, Option<T>),
        (variable_name, variable): (&'static str, Option<T>),
    ) -> Self {
        match (flag, variable) {
            (Some(value), _) => Self { value, origin: Origin::Flag(flag_name) },
            (None, Some(value)) => Self { value, origin: Origin::Environment(variable_name) },
            (None, None) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The precedence, as a table.
    #[test]
    fn flag_before_environment_before_file_before_default() {
        let file = Setting::file("file", Path::new("orca.yaml"), 3);
        for (start, flag, variable, expected, said) in [
            (Setting::default("default"), None, None, "default", "by default"),
            (file.clone(), None, None, "file", "from orca.yaml:3"),
            (file.clone(), None, Some("env"), "env", "from the environment variable ORCA_X"),
            (file, Some("flag"), Some("env"), "flag", "from --x"),
        ] {
            let setting = start.overridden(("--x", flag), ("ORCA_X", variable));
            assert_eq!((setting.value, setting.origin.to_string().as_str()), (expected, said));
        }
    }
}
