//! The traffic of the last minute: snapshots of it, kept while a stage is watched.

use std::collections::VecDeque;

use super::ports::Samples;
use super::triggers::RECENT;
use crate::base::units::Micros;

/// How far apart snapshots are kept at least.
const EVERY: Micros = Micros(RECENT.0 / 6);

/// Snapshots, oldest first; the first is the newest of those that are a minute old, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Recent(VecDeque<Samples>);

impl Recent {
    /// Forgets everything: another stage begins.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Counters that went backwards began anew: what was counted before says nothing of now.
    pub(crate) fn note(&mut self, now: &Samples) {
        if self.0.back().is_some_and(|last| began_anew(last, now)) {
            self.0.clear();
        }
        let is_due = |last: &Samples| now.at.since_us(last.at) >= EVERY.as_i64();
        if self.0.back().is_none_or(is_due) {
            self.0.push_back(now.clone());
        }
        let is_old = |kept: &Samples| now.at.since_us(kept.at) >= RECENT.as_i64();
        while self.0.get(1).is_some_and(is_old) {
            self.0.pop_front();
        }
    }

    /// What was counted a minute ago; what is known since then where that is less.
    pub(crate) fn began(&self) -> Option<&Samples> {
        self.0.front()
    }
}

fn began_anew(last: &Samples, now: &Samples) -> bool {
    let arms = [(&last.base, &now.base), (&last.canary, &now.canary)];
    arms.iter().any(|(last, now)| now.users.requests < last.users.requests)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Timestamp;
    use crate::rollout::ports::ArmSamples;

    fn at(secs: i64) -> Samples {
        let arm = ArmSamples::default;
        Samples { at: Timestamp::from_us(secs * 1_000_000), base: arm(), canary: arm() }
    }

    #[test]
    fn a_minute_is_kept_and_no_more() {
        let mut recent = Recent::default();
        assert!(recent.began().is_none());
        for secs in 0..=300 {
            recent.note(&at(secs));
            let began = recent.began().unwrap().at.since_us(Timestamp::from_us(0)) / 1_000_000;
            assert!((60..70).contains(&(secs - began)) || began == 0, "{secs}: {began}");
        }
        assert!(recent.0.len() <= 8, "{}", recent.0.len());
        recent.clear();
        assert!(recent.began().is_none());
    }

    /// A router that starts again counts from zero: the minute is a new one.
    #[test]
    fn counters_that_begin_anew_begin_the_minute_anew() {
        let counted = |secs: i64, requests: u64| {
            let mut samples = at(secs);
            samples.base.users.requests = requests;
            samples
        };
        let mut recent = Recent::default();
        for (secs, requests, began) in
            [(0, 100, 0), (30, 200, 0), (60, 200, 0), (62, 5, 62), (70, 90, 62), (132, 200, 62)]
        {
            recent.note(&counted(secs, requests));
            let first = recent.began().unwrap().at;
            assert_eq!(first, counted(began, 0).at, "{secs}");
        }
    }
}
