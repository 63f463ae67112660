//! What a verb brings back: one document for machines, one text for people, and the exit.

use serde::Serialize;
use serde_json::{Value, json};

use super::exit::Exit;

/// The result of a verb that ran to its end, whatever it decided.
#[derive(Debug, Clone)]
pub(crate) struct Report {
    pub(crate) exit: Exit,
    /// Carries `schema`; `orca schema NAME` describes it.
    pub(crate) json: Value,
    pub(crate) human: String,
    /// Commands to type next, the most useful first.
    pub(crate) next: Vec<String>,
    /// Shown beside the code or the job in GitHub Actions.
    pub(crate) annotations: Vec<Annotation>,
    /// `GITHUB_OUTPUT` values.
    pub(crate) outputs: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Error,
    Warning,
}

/// One annotation of a GitHub Actions run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotation {
    pub(crate) level: Level,
    pub(crate) title: String,
    pub(crate) message: String,
    pub(crate) file: Option<(String, u64)>,
}

impl Report {
    /// A report whose JSON is `document` with `schema` added.
    pub(crate) fn new(
        exit: Exit,
        schema: &str,
        document: &impl Serialize,
        human: impl Into<String>,
    ) -> Self {
        let mut json = serde_json::to_value(document).expect("a report is plain data");
        if let Value::Object(map) = &mut json {
            map.insert("schema".to_owned(), Value::String(schema.to_owned()));
        } else {
            json = json!({"schema": schema, "value": json});
        }
        Self::bare(exit, json, human)
    }

    /// A report whose JSON is a document of its own, such as a JSON Schema.
    pub(crate) fn bare(exit: Exit, json: Value, human: impl Into<String>) -> Self {
        Self {
            exit,
            json,
            human: human.into(),
            next: Vec::new(),
            annotations: Vec::new(),
            outputs: Vec::new(),
        }
    }

    #[must_use]
    pub(crate) fn next(mut self, command: impl Into<String>) -> Self {
        self.next.push(command.into());
        self
    }

    #[must_use]
    pub(crate) fn output(mut self, name: &str, value: impl Into<String>) -> Self {
        self.outputs.push((name.to_owned(), value.into()));
        self
    }
}
