//! Questions that several verbs ask of the folded ledger, and the sentence that answers them.

use crate::base::ids::CommitId;
use crate::ledger::fold::State;
use crate::rollout::ports::PlatformError;
use crate::verbs::book::{BookError, Unsound};
use crate::verbs::ship::Fleet;

/// Why this commit may not ship here any more: it was rolled back here, under this name of the
/// environment or under another.
pub(crate) async fn condemned(
    state: &State,
    fleet: &Fleet,
    commit: &CommitId,
) -> Result<Option<String>, PlatformError> {
    let here = &fleet.ship.environment;
    let (own, found);
    if let Some(condemned) = state.condemned_on(here, None, commit) {
        (own, found) = (None, Some(condemned));
    } else if state.is_condemned_anywhere(commit) {
        own = fleet.platform.own_name().await?;
        found = state.condemned_on(here, own.as_deref(), commit);
    } else {
        return Ok(None);
    }
    let Some((there, condemned)) = found else { return Ok(None) };
    let there = match &own {
        Some(own) => format!("{there} (it and {here} are both {own})"),
        None => there.to_string(),
    };
    Ok(Some(format!(
        "commit {} was rolled back in {there} by {}: {}; only another commit ships",
        commit.short(),
        condemned.by,
        condemned.reason
    )))
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
