//! What a rollback means while no canary has users: the base, or a canary that was just taken back.
//! Pure.
//!
//! | the platform's last word | a rollback |
//! |---|---|
//! | a canary is staged, and nobody went back | stays: a rollout is under way, and back is its base |
//! | a rollback | stays: run twice it is run once, and never walks one release further |
//! | the canary was taken back less than [`LATELY`] ago | stays: of two people, one aborts and one rolls back |
//! | its grant ended less than [`UNNOTICED`] ago | stays: nobody decided that, so whoever was called may not know |
//! | either, longer ago | takes the base back: nothing else is left that could fail |
//! | somebody went back, and nobody knows from what | stays |
//!
//! To stay is the safe side of every doubt: nobody meets another version by it, and the one command
//! that goes on is printed. Whoever names a target, or knows that it is the base that fails, is not
//! asked to mean anything.

use crate::base::clock::Timestamp;
use crate::base::units::{Micros, Weight};
use crate::ledger::entry::{RolloutEnd, RolloutStarted};
use crate::ledger::environment::{Base, EnvironmentState, Rollout};
use crate::rollout::ports::{Lowering, PlatformState};

/// How long after an abort a rollback may still mean the canary that it took back: as long as
/// somebody needs who saw the same failures and types.
const LATELY: Micros = Micros::from_secs(60);
/// The same where a grant ended by itself.
const UNNOTICED: Micros = Micros::from_secs(600);

/// What is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meant {
    /// A canary that has users.
    Canary,
    /// Perhaps one that has none any more: users stay on the base, and why.
    Stay(String),
    /// The base itself, and what was taken back before, where something was.
    Base(Option<String>),
}

impl Meant {
    /// As the platform shows it.
    pub(super) fn of(seen: &PlatformState, platform: &str) -> Self {
        if seen.canary.is_some() && seen.weight != Weight::ZERO {
            return Self::Canary;
        }
        let who = seen.lowered_by.as_deref().unwrap_or("somebody");
        let Some(lowered) = seen.lowered else {
            return match (&seen.canary, seen.went_back) {
                (_, true) => Self::Stay(format!(
                    "{who} went back since the last canary was staged, and {platform} does not \
                     tell whether from a canary or from a release"
                )),
                (Some(staged), false) => {
                    Self::Stay(format!("{} is staged as the canary", staged.deployment))
                }
                (None, false) => Self::Base(None),
            };
        };
        let past = ago(lowered.ago);
        match lowered.how {
            Lowering::RolledBack => {
                Self::Stay(format!("{who} rolled back {past}, and a second rollback stays"))
            }
            Lowering::Withdrawn if lowered.ago < LATELY => Self::Stay(format!(
                "{who} took the canary back {past}, and that canary may be what is meant"
            )),
            Lowering::GrantEnded if lowered.ago < UNNOTICED => Self::Stay(format!(
                "the canary's grant ended {past}, and that canary may be what is meant"
            )),
            Lowering::Withdrawn => {
                Self::Base(Some(format!("{who} took the canary back {past}, so the base is meant")))
            }
            Lowering::GrantEnded => Self::Base(Some(format!(
                "the canary's grant ended {past} and took it back, so the base is meant"
            ))),
        }
    }
}

/// Why a rollback may mean a canary of this base that the ledger saw taken back a moment ago.
pub(super) fn lately(known: &EnvironmentState, base: &Base, now: Timestamp) -> Option<String> {
    let ended = withdrawn(known, base)?;
    let past = u64::try_from(now.since_us(ended.by.at)).unwrap_or(0);
    (past < LATELY.0).then(|| {
        format!(
            "{} took the canary {} back {}, and that canary may be what is meant",
            ended.by.name,
            ended.rollout.started.release,
            ago(Micros(past))
        )
    })
}

/// The last canary of this base, where it was taken back without a verdict.
pub(super) fn withdrawn<'a>(
    known: &'a EnvironmentState,
    base: &Base,
) -> Option<&'a crate::ledger::environment::EndedRollout> {
    let last = known.ended.last()?;
    let is_of_base = last.rollout.started.base == base.deployment;
    let without_verdict = match last.end {
        RolloutEnd::Aborted | RolloutEnd::Withdrawn | RolloutEnd::GrantEnded => true,
        RolloutEnd::RolledBack | RolloutEnd::Complete => false,
    };
    (is_of_base && without_verdict).then_some(last)
}

/// What the ledger says of the rollback after which users stay on `base`.
pub(super) fn already(known: &EnvironmentState, base: &Base) -> String {
    let of_canary = known.ended.last().filter(|last| {
        last.end == RolloutEnd::RolledBack && last.rollout.started.base == base.deployment
    });
    let what = match of_canary {
        Some(ended) => format!(
            "the canary {} was rolled back at {}",
            ended.rollout.started.release,
            ended.by.at.rfc3339()
        ),
        None => "users went back to it already".to_owned(),
    };
    format!("{what}, and a second rollback stays")
}

/// What becomes of a canary that is staged beside the base that users leave.
pub(super) fn beside(canary: &RolloutStarted) -> String {
    format!(
        "{} itself is left; the canary {} beside it is taken back with it, and is not condemned",
        canary.base, canary.release
    )
}

/// The same where an older release was named: who has users is left, and condemned.
pub(super) fn past(canary: &Rollout) -> String {
    let Rollout { started, .. } = canary;
    if !canary.is_raised() {
        return beside(started);
    }
    format!(
        "{} itself is left, and with it the canary {}: both are condemned",
        started.base, started.release
    )
}

fn ago(past: Micros) -> String {
    match past.0 / 1_000_000 {
        secs @ 0..120 => format!("{secs} s ago"),
        secs @ 120..7_200 => format!("{} min ago", secs / 60),
        secs => format!("{} h ago", secs / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::fixture::deployment;
    use crate::rollout::ports::{Known, Lowered};
    use crate::verbs::stand_in::Scripted;

    /// What took users back, how many seconds ago, and what a rollback means then.
    #[test]
    fn what_was_taken_back_last_decides_what_is_meant() {
        use Lowering::{GrantEnded, RolledBack, Withdrawn};
        for (lowered, stays, said) in [
            (Some((RolledBack, 1)), true, "ana rolled back 1 s ago, and a second rollback stays"),
            (Some((RolledBack, 86_400)), true, "24 h ago"),
            (Some((Withdrawn, 0)), true, "ana took the canary back 0 s ago, and that canary may"),
            (Some((Withdrawn, 59)), true, "59 s ago"),
            (Some((Withdrawn, 60)), false, "60 s ago, so the base is meant"),
            (Some((GrantEnded, 599)), true, "the canary's grant ended 9 min ago, and that canary"),
            (Some((GrantEnded, 600)), false, "10 min ago and took it back, so the base is meant"),
            (None, true, "it does not tell whether from a canary or from a release"),
        ] {
            let mut seen = Scripted::at("d2", Some("d1"), true).state.into_inner().unwrap();
            seen.lowered_by = Some("ana".to_owned());
            let of = |(how, secs)| Lowered { how, ago: Micros::from_secs(secs) };
            seen.lowered = lowered.map(of);
            let (found, text) = match Meant::of(&seen, "it") {
                Meant::Stay(text) => (true, text),
                Meant::Base(text) => (false, text.unwrap()),
                Meant::Canary => panic!("no canary has users"),
            };
            assert_eq!(found, stays, "{text}");
            assert!(text.contains(said), "{text}");
        }
    }

    #[test]
    fn a_canary_is_meant_while_it_has_users_and_its_base_while_it_is_staged() {
        let mut seen = Scripted::at("d2", Some("d1"), false).state.into_inner().unwrap();
        assert_eq!(Meant::of(&seen, "it"), Meant::Base(None));
        seen.canary = Some(Known { deployment: deployment("d3"), commit: None });
        let staged = "d3 is staged as the canary".to_owned();
        assert_eq!(Meant::of(&seen, "it"), Meant::Stay(staged));
        seen.weight = Weight::FULL;
        assert_eq!(Meant::of(&seen, "it"), Meant::Canary);
    }
}
