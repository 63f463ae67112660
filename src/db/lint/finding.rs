//! What the linter found, as users and machines read it.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad it is: an error closes the gate.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    Error,
    Warning,
}

impl Level {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// A rule that fired, before waivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) rule: &'static str,
    /// In bytes of the file.
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    /// What squawk advises; else the page of the rule does.
    pub(crate) help: Option<String>,
}

impl Hit {
    pub(crate) fn new(rule: &'static str, range: Range<usize>, message: impl Into<String>) -> Self {
        Self { rule, range, message: message.into(), help: None }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Finding {
    /// The name of the rule; `orca explain RULE` has its page.
    pub(crate) rule: String,
    pub(crate) file: String,
    /// From 1.
    pub(crate) line: u64,
    /// From 1, in characters.
    pub(crate) column: u64,
    /// First byte and the byte after the last.
    pub(crate) byte_range: [usize; 2],
    pub(crate) level: Level,
    pub(crate) message: String,
    /// What to do instead.
    pub(crate) help: String,
}

/// A finding that a comment in the file tolerates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Waived {
    pub(crate) rule: String,
    pub(crate) file: String,
    pub(crate) line: u64,
    pub(crate) reason: String,
    /// The last day; absent for `squawk-ignore`, which has none.
    pub(crate) until: Option<String>,
}

/// What was found in some files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) findings: Vec<Finding>,
    pub(crate) waived: Vec<Waived>,
}

impl Findings {
    pub(crate) fn errors(&self) -> usize {
        self.findings.iter().filter(|f| f.level == Level::Error).count()
    }
}
