//! `orca slo dashboard` and `orca slo alerts`: Grafana JSON and Prometheus rules of the manifest.

use std::path::PathBuf;

use serde_json::Value;

use crate::base::atomic_file;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::wire;
use crate::cli::wire_slo::{self, Chosen};
use crate::slo::alerts::{Watched, rules};
use crate::slo::dashboard::dashboard;
use crate::slo::source::SourceKind;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    chosen: Chosen,
    /// A Prometheus source of the manifest
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run_dashboard(args: &Args, context: &Context) -> Result<Report, Failure> {
    run(args, context, dashboard)
}

pub(crate) fn run_alerts(args: &Args, context: &Context) -> Result<Report, Failure> {
    run(args, context, rules)
}

fn run(
    args: &Args,
    context: &Context,
    make: fn(&str, &[Watched<'_>]) -> Value,
) -> Result<Report, Failure> {
    let manifest = args.chosen.manifest(context)?;
    let source = wire_slo::source(&manifest, args.source.as_deref())?;
    let SourceKind::Prometheus(asked) = &source.kind else {
        let text = format!("source '{}' is no Prometheus", source.name);
        return Err(Failure::new(Code::SloSource, Exit::Usage, text)
            .hint("give --source with one of type prometheus or router"));
    };
    let service = wire::load_config_or_default(context)?.service;
    let scopes = wire_slo::scopes(&manifest);
    let watched: Vec<Watched<'_>> = scopes
        .iter()
        .filter_map(|(scope, objectives)| {
            let queries = asked.queries.get(scope)?;
            Some(Watched { scope, objectives, queries, window: source.window })
        })
        .collect();
    let document = make(&service, &watched);
    let mut text = serde_json::to_string_pretty(&document).expect("a document is plain data");
    text.push('\n');
    let human = match &args.out {
        None => text,
        Some(out) => {
            atomic_file::write(&context.folder.join(out), text.as_bytes()).map_err(|error| {
                let text = format!("{} could not be written: {error}", out.display());
                Failure::new(Code::File, Exit::Usage, text)
                    .hint("give --out in a folder that exists")
            })?;
            format!("{}: {} scopes\n", out.display(), watched.len())
        }
    };
    Ok(Report::bare(Exit::Done, document, human))
}
