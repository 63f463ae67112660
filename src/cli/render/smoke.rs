//! Smoke tests for people, for machines, and as JUnit test cases.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::report::{Annotation, Level, Report};
use crate::evidence::chart::escape;
use crate::gate::verdict::{Judgement, Verdict};
use crate::smoke::outcome::{Attempt, Outcome, SmokeSeen, TestSeen};

const SCHEMA: &str = "orca.smoke/v1";

/// What became of the smoke tests.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SmokeDocument {
    verdict: Verdict,
    /// Such as `8 of 9 passed, 1 failed, in 1.23 s`.
    summary: String,
    target: Option<String>,
    passed: usize,
    /// Passed after another attempt had failed.
    flaky: usize,
    failed: usize,
    took_us: u64,
    tests: Vec<TestDocument>,
}

/// One test.
#[derive(Debug, Serialize, JsonSchema)]
struct TestDocument {
    file: String,
    line: u64,
    name: String,
    category: Option<String>,
    tags: Vec<String>,
    critical: bool,
    outcome: Outcome,
    took_us: u64,
    attempts: Vec<Attempt>,
    /// Why it was not sent at all.
    unsent: Option<String>,
}

impl From<&TestSeen> for TestDocument {
    fn from(test: &TestSeen) -> Self {
        Self {
            file: test.file.clone(),
            line: test.line,
            name: test.name.clone(),
            category: test.category.clone(),
            tags: test.tags.clone(),
            critical: test.critical,
            outcome: test.outcome(),
            took_us: test.took().0,
            attempts: test.attempts.clone(),
            unsent: test.unsent.clone(),
        }
    }
}

/// One line: how it ended, how long it took, and what became of every attempt.
pub(crate) fn line(test: &TestSeen) -> String {
    let word = match test.outcome() {
        Outcome::Passed => "ok   ",
        Outcome::Flaky => "flaky",
        Outcome::Failed => "FAIL ",
    };
    let critical = if test.critical { " (critical)" } else { "" };
    let mut text = format!("{word} {}{critical}, {}", test.name, test.took());
    match (&test.unsent, test.attempts.as_slice()) {
        (Some(why), _) => text.push_str(&format!(": {why}")),
        (None, [only]) if only.passed() => {}
        (None, [only]) => text.push_str(&format!(": {}", only.said())),
        (None, attempts) => {
            let said =
                attempts.iter().zip(1..).map(|(a, number)| format!("{number}. {}", a.said()));
            text.push_str(&format!(": {}", said.collect::<Vec<_>>().join("; ")));
        }
    }
    text
}

/// The summary, and whatever is wrong with its place.
fn human(seen: &SmokeSeen) -> String {
    let mut text = format!("{}\n", seen.summary());
    for (outcome, title) in [(Outcome::Failed, "failed"), (Outcome::Flaky, "flaky")] {
        for test in seen.tests.iter().filter(|test| test.outcome() == outcome) {
            text.push_str(&format!("\n{title}: {} ({}:{})\n", test.name, test.file, test.line));
            let of_last = test.attempts.iter().rev().find(|attempt| !attempt.passed());
            let wrong = of_last.map(|attempt| attempt.wrong.as_slice()).unwrap_or_default();
            for why in test.unsent.iter().chain(wrong) {
                text.push_str(&format!("  {why}\n"));
            }
        }
    }
    text
}

pub(crate) fn report(seen: &SmokeSeen, judgement: &Judgement, target: Option<&str>) -> Report {
    let tally = seen.tally();
    let document = SmokeDocument {
        verdict: judgement.verdict,
        summary: seen.summary(),
        target: target.map(str::to_owned),
        passed: tally.passed,
        flaky: tally.flaky,
        failed: tally.failed,
        took_us: seen.took_us,
        tests: seen.tests.iter().map(TestDocument::from).collect(),
    };
    let exit = Exit::from(judgement.verdict);
    let mut report = Report::new(exit, SCHEMA, &document, human(seen))
        .output("verdict", judgement.verdict.as_str())
        .output("summary", seen.summary());
    report.annotations = seen.tests.iter().filter_map(annotation).collect();
    if exit == Exit::Done { report } else { report.next("orca explain ORCA-2054") }
}

fn annotation(test: &TestSeen) -> Option<Annotation> {
    let level = match test.outcome() {
        Outcome::Passed => return None,
        Outcome::Flaky => Level::Warning,
        Outcome::Failed => Level::Error,
    };
    Some(Annotation {
        level,
        title: format!("smoke test {}", test.name),
        message: test.why().unwrap_or_default(),
        file: Some((test.file.clone(), test.line)),
    })
}

/// One test case a test; attempts that failed before stand beside one that passed, and fail it
/// where that is `strict`.
pub(crate) fn junit(seen: &SmokeSeen, strict: bool) -> String {
    let tally = seen.tally();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"orca smoke\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{}\">\n",
        seen.tests.len(),
        tally.failed + if strict { tally.flaky } else { 0 },
        secs(seen.took_us),
    );
    for test in &seen.tests {
        text.push_str(&format!(
            "  <testcase classname=\"{}\" name=\"{}\" time=\"{}\">",
            escape(&test.file),
            escape(&test.name),
            secs(test.took().0),
        ));
        let (why, line) = (escape(&test.why().unwrap_or_default()), escape(&line(test)));
        match test.outcome() {
            Outcome::Passed => {}
            Outcome::Flaky if !strict => text.push_str(&format!("<system-out>{line}</system-out>")),
            Outcome::Flaky | Outcome::Failed => {
                text.push_str(&format!("<failure message=\"{why}\">{line}</failure>"));
            }
        }
        text.push_str("</testcase>\n");
    }
    text.push_str("</testsuite>\n");
    text
}

fn secs(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(name: &str, wrong: &[&[&str]]) -> TestSeen {
        let attempt = |wrong: &&[&str]| Attempt {
            status: Some(200),
            connected: true,
            took_us: 1_500,
            wrong: wrong.iter().map(|text| (*text).to_owned()).collect(),
        };
        TestSeen {
            file: "synthetics/a.http".to_owned(),
            line: 7,
            name: name.to_owned(),
            category: None,
            tags: Vec::new(),
            critical: name == "a<b",
            attempts: wrong.iter().map(attempt).collect(),
            unsent: wrong.is_empty().then(|| "not sent".to_owned()),
        }
    }

    #[test]
    fn each_format_tells_every_attempt() {
        let tests = vec![
            test("good", &[&[]]),
            test("shaky", &[&["status is 503; asked: 2xx"], &[]]),
            test("a<b", &[&["one", "two"]]),
            test("late", &[]),
        ];
        let seen = SmokeSeen { planned: 4, took_us: 1_230_000, tests };
        let lines: Vec<String> = seen.tests.iter().map(line).collect();
        assert_eq!(
            lines,
            [
                "ok    good, 1.5 ms",
                "flaky shaky, 3 ms: 1. status is 503; asked: 2xx; 2. passed",
                "FAIL  a<b (critical), 1.5 ms: one (and 1 more)",
                "FAIL  late, 0 us: not sent",
            ]
        );
        assert_eq!(
            human(&seen),
            "2 of 4 passed, 2 failed, 1 flaky, in 1.23 s\n\n\
             failed: a<b (synthetics/a.http:7)\n  one\n  two\n\n\
             failed: late (synthetics/a.http:7)\n  not sent\n\n\
             flaky: shaky (synthetics/a.http:7)\n  status is 503; asked: 2xx\n"
        );
        let strict = junit(&seen, true);
        assert!(strict.contains("tests=\"4\" failures=\"3\""), "{strict}");
        assert!(
            strict.contains("<failure message=\"status is 503; asked: 2xx\">flaky"),
            "{strict}"
        );
        let junit = junit(&seen, false);
        assert!(
            junit.contains("tests=\"4\" failures=\"2\" errors=\"0\" time=\"1.230000\""),
            "{junit}"
        );
        assert!(
            junit.contains("name=\"a&lt;b\" time=\"0.001500\"><failure message=\"one"),
            "{junit}"
        );
        assert!(junit.contains("<system-out>flaky shaky"), "{junit}");
    }
}
