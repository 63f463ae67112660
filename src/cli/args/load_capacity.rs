//! `orca load capacity`: how much a target takes before an objective breaks.

use std::path::PathBuf;

use super::load::unreachable;
use super::load_request::RequestArgs;
use crate::base::units::{Micros, Rate};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::gate::verdict::Verdict;
use crate::load::capacity::{Capacity, Point, SCHEMA, conclude, next};
use crate::load::driver::{self, Watch};
use crate::load::from_manifest::{self, Around};
use crate::load::machine;
use crate::load::plan::{Bounds, LoadPlan, Shape};
use crate::load::slo_check::{self, Policy};
use crate::slo::manifest::Manifest;

/// How often a rate is tried when this machine could not keep up: a search of minutes is not given
/// up for a hiccup.
const TRIES: u32 = 3;
/// A rate that so short a time cannot decide is held so many times longer.
const LONGER: u64 = 3;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to send it, like <https://staging.example.com>
    #[arg(long, value_name = "URL")]
    target: String,

    /// Objectives and endpoints; its ceiling for rates holds here too
    #[arg(long, value_name = "FILE")]
    manifest: PathBuf,

    /// The profile whose connections are used
    #[arg(long, value_name = "NAME", default_value = "baseline")]
    profile: String,

    /// The rate to begin with
    #[arg(long, value_name = "RATE", default_value = "50/s")]
    from: Rate,

    /// The highest rate to try [default: the ceiling of the manifest]
    #[arg(long, value_name = "RATE")]
    to: Option<Rate>,

    /// How long each rate is held; longer where that is too short to decide
    #[arg(long, value_name = "TIME", default_value = "20s")]
    hold: Micros,

    /// The rate that the service has to take, for advice on how many instances
    #[arg(long, value_name = "RATE")]
    peak: Option<Rate>,

    /// Connections to spread it over [default: the profile's]
    #[arg(long, value_name = "NUMBER")]
    connections: Option<u32>,

    /// Also send to hosts that the manifest marks as production
    #[arg(long)]
    allow_production: bool,

    #[command(flatten)]
    request: RequestArgs,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let manifest = Manifest::read(&context.folder.join(&args.manifest))?.at_url(&args.target);
    let to = args.to.unwrap_or(manifest.rate_max).min(manifest.rate_max);
    let policy = Policy::of(&manifest).without_throughput();
    if policy.is_empty() {
        let text = format!("{} has no objective that load could break", args.manifest.display());
        return Err(Failure::new(Code::Input, Exit::Usage, text)
            .hint("add one on a latency or on errors, like `p95 < 500ms`"));
    }
    let mut points: Vec<Point> = Vec::new();
    while let Some(rate) = next(&points, args.from.min(to), to) {
        let mut hold = args.hold;
        let mut step = args.step(&manifest, (rate, hold), &policy, context).await?;
        for _again in 1..TRIES {
            match &step {
                Step::Held(point) if point.too_few => hold = Micros(hold.0.saturating_mul(LONGER)),
                Step::Held(point) if point.generator_too_slow => {}
                _ => break,
            }
            step = args.step(&manifest, (rate, hold), &policy, context).await?;
        }
        match step {
            Step::Held(point) => points.push(point),
            Step::Lost(_, failure) if points.is_empty() => return Err(failure),
            Step::Lost(point, _) => {
                points.push(point);
                break;
            }
        }
    }
    let found = conclude(&points, args.peak);
    let exit = Exit::from(found.verdict);
    let human = human(&found, context.columns);
    Ok(Report::new(exit, SCHEMA, &found, human).output("verdict", found.verdict.as_str()))
}

/// What became of one rate.
enum Step {
    Held(Point),
    /// Not one request was answered: the target is down, or was never there.
    Lost(Point, Failure),
}

impl Args {
    /// Holds one rate, and judges what came back.
    async fn step(
        &self,
        manifest: &Manifest,
        (rate, hold): (Rate, Micros),
        policy: &Policy,
        context: &Context,
    ) -> Result<Step, Failure> {
        let plan = self.plan(manifest, (rate, hold), context)?;
        let result = driver::run(&plan, Watch::default(), &context.cancel).await?;
        if let Some((kind, text)) = slo_check::unreachable(&result) {
            context.say(format!("capacity: {rate}: {text}"));
            let point = Point::lost(rate, &result, text.clone());
            return Ok(Step::Lost(point, unreachable(kind, text, &self.target)));
        }
        let judgement = slo_check::judge(policy, &result);
        let point = Point::of(rate, &result.judged(judgement));
        context.say(format!("capacity: {rate} for {hold}: {}", point.headline));
        Ok(Step::Held(point))
    }

    fn plan(
        &self,
        manifest: &Manifest,
        (rate, hold): (Rate, Micros),
        context: &Context,
    ) -> Result<LoadPlan, Failure> {
        let file = context.folder.join(&self.manifest);
        let env = |name: &str| context.env.get(name).map(str::to_owned);
        let folder = file.parent().unwrap_or(&context.folder);
        let around = Around { folder, env: &env };
        let mut draft = from_manifest::draft(manifest, &self.profile, &self.target, around)?;
        draft.shape = Shape::constant(rate, hold);
        draft.connections = self.connections.unwrap_or(draft.connections);
        self.request.apply(&mut draft, context)?;
        let production = from_manifest::production(manifest, &draft.target);
        let bounds = Bounds {
            production: &production,
            allow_production: self.allow_production,
            file_limit: machine::file_limit(),
        };
        Ok(LoadPlan::new(draft, &bounds)?)
    }
}

fn human(found: &Capacity, columns: usize) -> String {
    let rows: Vec<Vec<String>> = found
        .curve
        .iter()
        .map(|point| {
            let is_knee = found.knee_milli_per_s == Some(point.asked_milli_per_s);
            let time = |us| Micros(us).to_string();
            vec![
                Rate { milli_per_s: point.asked_milli_per_s }.to_string(),
                Rate { milli_per_s: point.sent_milli_per_s }.to_string(),
                time(point.latency_us.p50),
                time(point.latency_us.p95),
                time(point.latency_us.p99),
                format!("{}.{:02} %", point.failed_bp / 100, point.failed_bp % 100),
                point.verdict.label().to_owned(),
                if is_knee { "knee".to_owned() } else { String::new() },
            ]
        })
        .collect();
    let header = ["asked", "sent", "p50", "p95", "p99", "failed", "verdict", ""];
    let label = if found.verdict == Verdict::Pass { "found" } else { found.verdict.label() };
    let mut text = format!("{label}: {}\n\n{}", found.headline, table(&header, &rows, columns));
    for line in &found.advice {
        text.push_str(&format!("\nadvice: {line}"));
    }
    text
}
