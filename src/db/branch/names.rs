//! Which branches are orca's, and which of those were left behind. Only these are ever deleted. Pure.

use std::time::Duration;

use super::ports::Branch;
use crate::base::clock::{Entropy, Timestamp};
use crate::base::limits;

const PREFIX: &str = "orca-shadow-";
const DIGITS: usize = 12;

/// A name that no other run has.
pub(crate) fn new_name(entropy: &Entropy) -> String {
    format!("{PREFIX}{:012x}", entropy.next_u64() >> 16)
}

/// Whether an orca made this branch of `project`: by its name, and by what no orca makes.
pub(crate) fn is_ours(branch: &Branch, project: &str) -> bool {
    let digits = branch.name.strip_prefix(PREFIX).unwrap_or_default();
    let hexadecimal = digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    digits.len() == DIGITS
        && hexadecimal
        && branch.parent == project
        && branch.reference != project
        && is_reference(&branch.reference)
        && !branch.is_default
        && !branch.persistent
}

/// 20 lower-case letters: nothing else may become part of an address.
fn is_reference(text: &str) -> bool {
    text.len() == 20 && text.bytes().all(|b| b.is_ascii_lowercase())
}

/// What is done about a branch that is there before a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Not orca's, or it cannot be said how old it is.
    Foreign,
    /// Another run may be using it.
    Young(Duration),
    /// No run takes so long.
    Stale(Duration),
}

pub(crate) fn found(branch: &Branch, project: &str, now: Timestamp) -> Found {
    let made = Timestamp::parse_rfc3339(&branch.made_at).ok();
    let age = made.and_then(|made| u64::try_from(now.since_us(made)).ok());
    match age.map(Duration::from_micros).filter(|_| is_ours(branch, project)) {
        None => Found::Foreign,
        Some(age) if age > limits::BRANCH_STALE => Found::Stale(age),
        Some(age) => Found::Young(age),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: &str = "abcdefghijklmnopqrst";

    fn branch(change: impl FnOnce(&mut Branch)) -> Branch {
        let mut branch = Branch {
            name: "orca-shadow-00a1b2c3d4e5".to_owned(),
            reference: "bbbbbbbbbbbbbbbbbbbb".to_owned(),
            parent: PROJECT.to_owned(),
            is_default: false,
            persistent: false,
            made_at: "2026-01-05T06:00:00Z".to_owned(),
        };
        change(&mut branch);
        branch
    }

    #[test]
    fn only_what_an_orca_made_is_ours() {
        assert!(is_ours(&branch(|_| {}), PROJECT));
        let made = new_name(&Entropy::seeded(7));
        assert!(is_ours(&branch(|b| b.name = made), PROJECT));
        let others: [fn(&mut Branch); 9] = [
            |b| b.name = "orca-shadow-mine".into(),
            |b| b.name = "orca-shadow-00a1b2c3d4e5f".into(),
            |b| b.name = "orca-shadow-00A1B2C3D4E5".into(),
            |b| b.name = "my-orca-shadow-00a1b2c3d4e5".into(),
            |b| b.parent = "zzzzzzzzzzzzzzzzzzzz".into(),
            |b| b.reference = PROJECT.into(),
            |b| b.reference = "../projects/abcdefgh".into(),
            |b| b.is_default = true,
            |b| b.persistent = true,
        ];
        for (number, change) in others.into_iter().enumerate() {
            let branch = branch(change);
            assert!(!is_ours(&branch, PROJECT), "{number}: {branch:?}");
            assert_eq!(found(&branch, PROJECT, Timestamp::from_us(i64::MAX)), Found::Foreign);
        }
    }

    #[test]
    fn what_is_old_was_left_behind() {
        let stale = Timestamp::parse_rfc3339("2026-01-05T06:00:00Z").unwrap();
        let stale = stale.plus(limits::BRANCH_STALE);
        let at = |by: i64| found(&branch(|_| {}), PROJECT, stale.plus_us(by));
        assert_eq!(at(0), Found::Young(limits::BRANCH_STALE));
        assert_eq!(at(1), Found::Stale(limits::BRANCH_STALE + Duration::from_micros(1)));
        let undated = branch(|b| b.made_at = "yesterday".to_owned());
        assert_eq!(found(&undated, PROJECT, stale.plus_us(1)), Found::Foreign);
        let ahead = branch(|b| b.made_at = "2027-01-05T06:00:00Z".to_owned());
        assert_eq!(found(&ahead, PROJECT, stale), Found::Foreign, "from the future");
    }
}
