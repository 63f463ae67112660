//! `orca load merge`: the shards of one run, judged as one.

use std::path::PathBuf;

use super::load_output::OutputArgs;
use crate::base::atomic_file::read_limited;
use crate::base::limits::SAMPLES_BYTES_MAX;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::load;
use crate::cli::report::Report;
use crate::load::merge::{MergeError, Part, merge};
use crate::load::result::{LoadResult, SCHEMA};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The results that every shard wrote with --out
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let parts = args.files.iter().map(|file| {
        let name = file.display().to_string();
        let wrong = |why: String| {
            Failure::new(Code::LoadShards, Exit::Usage, format!("{name}: {why}"))
                .hint("give the files that `orca load --shard i/n --out FILE` wrote")
        };
        let bytes = read_limited(&context.folder.join(file), SAMPLES_BYTES_MAX);
        let bytes = bytes.map_err(|error| wrong(error.to_string()))?;
        let result = LoadResult::parse(&bytes).map_err(wrong)?;
        Ok(Part { file: name.clone(), result })
    });
    let parts = parts.collect::<Result<Vec<Part>, Failure>>()?;
    let result = merge(&parts)?;
    args.output.write(&result, context)?;
    let human = load::human(&result, context.columns);
    Ok(Report::new(Exit::from(result.verdict), SCHEMA, &result, human)
        .output("verdict", result.verdict.as_str()))
}

impl From<MergeError> for Failure {
    fn from(error: MergeError) -> Self {
        Self::new(Code::LoadShards, Exit::Usage, error.to_string()).hint(error.hint())
    }
}
