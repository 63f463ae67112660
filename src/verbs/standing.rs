//! Questions that several verbs ask of the folded ledger, and the sentence that answers them.

use std::collections::BTreeSet;

use crate::base::ids::{CommitId, Environment};
use crate::ledger::fold::State;
use crate::verbs::book::{BookError, Unsound};

/// Why this commit may not ship here any more.
pub(crate) fn condemned(
    state: &State,
    environment: &Environment,
    commit: &CommitId,
) -> Option<String> {
    let condemned = state.environment(environment)?.condemned.get(commit)?;
    Some(format!(
        "commit {} was rolled back in {environment} by {}: {}; only another commit ships",
        commit.short(),
        condemned.by,
        condemned.reason
    ))
}

/// An entry of a newer orca may say anything: nothing is raised on what is not understood.
pub(crate) fn understood(state: &State) -> Result<(), BookError> {
    match state.unknown_entries.first() {
        None => Ok(()),
        Some(unknown) => Err(BookError::Unsound(Unsound::Newer(format!(
            "entry {} of kind {} was written by a newer orca",
            unknown.id, unknown.kind
        )))),
    }
}

/// Gates that applied to the release promoted last.
pub(crate) fn applied_before(state: &State, environment: &Environment) -> BTreeSet<String> {
    state.environment(environment).map(|e| e.applied_gates.clone()).unwrap_or_default()
}
