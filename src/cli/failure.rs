//! Why a verb could not do its work: a code that `orca explain` knows, an exit, a message that
//! names the thing and the value, and hints of which the first is the next command to type.

use schemars::JsonSchema;
use serde::Serialize;

use super::exit::Exit;
use super::explain::Code;

/// A failed verb.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) exit: Exit,
    /// A lowercase fragment that names the thing and the value.
    pub(crate) message: String,
    /// What to do, the most useful first.
    pub(crate) hints: Vec<String>,
    /// The offending line of an input file, where there is one.
    pub(crate) excerpt: Option<String>,
}

/// A failure as `--json` prints it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FailureDocument {
    schema: &'static str,
    /// Such as `ORCA-1002`; `orca explain` knows it.
    code: &'static str,
    /// The exit code.
    exit: u8,
    message: String,
    hints: Vec<String>,
}

impl Failure {
    pub(crate) fn document(&self) -> FailureDocument {
        FailureDocument {
            schema: "orca.failure/v1",
            code: self.code.as_str(),
            exit: self.exit.code(),
            message: self.message.clone(),
            hints: self.hints.clone(),
        }
    }

    pub(crate) fn new(code: Code, exit: Exit, message: impl Into<String>) -> Self {
        Self { code, exit, message: message.into(), hints: Vec::new(), excerpt: None }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl From<crate::base::yaml::InputError> for Failure {
    fn from(error: crate::base::yaml::InputError) -> Self {
        let mut failure = Self::new(Code::Input, Exit::Usage, error.to_string());
        failure.hints.extend(error.suggestion);
        failure.excerpt = Some(error.text).filter(|t| !t.is_empty());
        failure
    }
}
