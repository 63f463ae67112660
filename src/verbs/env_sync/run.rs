//! Compares, says the plan, sets and removes, and reads back. Keys are remembered and values never.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::change::{Change, Kind, planned};
use crate::base::call_made::CallMade;
use crate::base::crash_point::{CrashPoint, hit};
use crate::base::dotenv::Variable;
use crate::base::ids::Environment;
use crate::base::redact::Secret;
use crate::ledger::entry::{Body, Outcome};
use crate::verbs::book::{Book, BookError, Note, Sync};
use crate::verbs::ship::Tell;

const STEP: &str = "env_sync";

/// The variables of a hosted environment.
#[async_trait]
pub(crate) trait Variables: Send + std::marker::Sync {
    /// Those of `target`, with their values where they can be read back.
    async fn list(&self, target: &str) -> Result<Vec<Hosted>, VariablesError>;

    /// Sets all of them, new ones and old ones. Doing it twice is doing it once. The answer is which
    /// could not be set, and why.
    async fn set(&self, variables: &[Set]) -> Result<Vec<Unset>, VariablesError>;

    async fn remove(&self, ids: &[String]) -> Result<(), VariablesError>;

    /// The calls that were made so far.
    fn calls(&self) -> Vec<CallMade>;
}

/// A variable as it is hosted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hosted {
    pub(crate) id: String,
    pub(crate) key: String,
    /// Absent where it can never be read back.
    pub(crate) value: Option<Secret>,
    /// In the platform's own word.
    pub(crate) kind: String,
    /// Other environments that have the same one.
    pub(crate) also: Vec<String>,
    /// Custom ones that have it too, by their ids.
    pub(crate) custom: Vec<String>,
}

/// A variable to be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set {
    pub(crate) key: String,
    pub(crate) value: Secret,
    /// The kind it has, or is to have.
    pub(crate) kind: String,
    pub(crate) targets: Vec<String>,
}

/// One that was not set, although the call succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unset {
    pub(crate) key: String,
    pub(crate) why: String,
}

/// Why the platform did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VariablesError {
    #[error("{0}")]
    NoAccess(String),
    #[error("{0}")]
    NotInPlan(String),
    #[error("{0}")]
    Refused(String),
    /// It may have happened: setting again is safe.
    #[error("{0}")]
    Unavailable(String),
}

/// What is to be synced.
pub(crate) struct EnvSync<'a> {
    pub(crate) variables: &'a dyn Variables,
    pub(crate) book: Arc<dyn Book>,
    pub(crate) environment: Environment,
    /// `production`, `preview` or `development`.
    pub(crate) target: String,
    pub(crate) file: Vec<Variable>,
    /// Remove what the file does not name.
    pub(crate) prunes: bool,
    /// Change what other environments share.
    pub(crate) shares: bool,
    /// The kind of new variables.
    pub(crate) new_kind: String,
    pub(crate) tell: Tell,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) changes: Vec<Change>,
    /// Read back, as far as it can be.
    pub(crate) verified: bool,
    pub(crate) ledger: Sync,
}

/// Why not everything was set.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SyncError {
    #[error("{0}")]
    Book(#[from] BookError),
    /// Nothing was changed.
    #[error("{0}")]
    Variables(#[from] VariablesError),
    /// It came after a change, or the change itself was not answered.
    #[error("{0}; variables may have changed")]
    Begun(VariablesError),
    #[error("{keys} {} shared with other environments, and would change there too", are(.keys))]
    Shared {
        keys: String,
        /// Whether custom environments are among them: those are never changed from here.
        is_custom: bool,
    },
    #[error("{} of {of} variables could not be set: {}", unset.len(), listed(.unset))]
    Unset { unset: Vec<Unset>, of: usize },
    #[error("read back, {keys} {} not what was set", are(.keys))]
    Differs { keys: String },
}

impl SyncError {
    /// Whether some of it was done, or may have been.
    fn is_begun(&self) -> bool {
        match self {
            Self::Begun(_) | Self::Differs { .. } => true,
            Self::Unset { unset, of } => unset.len() < *of,
            Self::Book(_) | Self::Variables(_) | Self::Shared { .. } => false,
        }
    }
}

/// Why the first change was not made; one without an answer may have been.
fn first(error: VariablesError) -> SyncError {
    match error {
        VariablesError::Unavailable(_) => SyncError::Begun(error),
        error => SyncError::Variables(error),
    }
}

fn are(keys: &str) -> &'static str {
    if keys.contains(", ") { "are" } else { "is" }
}

fn listed(unset: &[Unset]) -> String {
    let texts: Vec<String> = unset.iter().map(|one| format!("{}: {}", one.key, one.why)).collect();
    texts.join("; ")
}

impl EnvSync<'_> {
    /// What would be done. Changes nothing.
    pub(crate) async fn plan(&self) -> Result<(Vec<Change>, Vec<Hosted>), SyncError> {
        let hosted = self.variables.list(&self.target).await?;
        Ok((planned(&self.file, &hosted, (self.prunes, self.shares)), hosted))
    }

    pub(crate) async fn run(&self) -> Result<Synced, SyncError> {
        self.settle().await?;
        let (changes, hosted) = self.plan().await?;
        let shared = keys(&changes, |kind| kind == Kind::Shared);
        if !shared.is_empty() {
            let is_custom = |c: &Change| c.kind == Kind::Shared && !c.custom.is_empty();
            let is_custom = changes.iter().any(is_custom);
            return Err(SyncError::Shared { keys: shared, is_custom });
        }
        for change in changes.iter().filter(|change| change.kind.changes()) {
            (self.tell)(&format!("{}: {}", change.key, change.kind.as_str().replace('_', " ")));
        }
        if !changes.iter().any(|change| change.kind.changes()) {
            let ledger = self.book.share().await;
            return Ok(Synced { changes, verified: true, ledger });
        }
        let step = self.book.id("st");
        let body = Body::StepIntended {
            step: step.clone(),
            name: STEP.to_owned(),
            detail: self.detail(&changes),
        };
        self.book.decide(Note::of(&self.environment, body)).await?;
        hit(CrashPoint::StepAfterIntent);
        let done = self.done(&changes, &hosted).await;
        hit(CrashPoint::StepAfterApply);
        let (outcome, detail) = match &done {
            Ok(()) => (Outcome::Done, "set and read back".to_owned()),
            Err(error) if error.is_begun() => (Outcome::Unknown, error.to_string()),
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        let ended = Body::StepEnded { step, outcome, detail };
        let kept = self.book.keep(Note::of(&self.environment, ended)).await;
        let shared = self.book.share().await;
        // What was done is the result; what the ledger did not take is told beside it.
        if let Err(error) = &kept {
            (self.tell)(&format!("ledger: {error}"));
        }
        done?;
        let ledger = kept.err().map_or(shared, |error| Sync::of(&error));
        Ok(Synced { changes, verified: true, ledger })
    }

    /// An earlier run that died: this one does it again, and its step is closed.
    async fn settle(&self) -> Result<(), SyncError> {
        let state = self.book.synced().await?;
        let left = state.dangling.iter().filter(|(_, left)| {
            matches!(&left.intent, Body::StepIntended { name, .. } if name == STEP)
                && left.environment.as_ref() == Some(&self.environment)
        });
        for (step, _) in left {
            let detail = "its process died; the variables were compared again".to_owned();
            let (step, outcome) = (step.clone(), Outcome::Unknown);
            let ended = Body::StepEnded { step, outcome, detail };
            self.book.keep(Note::of(&self.environment, ended)).await?;
        }
        Ok(())
    }

    /// Names and never values.
    fn detail(&self, changes: &[Change]) -> BTreeMap<String, String> {
        let of = |wanted: Kind| keys(changes, |kind| kind == wanted);
        [
            ("target", self.target.clone()),
            ("added", of(Kind::Added)),
            ("changed", of(Kind::Changed)),
            ("set_again", of(Kind::SetAgain)),
            ("removed", of(Kind::Removed)),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(name, names)| (name.to_owned(), names))
        .collect()
    }

    async fn done(&self, changes: &[Change], hosted: &[Hosted]) -> Result<(), SyncError> {
        let known = |key: &str| hosted.iter().find(|variable| variable.key == key);
        let sets: Vec<Set> = changes
            .iter()
            .filter(|change| change.kind.changes() && change.kind != Kind::Removed)
            .filter_map(|change| {
                let wanted = self.file.iter().find(|variable| variable.key == change.key)?;
                let kind = known(&change.key).map_or(&self.new_kind, |known| &known.kind);
                let targets = std::iter::once(&self.target).chain(&change.also).cloned().collect();
                let (key, value) = (change.key.clone(), wanted.value.clone());
                Some(Set { key, value, kind: kind.clone(), targets })
            })
            .collect();
        let removed: Vec<String> = changes
            .iter()
            .filter(|change| change.kind == Kind::Removed)
            .filter_map(|change| known(&change.key).map(|known| known.id.clone()))
            .collect();
        if !sets.is_empty() {
            let unset = self.variables.set(&sets).await.map_err(first)?;
            if !unset.is_empty() {
                return Err(SyncError::Unset { unset, of: sets.len() });
            }
        }
        if !removed.is_empty() {
            let gone = self.variables.remove(&removed).await;
            gone.map_err(if sets.is_empty() { first } else { SyncError::Begun })?;
        }
        let after = self.variables.list(&self.target).await.map_err(SyncError::Begun)?;
        self.read_back(changes, &after)
    }

    /// What can be read must be what was set; what cannot must at least be there.
    fn read_back(&self, changes: &[Change], after: &[Hosted]) -> Result<(), SyncError> {
        let after = planned(&self.file, after, (self.prunes, self.shares));
        let touched: BTreeSet<&str> =
            changes.iter().filter(|c| c.kind.changes()).map(|c| c.key.as_str()).collect();
        let wrong = |change: &&Change| {
            let is_right = matches!(change.kind, Kind::Unchanged | Kind::SetAgain);
            touched.contains(change.key.as_str()) && !is_right
        };
        let wrong: Vec<&str> = after.iter().filter(wrong).map(|c| c.key.as_str()).collect();
        if wrong.is_empty() { Ok(()) } else { Err(SyncError::Differs { keys: wrong.join(", ") }) }
    }
}

fn keys(changes: &[Change], wanted: impl Fn(Kind) -> bool) -> String {
    let keys: Vec<&str> =
        changes.iter().filter(|c| wanted(c.kind)).map(|c| c.key.as_str()).collect();
    keys.join(", ")
}
