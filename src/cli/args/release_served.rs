//! What served an environment, newest first: for whoever must name a place to go back to.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::render::table::table;
use crate::ledger::environment::{Base, EnvironmentState};

/// As many as a person picks from.
const SERVED_MAX: usize = 10;

/// A version that serves, or served, everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct ServedBefore {
    /// What `orca rollback --to` takes.
    pub(super) deployment: String,
    release: Option<String>,
    commit: Option<String>,
    /// When it last became the base.
    since: String,
    /// Its watch window ended without a trigger.
    stable: bool,
    /// Why it was rolled back here, where it was.
    condemned: Option<String>,
}

/// Each deployment once, as it served last; the first one serves.
pub(super) fn served(known: &EnvironmentState) -> Vec<ServedBefore> {
    let mut seen: Vec<&Base> = Vec::new();
    for base in known.served() {
        if !seen.iter().any(|other| other.deployment == base.deployment) {
            seen.push(base);
        }
    }
    let of = |base: &Base| {
        let commit = base.commit.as_ref();
        let is_stable = |release| known.stable.contains_key(release);
        let of_commit = known.stable.values().any(|(stable, _)| Some(stable) == commit);
        ServedBefore {
            deployment: base.deployment.to_string(),
            release: base.release.as_ref().map(ToString::to_string),
            commit: commit.map(ToString::to_string),
            since: base.by.at.rfc3339(),
            stable: of_commit || base.release.as_ref().is_some_and(is_stable),
            condemned: commit.and_then(|c| known.condemned.get(c)).map(|why| why.reason.clone()),
        }
    };
    seen.into_iter().take(SERVED_MAX).map(of).collect()
}

/// The same for people; nothing where nothing but the present one served.
pub(super) fn human(served: &[ServedBefore], columns: usize) -> String {
    if served.len() < 2 {
        return String::new();
    }
    let row = |one: &ServedBefore| {
        let standing = match (&one.condemned, one.stable) {
            (Some(why), _) => format!("rolled back: {why}"),
            (None, true) => "stable".to_owned(),
            (None, false) => "not watched to its end".to_owned(),
        };
        vec![
            one.deployment.clone(),
            one.release.clone().unwrap_or_else(|| "-".to_owned()),
            one.commit.as_deref().map_or_else(|| "-".to_owned(), |c| c.chars().take(9).collect()),
            one.since.clone(),
            standing,
        ]
    };
    let rows: Vec<_> = served.iter().map(row).collect();
    let heads = ["served", "release", "commit", "since", "standing"];
    format!("\n{}", table(&heads, &rows, columns))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::entry::TrafficProof;
    use crate::ledger::fixture::{Told, environment, promoted, rolled_back, stable};

    fn known(told: &Told) -> EnvironmentState {
        told.state().environments[&environment("production")].clone()
    }

    #[test]
    fn what_served_is_listed_once_with_its_standing() {
        let mut told = Told::new();
        told.live(promoted("v1.1.0", '1', "d0"));
        told.live(stable("v1.1.0", '1'));
        told.live(promoted("v1.2.0", '2', "d1"));
        told.live(rolled_back('2', "d1", TrafficProof::Verified));
        let list = served(&known(&told));
        let names: Vec<_> = list.iter().map(|one| one.deployment.as_str()).collect();
        assert_eq!(names, ["d1", "d2", "d0"], "the first one serves, and each stands once");
        assert_eq!((list[0].stable, &list[0].condemned), (true, &None));
        assert_eq!(
            (list[1].stable, list[1].condemned.as_deref()),
            (false, Some("checkout is down"))
        );
        assert_eq!((list[2].release.as_deref(), list[2].commit.as_deref()), (None, None));
        let text = human(&list, 100);
        for part in ["d1      v1.1.0   111111111", "stable", "rolled back: checkout"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(human(&list[..1], 100), "", "the base is shown anyway");
    }

    #[test]
    fn ten_are_enough() {
        let mut told = Told::new();
        for (number, digit) in "123456789abc".chars().enumerate() {
            let before = if number == 0 { "d0".to_owned() } else { format!("d{number:x}") };
            told.live(promoted(&format!("v1.{number}.0"), digit, &before));
        }
        let list = served(&known(&told));
        assert_eq!((list.len(), list[0].deployment.as_str()), (SERVED_MAX, "dc"));
    }
}
