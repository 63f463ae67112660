//! `orca init`: a working set-up for the repository at hand.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::verbs::init::{self, State, Template};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Say what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// The files of a set-up.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Initialised {
    dry_run: bool,
    files: Vec<File>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct File {
    path: PathBuf,
    /// `written`, or `kept` because it was there.
    state: &'static str,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let found = init::look(&context.folder);
    let templates = [
        Template { path: "orca.yaml", content: init::config(&found) },
        Template {
            path: "evidence/manifest.json",
            content: crate::evidence::manifest::SHIPPED.to_owned(),
        },
        Template {
            path: "slo/slo_manifest.yaml",
            content: crate::slo::manifest::DEFAULT.to_owned(),
        },
    ];
    let written =
        init::write(&context.folder, &templates, args.dry_run).map_err(|(path, error)| {
            let text = format!("{} could not be written: {error}", path.display());
            Failure::new(Code::File, Exit::Unavailable, text).hint("look at its permissions")
        })?;
    let word = |state: State| match state {
        State::Written => "written",
        State::Kept => "kept",
    };
    let lines: Vec<String> = written
        .iter()
        .map(|file| format!("{:<8} {}", word(file.state), file.path.display()))
        .collect();
    let files =
        written.iter().map(|f| File { path: f.path.clone(), state: word(f.state) }).collect();
    let document = Initialised { dry_run: args.dry_run, files };
    let human = lines.join("\n");
    Ok(Report::new(Exit::Done, "orca.init/v1", &document, human)
        .next("git add orca.yaml slo evidence && git commit -m \"chore: set up orca\"")
        .next("orca release tag --rc --dry-run"))
}
