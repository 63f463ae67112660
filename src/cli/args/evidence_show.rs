//! `orca evidence show PACK`: what a pack says of itself. Nothing is verified here, and it says so.

use std::path::PathBuf;

use super::evidence_verify::{plain, read_pack};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::evidence::contents::Contents;
use crate::evidence::pack::{self, PackManifest};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pack: a zip
    #[arg(value_name = "PACK")]
    pack: PathBuf,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let file = context.folder.join(&args.pack);
    let invalid = |reason: String| {
        let message = format!("{}: {reason}", args.pack.display());
        Failure::new(Code::PackInvalid, Exit::Closed, message)
            .hint(format!("orca evidence verify {} --key KEY.pub", args.pack.display()))
    };
    let bytes = read_pack(&file)?;
    let contents = Contents::open(&bytes).map_err(|e| invalid(e.to_string()))?;
    let manifest = contents.file(pack::MANIFEST).map_err(invalid)?;
    let manifest: PackManifest = serde_json::from_slice(&manifest)
        .map_err(|e| invalid(format!("{}: {e}", pack::MANIFEST)))?;
    let human = human(&manifest, context);
    Ok(Report::new(Exit::Done, pack::SCHEMA, &manifest, human)
        .next(format!("orca evidence verify {} --key KEY.pub", args.pack.display())))
}

fn human(manifest: &PackManifest, context: &Context) -> String {
    let rows: Vec<Vec<String>> = manifest
        .files
        .iter()
        .map(|f| vec![f.size.to_string(), f.gate.clone().unwrap_or_default(), f.path.clone()])
        .collect();
    let missing: Vec<String> = manifest
        .missing
        .iter()
        .map(|m| {
            format!(
                "missing {} ({}): {}\n",
                m.what,
                if m.required { "required" } else { "optional" },
                m.title
            )
        })
        .collect();
    let text = format!(
        "{} at {}, as of {}: {} (not verified)\n{}\n\n{}{}",
        manifest.tag,
        manifest.commit,
        manifest.as_of,
        manifest.verdict.label(),
        manifest.headline,
        table(&["bytes", "gate", "file"], &rows, context.columns),
        missing.concat()
    );
    plain(&text)
}
