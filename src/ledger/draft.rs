//! What is to be written, and by whom.

use super::entry::{Actor, Body};
use crate::base::clock::{Clock, Entropy};
use crate::base::dsse::SigningKey;
use crate::base::ids::Environment;
use crate::base::redact::Redactor;

/// Who writes, with what.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) actor: Actor,
    /// Who holds a lease: one name a process, so that two runs of one person are two.
    pub(crate) holder: String,
    pub(crate) redactor: Redactor,
    pub(crate) key: Option<SigningKey>,
    /// This orca's version.
    pub(crate) orca: String,
}

/// What is to be written.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) environment: Option<Environment>,
    pub(crate) epoch: Option<u64>,
    pub(crate) body: Body,
    /// Bytes of exhibits, redacted when they were made.
    pub(crate) exhibits: Vec<Vec<u8>>,
}

impl Draft {
    pub(crate) fn new(environment: Option<Environment>, body: Body) -> Self {
        Self { environment, epoch: None, body, exhibits: Vec::new() }
    }
}
