//! `orca canary judge BASELINE CANARY`: the judgement of a canary, on any two results.
//!
//! Hidden beside it, as an oracle for tests: `--judge kayenta`, and questions on standard input.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::canary_judge_kayenta as kayenta;
use crate::base::atomic_file;
use crate::base::histogram::Histogram;
use crate::base::limits;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::gate::verdict::{Judgement, Measure, Verdict};
use crate::load::fitness::{Unfit, unfit};
use crate::load::result::LoadResult;
use crate::slo::compare::{ComparisonPolicy, RULE, compare};
use crate::slo::sample::{ALL, Counts, Sample};
use crate::slo::statistics::binomial::tail;
use crate::slo::statistics::fisher::{self, Share};
use crate::slo::statistics::mann_whitney::{MannWhitney, Shift, Weighted, mann_whitney, shift};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An orca.load/v1 result, or a JSON array of latencies in microseconds
    #[arg(required_unless_present = "stdin", requires = "canary")]
    baseline: Option<PathBuf>,
    /// The same of the canary
    canary: Option<PathBuf>,
    /// Fewer requests in an arm decide nothing
    #[arg(long, value_name = "N", default_value_t = ComparisonPolicy::default().min_samples)]
    min_samples: u64,
    /// Whose judgement: orca's own, or Kayenta's as an oracle; kayenta with --stdin
    #[arg(long, value_enum, hide = true)]
    judge: Option<Judge>,
    /// Read control and experiment as JSON from standard input
    #[arg(long, hide = true, conflicts_with = "baseline")]
    stdin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Judge {
    Orca,
    Kayenta,
}

/// The judgement and the statistics behind it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Judged {
    verdict: Verdict,
    policy: ComparisonPolicy,
    judgement: Judgement,
    /// Absent without latencies in both arms.
    mann_whitney: Option<MannWhitney>,
    /// How much slower the canary is, in microseconds (Hodges-Lehmann).
    shift_us: Option<Shift>,
    /// One-sided: the canary fails more often.
    fisher_ppm: u32,
}

/// One arm: its sample, and its latencies as exactly as they are known.
struct Arm {
    sample: Sample,
    latencies: Weighted,
    /// Why nothing can be concluded from it.
    unfit: Option<Unfit>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let policy = ComparisonPolicy { min_samples: args.min_samples, ..ComparisonPolicy::default() };
    let (base, canary) = if let (Some(baseline), Some(canary)) = (&args.baseline, &args.canary) {
        (arm(&context.folder.join(baseline))?, arm(&context.folder.join(canary))?)
    } else {
        let question = kayenta::read_question()?;
        if args.judge != Some(Judge::Orca) {
            return kayenta::answer(&question);
        }
        of_question(&question)?
    };
    if args.judge == Some(Judge::Kayenta) {
        return Ok(kayenta::of_latencies(&base.latencies, &canary.latencies));
    }
    let judged = judge(policy, &base, &canary);
    let human =
        judgement_table(&judged.judgement, "of the canary against the base", context.columns);
    let exit = Exit::from(judged.verdict);
    let mut report = Report::new(exit, "orca.canary-judge/v1", &judged, human);
    report.next = judged.judgement.next;
    Ok(report)
}

fn of_question(question: &Value) -> Result<(Arm, Arm), Failure> {
    let refused = |problem: String| {
        Failure::new(Code::Input, Exit::Usage, format!("standard input: {problem}"))
            .hint("give control and experiment as arrays of latencies in microseconds")
    };
    let (control, experiment) = kayenta::arms(question)?;
    Ok((of_numbers(&control).map_err(refused)?, of_numbers(&experiment).map_err(refused)?))
}

fn judge(policy: ComparisonPolicy, base: &Arm, canary: &Arm) -> Judged {
    let judgement = match base.unfit.as_ref().or(canary.unfit.as_ref()) {
        Some(why) => {
            Judgement::inconclusive(why.cause, why.text.clone(), RULE).with_next(why.next.clone())
        }
        None => compare(&policy, &base.sample, &canary.sample),
    };
    let alpha = tail(policy.confidence_bp);
    let share =
        |arm: &Arm| Share { failures: arm.sample.failures(), attempts: arm.sample.attempts() };
    Judged {
        verdict: judgement.verdict,
        policy,
        judgement,
        mann_whitney: mann_whitney(&canary.latencies, &base.latencies, alpha),
        shift_us: shift(&canary.latencies, &base.latencies, alpha),
        fisher_ppm: fisher::greater_ppm(share(canary), share(base)),
    }
}

fn arm(file: &Path) -> Result<Arm, Failure> {
    let refused = |problem: String| {
        Failure::new(Code::Input, Exit::Usage, format!("{}: {problem}", file.display()))
            .hint("give an orca.load/v1 result, or a JSON array of latencies in microseconds")
    };
    let bytes = atomic_file::read_limited(file, limits::SAMPLES_BYTES_MAX)
        .map_err(|e| refused(format!("cannot be read: {e}")))?;
    let is_array = bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[');
    if is_array { of_array(&bytes) } else { of_result(&bytes) }.map_err(refused)
}

fn of_result(bytes: &[u8]) -> Result<Arm, String> {
    let result = LoadResult::parse(bytes)?;
    if result.shard.is_some() {
        return Err("it is one shard of a run: join them by `orca load merge`".to_owned());
    }
    let latency = Histogram::try_from(&result.latency_histogram).map_err(|e| e.to_string())?;
    let counts = Counts {
        requests: result.requests,
        errors: result.errors,
        dropped: result.dropped,
        duration: Micros(result.duration_us),
    };
    Ok(Arm {
        sample: Sample::new(ALL, counts, &latency),
        latencies: Weighted::from(&latency),
        unfit: unfit(&result),
    })
}

fn of_array(bytes: &[u8]) -> Result<Arm, String> {
    of_numbers(&serde_json::from_slice::<Vec<Value>>(bytes).map_err(|e| e.to_string())?)
}

fn of_numbers(numbers: &[Value]) -> Result<Arm, String> {
    let mut samples = Vec::with_capacity(numbers.len());
    for (index, number) in numbers.iter().enumerate() {
        let value = latency_us(number)
            .ok_or_else(|| format!("item {index} is {number}, not a latency in microseconds"))?;
        samples.push(value);
    }
    samples.sort_unstable();
    let mut latency = Histogram::default();
    for us in &samples {
        latency.record(*us);
    }
    let counts = Counts { requests: latency.count(), ..Counts::default() };
    let latencies = Weighted::from_sorted(&samples);
    Ok(Arm { sample: Sample::new(ALL, counts, &latency), latencies, unfit: None })
}

/// A number from 0 up, rounded to whole microseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "within 0 and 2^53 by the test before"
)]
fn latency_us(number: &Value) -> Option<u64> {
    number.as_u64().filter(|us| *us < 1 << 53).or_else(|| {
        let value = number.as_f64()?;
        (0.0..9e15).contains(&value).then(|| value.round() as u64)
    })
}

/// The headline, and every measure with its interval.
pub(crate) fn judgement_table(judgement: &Judgement, asked: &str, columns: usize) -> String {
    let show = |m: &Measure, value: Option<i64>| value.map_or("-".to_owned(), |v| m.unit.show(v));
    let rows: Vec<Vec<String>> = judgement
        .measures
        .iter()
        .map(|m| {
            let interval = match (m.lower, m.upper) {
                (None, None) => "-".to_owned(),
                (lower, upper) => format!("{} to {}", show(m, lower), show(m, upper)),
            };
            let (seen, limit) = (show(m, m.seen), show(m, m.limit));
            vec![m.verdict.label().to_owned(), seen, interval, limit, m.asked.clone()]
        })
        .collect();
    let headline = format!("{}: {}\n", judgement.verdict.label(), judgement.headline);
    if rows.is_empty() {
        return headline;
    }
    let head = ["verdict", "seen", "interval", "limit", asked];
    format!("{headline}\n{}", table(&head, &rows, columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(base: &str, canary: &str) -> Result<Judged, String> {
        let policy = ComparisonPolicy { min_samples: 5, ..ComparisonPolicy::default() };
        Ok(judge(policy, &of_array(base.as_bytes())?, &of_array(canary.as_bytes())?))
    }

    #[test]
    fn arrays_are_taken_exactly_and_nonsense_is_named() {
        let slow =
            judged("[1000,2000,2001.4,3000,4000]", "[90001,90002,90003,90004,90005]").unwrap();
        assert_eq!(slow.mann_whitney.unwrap().effect_ppm, 1_000_000);
        assert_eq!(slow.shift_us.unwrap().estimate, 88_001);
        assert_eq!(slow.fisher_ppm, 1_000_000);
        assert_eq!(judged("[]", "[1]").unwrap().verdict, Verdict::Inconclusive);
        for (array, expected) in [
            ("[1,-2]", "item 1 is -2, not a latency in microseconds"),
            (r#"["a"]"#, r#"item 0 is "a", not a latency in microseconds"#),
            ("[1e300]", "item 0 is 1e+300, not a latency in microseconds"),
        ] {
            assert_eq!(judged(array, "[1]").err().as_deref(), Some(expected));
        }
        assert!(of_result(b"{}").is_err());
    }
}
