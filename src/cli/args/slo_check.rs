//! `orca slo check`: the objectives against what Prometheus or a file knows, right now.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use super::canary_judge::judgement_table;
use crate::base::atomic_file;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire_slo::{self, Chosen};
use crate::gate::verdict::{Judgement, Verdict};
use crate::slo::judge_observed::judge_observed;
use crate::slo::telemetry::Observed;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// A source of the manifest, or its type: prometheus or file
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Write what was seen to this file, to be judged again
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What the objectives are worth right now.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Checked {
    verdict: Verdict,
    source: String,
    environment: Option<String>,
    judgement: Judgement,
    /// Scopes with objectives that the source cannot tell of.
    not_judged: Vec<String>,
    seen: Observed,
}

pub(crate) async fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let manifest = args.chosen.manifest(context)?;
    let source = wire_slo::source(&manifest, args.source.as_deref())?;
    let telemetry = wire_slo::telemetry(context, source)?;
    let policy = wire_slo::check_policy(&manifest, source, telemetry.as_ref());
    let untold = wire_slo::untold(&manifest, telemetry.as_ref());
    let seen = wire_slo::observe(telemetry.as_ref(), source, &policy.wanted()).await?;
    if let Some(file) = &args.out {
        write(&context.folder.join(file), &seen)?;
    }
    let judgement = judge_observed(&policy, &seen);
    let mut human = judgement_table(&judgement, "objective", context.columns);
    if !untold.is_empty() {
        let names = untold.join(", ");
        human.push_str(&format!("not judged: {} tells nothing of {names}\n", source.name));
    }
    let document = Checked {
        verdict: judgement.verdict,
        source: source.name.clone(),
        environment: args.chosen.environment.clone(),
        judgement,
        not_judged: untold,
        seen,
    };
    let exit = Exit::from(document.verdict);
    let mut report = Report::new(exit, "orca.slo-check/v1", &document, human)
        .output("verdict", document.verdict.as_str());
    report.next = document.judgement.next;
    Ok(report)
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
