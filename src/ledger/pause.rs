//! A pause of a rollout, and until when it holds. Pure; part of the fold.
//!
//! While a pause is in force nothing is raised. One that ends by itself either lets the rollout go
//! on, or asks for its withdrawal: then it stays in force, so that no late reader raises after it.

use super::entry::{AfterPause, Paused};
use super::fold::Author;
use crate::base::clock::Timestamp;

/// The last pause of a rollout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pause {
    pub(crate) until: Timestamp,
    pub(crate) then: AfterPause,
    pub(crate) reason: String,
    pub(crate) by: Author,
    lifted: Option<Timestamp>,
}

impl Pause {
    pub(super) fn new(said: &Paused, by: &Author) -> Self {
        let (until, then, reason) = (said.until, said.then, said.reason.clone());
        Self { until, then, reason, by: by.clone(), lifted: None }
    }

    pub(super) fn lift(&mut self, at: Timestamp) {
        self.lifted.get_or_insert(at);
    }

    pub(crate) fn is_in_force(&self, now: Timestamp) -> bool {
        self.ended(now).is_none()
    }

    /// When it ended, so that the rollout could go on.
    pub(crate) fn ended(&self, now: Timestamp) -> Option<Timestamp> {
        let by_itself = self.then == AfterPause::Resume && now >= self.until;
        self.lifted.or(by_itself.then_some(self.until))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;

    #[test]
    fn a_pause_ends_as_it_was_asked_to() {
        let told = |then| {
            let (rollout, reason) = (id("ro_4"), "lunch".to_owned());
            let by = Author {
                entry: id("en_1"),
                name: "ana".into(),
                at: at(0),
                digest: Box::new(crate::base::digest::Digest::of(b"en_1")),
            };
            Pause::new(&Paused { rollout, until: at(10), then, reason }, &by)
        };
        for (then, lifted, now, ended) in [
            (AfterPause::Resume, None, 9, None),
            (AfterPause::Resume, None, 10, Some(10)),
            (AfterPause::Withdraw, None, 10, None),
            (AfterPause::Withdraw, None, 99, None),
            (AfterPause::Withdraw, Some(5), 6, Some(5)),
            (AfterPause::Resume, Some(5), 99, Some(5)),
        ] {
            let mut pause = told(then);
            if let Some(lifted) = lifted {
                pause.lift(at(lifted));
            }
            assert_eq!(pause.ended(at(now)), ended.map(at), "{then:?} {lifted:?} {now}");
            assert_eq!(pause.is_in_force(at(now)), ended.is_none());
        }
    }
}
