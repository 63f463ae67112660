//! Tells whoever looks at a deployment on its platform what orca decided about it.

use std::time::Duration;

use super::ship::Fleet;
use crate::base::ids::DeploymentId;
use crate::ledger::entry::RolloutEnd;
use crate::rollout::board::{Decided, Notice};

/// How long anybody waits for it: what is told is decided already.
const WITHIN: Duration = Duration::from_secs(5);

/// Shows it where the platform has a place for it. A failure is said, and changes nothing.
pub(crate) async fn show(fleet: &Fleet, deployment: &DeploymentId, notice: Notice) {
    let Some(board) = fleet.platform.board() else { return };
    let shown = tokio::time::timeout(WITHIN, board.show(deployment, &notice)).await;
    let why = match shown {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it takes too long".to_owned(),
    };
    fleet.ship.say(format!("not shown beside {deployment}: {why}"));
}

/// What the end of a canary says of the deployment.
pub(crate) fn of_end(end: RolloutEnd, reason: &str) -> Notice {
    let decided = match end {
        RolloutEnd::Complete => Decided::Good,
        RolloutEnd::RolledBack => Decided::Bad,
        RolloutEnd::Withdrawn | RolloutEnd::GrantEnded => Decided::Undecided,
        RolloutEnd::Aborted => Decided::Cancelled,
    };
    Notice { decided, text: reason.to_owned() }
}
