//! `orca completions SHELL`.

use clap::CommandFactory as _;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::command::Cli;
use crate::cli::exit::Exit;
use crate::cli::report::Report;

/// A completion script.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Completions {
    shell: String,
    script: String,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    shell: clap_complete::Shell,
}

pub(crate) fn run(args: &Args) -> Report {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "orca", &mut script);
    let script = String::from_utf8_lossy(&script).into_owned();
    let document = Completions { shell: args.shell.to_string(), script: script.clone() };
    Report::new(Exit::Done, "orca.completions/v1", &document, script)
}
