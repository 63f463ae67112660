//! One call to another system, as it is kept and shown: what was asked of whom, what came back and
//! how long it took. Carries no query, header, body or credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CallMade {
    /// Of HTTP; `RUN` for a command that changes something, `READ` for one that does not.
    pub(crate) method: String,
    /// Or what a command was asked to do: `exec:rollback`.
    pub(crate) url: String,
    /// The answer's status, or the command's exit code; absent when none came.
    pub(crate) status: Option<u16>,
    /// Why there is no answer.
    pub(crate) failure: Option<String>,
    pub(crate) took_us: u64,
    /// What the other side calls this request.
    pub(crate) request_id: Option<String>,
}

impl CallMade {
    /// Whether it may have changed something.
    pub(crate) fn is_change(&self) -> bool {
        !matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "READ")
    }
}
