//! `orca slo judge --stdin`: the judge of ratios and percentiles, on numbers from anywhere.

use std::io::Read as _;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::limits;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::gate::verdict::{Unit, Verdict};
use crate::slo::decide;

const HINT: &str = r#"write {"kind":"ratio","n":1000,"errors":5,"limit_bp":100,"confidence_bp":9500} or {"kind":"quantile","q_bp":9500,"samples_us":[1200,900],"limit_us":500000}"#;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read the question from standard input
    #[arg(long, required = true)]
    stdin: bool,
}

/// What can be asked. Equal to the limit passes; confidence is two-sided.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Question {
    /// Do `errors` of `n` keep the limit?
    Ratio {
        n: u64,
        errors: u64,
        limit_bp: u32,
        #[serde(default = "confidence")]
        confidence_bp: u32,
    },
    /// Does the percentile of these samples keep the limit?
    Quantile {
        q_bp: u32,
        samples_us: Vec<u64>,
        limit_us: u64,
        #[serde(default = "confidence")]
        confidence_bp: u32,
    },
}

fn confidence() -> u32 {
    crate::slo::manifest::CONFIDENCE.0
}

/// The answer: the interval of a ratio, or the 1-based ranks that enclose a percentile.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Answer {
    verdict: Verdict,
    lower_ppm: Option<u32>,
    upper_ppm: Option<u32>,
    /// Absent when there are too few samples for such a rank.
    rank_lower: Option<u64>,
    rank_upper: Option<u64>,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    debug_assert!(args.stdin, "the flag is required");
    let mut text = String::new();
    let limit = limits::SAMPLES_BYTES_MAX;
    std::io::stdin()
        .take(limit + 1)
        .read_to_string(&mut text)
        .map_err(|e| refused(format!("standard input cannot be read: {e}")))?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > limit {
        return Err(refused(format!("standard input is larger than {limit} bytes")));
    }
    let question: Question = serde_json::from_str(&text)
        .map_err(|e| refused(format!("standard input is not a question: {e}")))?;
    let (answer, human) = answer(question)?;
    Ok(Report::new(Exit::from(answer.verdict), "orca.slo-judge/v1", &answer, human))
}

fn refused(message: String) -> Failure {
    Failure::new(Code::Input, Exit::Usage, message).hint(HINT)
}

fn answer(question: Question) -> Result<(Answer, String), Failure> {
    let within = |name: &str, value: u32, range: std::ops::RangeInclusive<u32>| {
        let (low, high) = (range.start(), range.end());
        let problem = || refused(format!("{name} is {value}; it goes from {low} to {high}"));
        if range.contains(&value) { Ok(()) } else { Err(problem()) }
    };
    match question {
        Question::Ratio { n, errors, limit_bp, confidence_bp } => {
            within("limit_bp", limit_bp, 0..=10_000)?;
            within("confidence_bp", confidence_bp, 1..=9_999)?;
            if errors > n {
                return Err(refused(format!("errors is {errors} and n only {n}")));
            }
            let (verdict, lower, upper) = decide::ratio(errors, n, limit_bp * 100, confidence_bp);
            let show = |ppm: u32| Unit::Ppm.show(i64::from(ppm));
            let human = format!(
                "{}: {errors} of {n} failed, between {} and {} in truth; the limit is {}",
                verdict.label(),
                show(lower),
                show(upper),
                show(limit_bp * 100)
            );
            let (lower_ppm, upper_ppm) = (Some(lower), Some(upper));
            Ok((
                Answer { verdict, lower_ppm, upper_ppm, rank_lower: None, rank_upper: None },
                human,
            ))
        }
        Question::Quantile { q_bp, mut samples_us, limit_us, confidence_bp } => {
            within("q_bp", q_bp, 1..=9_999)?;
            within("confidence_bp", confidence_bp, 1..=9_999)?;
            samples_us.sort_unstable();
            let (verdict, ranks) = decide::percentile(&samples_us, q_bp, limit_us, confidence_bp);
            let show = |rank: Option<u64>| rank.map_or("none".to_owned(), |r| r.to_string());
            let human = format!(
                "{}: {} samples, enclosed by ranks {} and {}; the limit is {}",
                verdict.label(),
                samples_us.len(),
                show(ranks.lower),
                show(ranks.upper),
                crate::base::units::Micros(limit_us)
            );
            let (rank_lower, rank_upper) = (ranks.lower, ranks.upper);
            Ok((
                Answer { verdict, lower_ppm: None, upper_ppm: None, rank_lower, rank_upper },
                human,
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(question: &str) -> Result<Verdict, String> {
        let question = serde_json::from_str(question).map_err(|e| e.to_string())?;
        answer(question).map(|(answer, _)| answer.verdict).map_err(|f| f.message)
    }

    #[test]
    fn questions_and_what_is_refused() {
        for (question, expected) in [
            (r#"{"kind":"ratio","n":368,"errors":0,"limit_bp":100}"#, Ok(Verdict::Pass)),
            (r#"{"kind":"ratio","n":367,"errors":0,"limit_bp":100}"#, Ok(Verdict::Inconclusive)),
            (r#"{"kind":"ratio","n":0,"errors":0,"limit_bp":100}"#, Ok(Verdict::Inconclusive)),
            (
                r#"{"kind":"ratio","n":1,"errors":2,"limit_bp":100}"#,
                Err("errors is 2 and n only 1".to_owned()),
            ),
            (
                r#"{"kind":"ratio","n":1,"errors":0,"limit_bp":10001}"#,
                Err("limit_bp is 10001; it goes from 0 to 10000".to_owned()),
            ),
            (
                r#"{"kind":"quantile","q_bp":5000,"samples_us":[3,1,2,6,5,4],"limit_us":6}"#,
                Ok(Verdict::Pass),
            ),
            (
                r#"{"kind":"quantile","q_bp":5000,"samples_us":[],"limit_us":6}"#,
                Ok(Verdict::Inconclusive),
            ),
            (
                r#"{"kind":"quantile","q_bp":0,"samples_us":[],"limit_us":6}"#,
                Err("q_bp is 0; it goes from 1 to 9999".to_owned()),
            ),
        ] {
            assert_eq!(verdict(question), expected, "{question}");
        }
        assert!(verdict(r#"{"kind":"ratio","n":-1,"errors":0,"limit_bp":1}"#).is_err());
        assert!(verdict(r#"{"kind":"mean"}"#).is_err());
    }
}
