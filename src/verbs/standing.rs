//! Questions that several verbs ask of the folded ledger, and the sentence that answers them.

use std::collections::BTreeSet;

use crate::base::ids::{CommitId, Environment};
use crate::ledger::fold::State;

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

/// Gates that applied to the release promoted last.
pub(crate) fn applied_before(state: &State, environment: &Environment) -> BTreeSet<String> {
    state.environment(environment).map(|e| e.applied_gates.clone()).unwrap_or_default()
}
