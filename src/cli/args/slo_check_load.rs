//! `orca slo check` by a load result: what the manifest asks of load, judged as `orca load` judges
//! it. The run is the window, so objectives over days are left to sources that know days, and so are
//! those of other phases; each of them is listed.

use std::path::Path;

use super::canary_judge::judgement_table;
use super::slo_check::Checked;
use crate::base::atomic_file::read_limited;
use crate::base::clock::Timestamp;
use crate::base::limits::SAMPLES_BYTES_MAX;
use crate::base::units::Micros;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_slo::{self, Chosen};
use crate::load::observed::observed;
use crate::load::result::LoadResult;
use crate::load::slo_check::{Policy, judge};
use crate::slo::manifest::Manifest;
use crate::slo::sample::ALL;

/// The load result of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    /// Its name in the manifest.
    pub(super) source: &'a str,
    pub(super) path: &'a str,
    /// Where what was seen should go.
    pub(super) out: Option<&'a Path>,
}

pub(super) fn run(
    run: &Run<'_>,
    chosen: &Chosen,
    manifest: Manifest,
    context: &Context,
) -> Result<Report, Failure> {
    if run.out.is_some() {
        let text = format!("--out: what was seen of the run stands in {} already", run.path);
        return Err(Failure::new(Code::SloSource, Exit::Usage, text)
            .hint("leave --out away, and keep that file: it is judged again as it is"));
    }
    let result = read(run, context)?;
    // As the load gate does: what differs where the load went to.
    let manifest = match chosen.environment {
        Some(_) => manifest,
        None => manifest.at_url(&result.target),
    };
    let policy = Policy::of(&manifest);
    let not_judged = left_over(&manifest, &policy);
    let judgement = Checked::or_open(judge(&policy, &result), run.source, &not_judged);
    let mut human = judgement_table(&judgement, "objective", context.columns);
    human.push_str(&format!("\nthe run: {}\n", told(&result)));
    if !not_judged.is_empty() {
        let names = not_judged.join(", ");
        human.push_str(&format!("not judged by a run of load: {names}\n"));
    }
    let checked = Checked {
        verdict: judgement.verdict,
        source: run.source.to_owned(),
        environment: chosen.environment.clone(),
        seen: observed(run.source, &policy, &result),
        judgement,
        not_judged,
    };
    Ok(checked.report(human))
}

fn read(run: &Run<'_>, context: &Context) -> Result<LoadResult, Failure> {
    let wrong = |problem: String| {
        wire_slo::unseen(run.source, &format!("{}: {problem}", run.path))
            .hint("write it with orca load --out, or orca load merge --out")
    };
    let bytes = read_limited(&context.folder.join(run.path), SAMPLES_BYTES_MAX);
    let result = LoadResult::parse(&bytes.map_err(|error| wrong(error.to_string()))?);
    let result = result.map_err(|problem| wrong(format!("is no load result: {problem}")))?;
    match &result.shard {
        None => Ok(result),
        Some(shard) => {
            let (path, index, count) = (run.path, shard.index, shard.count);
            let text = format!("{path} is shard {index} of {count}: only all of them are judged");
            Err(Failure::new(Code::LoadShards, Exit::Usage, text)
                .hint("merge them first: orca load merge s*.json --out load.json"))
        }
    }
}

/// What was asked, for how long, and when.
fn told(result: &LoadResult) -> String {
    let due = result.requests.saturating_add(result.dropped);
    let over = Micros(result.duration_us);
    let begun = match result.started_us {
        0 => String::new(),
        us => format!(", begun {}", Timestamp::from_us(us).rfc3339()),
    };
    format!("{due} requests to {} over {over}{begun}", result.target)
}

/// Objectives that load is not judged by.
fn left_over(manifest: &Manifest, policy: &Policy) -> Vec<String> {
    let each = policy.endpoints.iter().map(|(name, of)| (name.as_str(), of.as_slice()));
    let judged: Vec<_> = std::iter::once((ALL, policy.overall.as_slice())).chain(each).collect();
    wire_slo::left_over(manifest, &judged)
}
