//! `--force`: somebody tolerates one finding of one check, up to a worst value, until a time. It is
//! a decision of the ledger and no bypass: the gates run and judge as ever, and say who waived what.

use super::book::BookError;
use super::ship::Ship;
use crate::base::clock::Timestamp;
use crate::base::ids::{CheckId, CommitId};
use crate::gate::verdict::{Finding, Unit};
use crate::gate::waiver::{Only, Role, Waiver, WaiverError};
use crate::ledger::entry::Body;
use crate::ledger::fold::State;

/// What somebody asks to tolerate.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) check: CheckId,
    /// The finding's fingerprint.
    pub(crate) finding: String,
    /// As it was written: a value in the finding's unit, or a bare integer.
    pub(crate) worst: String,
    pub(crate) until: Timestamp,
    pub(crate) reason: String,
    pub(crate) by: String,
    pub(crate) role: Role,
    pub(crate) reach: Reach,
}

/// What a waiver is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Every commit that has the finding.
    Everything,
    /// The commit that it was asked about, in this environment.
    ThisCommit,
}

/// Why nothing was waived.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaiveError {
    #[error("{0}")]
    Book(#[from] BookError),
    #[error("{0}")]
    Waiver(#[from] WaiverError),
    #[error("'{text}' is not {}", what(*.unit))]
    Worst { text: String, unit: Option<Unit> },
}

fn what(unit: Option<Unit>) -> &'static str {
    match unit {
        Some(Unit::Microseconds) => "a time; write 900ms, or microseconds as an integer",
        Some(Unit::Ppm | Unit::BasisPoints) => "a ratio; write 2%",
        Some(Unit::MilliPerSecond) => "a rate; write 80/s",
        Some(Unit::Count) => "a count; write an integer",
        None => {
            "an integer, and no ruling about this commit has that finding to take a unit from; \
             run the gate first, or write the integer that its JSON shows"
        }
    }
}

/// Writes the waiver into the ledger and shares it.
pub(crate) async fn waive(
    ship: &Ship,
    commit: &CommitId,
    asked: Asked,
) -> Result<Waiver, WaiveError> {
    let state = ship.book.state().await?;
    let known = findings(&state, ship, commit, &asked.check);
    let found = known.iter().find(|finding| finding.fingerprint == asked.finding);
    let mut waiver = Waiver {
        id: ship.book.id("wa"),
        check: asked.check,
        finding: asked.finding,
        worst: 0,
        until: asked.until,
        reason: asked.reason,
        by: asked.by,
        role: asked.role,
        only: match asked.reach {
            Reach::Everything => None,
            Reach::ThisCommit => {
                let (commit, environment) = (commit.clone(), ship.environment.clone());
                Some(Only { commit, environment })
            }
        },
    };
    waiver.validate(ship.now())?;
    let unit = found.map(|finding| finding.unit);
    waiver.worst = match unit {
        Some(unit) => unit.read(&asked.worst),
        None => asked.worst.parse().ok(),
    }
    .ok_or(WaiveError::Worst { text: asked.worst, unit })?;
    if found.is_none() && !known.is_empty() {
        let names: Vec<&str> = known.iter().map(|f| f.fingerprint.as_str()).collect();
        ship.say(format!(
            "warning: {} has no finding {} about commit {}; it has: {}",
            waiver.check,
            waiver.finding,
            commit.short(),
            names.join(", ")
        ));
    }
    let entry = ship.book.decide(ship.note(Body::Waived { waiver: waiver.clone() })).await?;
    // What the ledger keeps is redacted: that is what people read from here on.
    match entry.body {
        Body::Waived { waiver } => Ok(waiver),
        _ => Ok(waiver),
    }
}

/// What the newest rulings about `commit` found by `check`.
fn findings<'a>(
    state: &'a State,
    ship: &Ship,
    commit: &CommitId,
    check: &CheckId,
) -> Vec<&'a Finding> {
    state
        .rulings_of(commit, &ship.environment)
        .flat_map(|kept| &kept.record.checks)
        .filter(|record| record.check == *check)
        .flat_map(|record| &record.judgement.findings)
        .collect()
}
