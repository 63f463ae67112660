//! What became of each test, as plain data, and what follows of it. Pure.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::annotation::Retry;
use crate::base::units::Micros;

/// A whole run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct SmokeSeen {
    pub(crate) tests: Vec<TestSeen>,
    pub(crate) took_us: u64,
    /// How many tests there were to run; more than were run when it was stopped.
    pub(crate) planned: usize,
}

/// One test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestSeen {
    pub(crate) file: String,
    /// Of the request line.
    pub(crate) line: u64,
    pub(crate) name: String,
    pub(crate) category: Option<String>,
    pub(crate) tags: Vec<String>,
    pub(crate) critical: bool,
    pub(crate) attempts: Vec<Attempt>,
    /// Why it was not sent at all.
    pub(crate) unsent: Option<String>,
}

/// One request and its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Attempt {
    /// Absent when no answer came.
    pub(crate) status: Option<u16>,
    /// Whether the target was there; not where the connection failed, or nothing came in time.
    pub(crate) connected: bool,
    pub(crate) took_us: u64,
    /// What is not as it should be; nothing when the attempt passed.
    pub(crate) wrong: Vec<String>,
}

/// How a test ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Passed,
    /// Passed after another attempt had failed.
    Flaky,
    Failed,
}

/// How many tests ended how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    pub(crate) passed: usize,
    pub(crate) flaky: usize,
    pub(crate) failed: usize,
}

impl Attempt {
    pub(crate) fn passed(&self) -> bool {
        self.wrong.is_empty()
    }

    /// In a few words: `HTTP 503`, or why there is no answer.
    pub(crate) fn said(&self) -> String {
        match (self.wrong.first(), self.wrong.len()) {
            (None, _) => "passed".to_owned(),
            (Some(first), 1) => first.clone(),
            (Some(first), more) => format!("{first} (and {} more)", more - 1),
        }
    }
}

/// Whether to try again, and after which wait.
pub(crate) fn again(retry: Retry, attempts: &[Attempt]) -> Option<Micros> {
    let failed = attempts.last().is_some_and(|attempt| !attempt.passed());
    let left = usize::try_from(retry.times).unwrap_or(usize::MAX) >= attempts.len();
    (failed && left).then_some(retry.wait)
}

impl TestSeen {
    pub(crate) fn outcome(&self) -> Outcome {
        match self.attempts.split_last() {
            Some((last, before)) if last.passed() && self.unsent.is_none() => {
                if before.is_empty() {
                    Outcome::Passed
                } else {
                    Outcome::Flaky
                }
            }
            _ => Outcome::Failed,
        }
    }

    /// What is wrong with it, or was before it passed.
    pub(crate) fn why(&self) -> Option<String> {
        let unsent = self.unsent.clone();
        let failed = || self.attempts.iter().rev().find(|attempt| !attempt.passed());
        unsent.or_else(|| failed().map(Attempt::said))
    }

    /// All attempts together.
    pub(crate) fn took(&self) -> Micros {
        Micros(self.attempts.iter().map(|attempt| attempt.took_us).sum())
    }
}

impl SmokeSeen {
    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for test in &self.tests {
            match test.outcome() {
                Outcome::Passed => tally.passed += 1,
                Outcome::Flaky => tally.flaky += 1,
                Outcome::Failed => tally.failed += 1,
            }
        }
        tally
    }

    /// Nothing was decided: not one request found somebody to talk to.
    pub(crate) fn is_unreachable(&self) -> bool {
        let mut attempts = self.tests.iter().flat_map(|test| &test.attempts).peekable();
        attempts.peek().is_some() && attempts.all(|attempt| !attempt.connected)
    }

    /// `8 of 9 passed, 1 failed, in 1.23 s`.
    pub(crate) fn summary(&self) -> String {
        let Tally { passed, flaky, failed } = self.tally();
        let mut text = format!("{} of {} passed", passed + flaky, self.tests.len());
        if failed > 0 {
            text.push_str(&format!(", {failed} failed"));
        }
        if flaky > 0 {
            text.push_str(&format!(", {flaky} flaky"));
        }
        if self.tests.len() < self.planned {
            text.push_str(&format!(", {} not run", self.planned - self.tests.len()));
        }
        format!("{text}, in {}", Micros(self.took_us))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::smoke) fn attempt(status: Option<u16>) -> Attempt {
        let wrong = match status {
            Some(200) => Vec::new(),
            Some(status) => vec![format!("status is {status}; asked: 2xx")],
            None => vec!["no connection".to_owned()],
        };
        Attempt { status, connected: status.is_some(), took_us: 1_000, wrong }
    }

    /// A test by the statuses of its attempts; 0 is no answer.
    pub(in crate::smoke) fn seen(name: &str, statuses: &[u16]) -> TestSeen {
        let status = |status: &u16| Some(*status).filter(|status| *status > 0);
        TestSeen {
            file: "synthetics/a.http".to_owned(),
            line: 3,
            name: name.to_owned(),
            category: None,
            tags: Vec::new(),
            critical: false,
            attempts: statuses.iter().map(|code| attempt(status(code))).collect(),
            unsent: None,
        }
    }

    pub(in crate::smoke) fn of(tests: Vec<TestSeen>) -> SmokeSeen {
        SmokeSeen { planned: tests.len(), tests, took_us: 1_230_000 }
    }

    #[test]
    fn a_test_passes_fails_or_is_flaky() {
        for (statuses, outcome) in [
            (vec![200], Outcome::Passed),
            (vec![500, 200], Outcome::Flaky),
            (vec![0, 500, 200], Outcome::Flaky),
            (vec![500], Outcome::Failed),
            (vec![500, 0], Outcome::Failed),
            (vec![], Outcome::Failed),
        ] {
            assert_eq!(seen("a", &statuses).outcome(), outcome, "{statuses:?}");
        }
        let mut unsent = seen("a", &[]);
        unsent.unsent = Some("{{token}} was not captured".to_owned());
        assert_eq!(unsent.why().as_deref(), Some("{{token}} was not captured"));
        assert_eq!(seen("a", &[500, 200]).why().as_deref(), Some("status is 500; asked: 2xx"));
    }

    #[test]
    fn tries_again_only_after_a_failure_and_only_so_often() {
        let retry = Retry { times: 2, wait: Micros::from_millis(5) };
        for (statuses, goes_on) in [
            (vec![], false),
            (vec![200], false),
            (vec![500], true),
            (vec![500, 0], true),
            (vec![500, 200], false),
            (vec![500, 500, 500], false),
        ] {
            let attempts = seen("a", &statuses).attempts;
            assert_eq!(again(retry, &attempts).is_some(), goes_on, "{statuses:?}");
            assert_eq!(again(Retry::default(), &attempts), None);
        }
    }

    #[test]
    fn the_summary_counts() {
        let mut run = of(vec![seen("a", &[200]), seen("b", &[500, 200]), seen("c", &[500])]);
        assert_eq!(run.summary(), "2 of 3 passed, 1 failed, 1 flaky, in 1.23 s");
        run.planned = 5;
        assert_eq!(run.summary(), "2 of 3 passed, 1 failed, 1 flaky, 2 not run, in 1.23 s");
        assert_eq!(of(vec![seen("a", &[200])]).summary(), "1 of 1 passed, in 1.23 s");
    }

    #[test]
    fn only_a_target_that_nobody_reached_is_unreachable() {
        for (statuses, expected) in
            [(vec![0, 0], true), (vec![0, 500], false), (vec![200], false), (vec![], false)]
        {
            let run = of(vec![seen("a", &statuses)]);
            assert_eq!(run.is_unreachable(), expected, "{statuses:?}");
        }
    }
}
