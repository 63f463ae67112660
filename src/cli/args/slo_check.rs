//! `orca slo check`: the objectives against what a source of measurements knows, right now, or
//! against one run of load.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_judge::judgement_table;
use super::slo_check_load;
use crate::base::atomic_file;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_slo::{self, Chosen};
use crate::gate::verdict::{Cause, Judgement, Verdict};
use crate::slo::judge_observed::{ObservedPolicy, judge_observed};
use crate::slo::manifest::Manifest;
use crate::slo::source::SourceKind;
use crate::slo::telemetry::Observed;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// A source of the manifest, or its type: prometheus, vercel, load or file
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// The file of a source of type load or file, in place of the manifest's
    #[arg(long, value_name = "FILE")]
    path: Option<PathBuf>,
    /// Write what was seen to this file, to be judged again
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What the objectives are worth right now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    pub(super) verdict: Verdict,
    pub(super) source: String,
    pub(super) environment: Option<String>,
    pub(super) judgement: Judgement,
    /// Scopes with objectives that the source cannot tell of, and single objectives that are not
    /// judged here.
    pub(super) not_judged: Vec<String>,
    pub(super) seen: Observed,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let manifest = args.chosen.manifest(context)?;
    let source = &wire_slo::source_at(&manifest, args.source.as_deref(), args.path.as_deref())?;
    if let SourceKind::Load { path } = &source.kind {
        let run = slo_check_load::Run { source: &source.name, path, out: args.out.as_deref() };
        return slo_check_load::run(&run, &args.chosen, manifest, context);
    }
    let telemetry = wire_slo::telemetry(context, source)?;
    let policy = wire_slo::check_policy(&manifest, source, telemetry.as_ref());
    let untold = wire_slo::untold(&manifest, telemetry.as_ref());
    let seen = wire_slo::observe(telemetry.as_ref(), source, &policy.wanted()).await?;
    if let Some(file) = &args.out {
        write(&context.folder.join(file), &seen)?;
    }
    let mut not_judged = untold.clone();
    not_judged.extend(of_other_phases(&manifest, &policy, &untold));
    let judgement = Checked::or_open(judge_observed(&policy, &seen), &source.name, &not_judged);
    let mut human = judgement_table(&judgement, "objective", context.columns);
    if !untold.is_empty() {
        let names = untold.join(", ");
        human.push_str(&format!("not judged: {} tells nothing of {names}\n", source.name));
    }
    if let Some(others) = not_judged.get(untold.len()..).filter(|others| !others.is_empty()) {
        human.push_str(&format!("not judged: another phase asks for {}\n", others.join(", ")));
    }
    let document = Checked {
        verdict: judgement.verdict,
        source: source.name.clone(),
        environment: args.chosen.environment.clone(),
        judgement,
        not_judged,
        seen,
    };
    Ok(document.report(human))
}

/// Objectives of scopes that are told of, which do not hold all the time.
fn of_other_phases(manifest: &Manifest, policy: &ObservedPolicy, untold: &[String]) -> Vec<String> {
    let judged: Vec<_> =
        policy.scopes.iter().map(|of| (of.scope.as_str(), of.objectives.as_slice())).collect();
    let mut left = wire_slo::left_over(manifest, &judged);
    left.retain(|text| {
        let scope = text.split(": ").next().unwrap_or_default();
        !untold.iter().any(|name| name == scope)
    });
    left
}

impl Checked {
    /// Where not one objective could be judged though there are some, nothing is known.
    pub(super) fn or_open(judged: Judgement, source: &str, not_judged: &[String]) -> Judgement {
        if judged.verdict != Verdict::NotApplicable || not_judged.is_empty() {
            return judged;
        }
        let text = format!("{source} can judge none of the objectives: {}", not_judged.join(", "));
        Judgement::inconclusive(Cause::NoData, text, &judged.decided_by)
            .with_next("give --source with one that tells of them")
    }

    pub(super) fn report(self, human: String) -> Report {
        let exit = Exit::from(self.verdict);
        let mut report = Report::new(exit, "orca.slo-check/v1", &self, human)
            .output("verdict", self.verdict.as_str());
        report.next = self.judgement.next;
        report
    }
}

/// Writes what was seen, for `type: file`.
pub(crate) fn write(path: &Path, seen: &Observed) -> Result<(), Failure> {
    let mut bytes = serde_json::to_vec(seen).expect("what was seen is plain data");
    bytes.push(b'\n');
    atomic_file::write(path, &bytes).map_err(|error| {
        let text = format!("{} could not be written: {error}", path.display());
        Failure::new(Code::File, Exit::Usage, text).hint("give --out in a folder that exists")
    })
}
