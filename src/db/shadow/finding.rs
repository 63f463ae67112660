//! What a replay has to say beside its files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::db::lint::finding::Level;

/// One finding. The key stays the same from run to run, so that a baseline can hold it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ShadowFinding {
    /// Which check found it.
    pub(crate) id: String,
    /// The check and what it found it on.
    pub(crate) key: String,
    pub(crate) level: Level,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u64>,
    pub(crate) message: String,
}

impl ShadowFinding {
    pub(crate) fn new(id: &str, subject: &str, level: Level, message: impl Into<String>) -> Self {
        let key = format!("{id}:{subject}");
        Self { id: id.to_owned(), key, level, file: None, line: None, message: message.into() }
    }

    #[must_use]
    pub(crate) fn at(mut self, file: &str, line: u64) -> Self {
        self.file = Some(file.to_owned());
        self.line = Some(line);
        self
    }
}
