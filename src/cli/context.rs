//! What every verb is given: where it runs, the clock, randomness, secrets, and a way to say
//! what it is doing.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::env::Env;
use crate::base::clock::{Clock, Entropy};
use crate::base::redact::Redactor;

/// The surroundings of one run.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) env: Env,
    /// The folder given with `-C`, else the current one.
    pub(crate) folder: PathBuf,
    /// `--config`, where it was given.
    pub(crate) config: Option<PathBuf>,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) redactor: Redactor,
    /// Set by Ctrl-C and SIGTERM.
    pub(crate) cancel: CancellationToken,
    /// What takes something back that costs money: the run does not end before it, however it ends.
    pub(crate) last_work: TaskTracker,
    pub(crate) json: bool,
    /// Whether standard error is a terminal that may show a live bar.
    pub(crate) live: bool,
    /// Width of the terminal in columns.
    pub(crate) columns: usize,
}

impl Context {
    /// Says one line on standard error, redacted.
    pub(crate) fn say(&self, text: impl AsRef<str>) {
        tracing::info!("{}", self.redactor.text(text.as_ref()));
    }

    /// Says something that may hurt later.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        tracing::warn!("warning: {}", self.redactor.text(text.as_ref()));
    }
}
