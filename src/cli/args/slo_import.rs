//! `orca slo import FILE`: an `OpenSLO` file as a manifest, and every field that was not taken.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::base::{atomic_file, limits, yaml};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::slo::openslo;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An OpenSLO v1 file, with one or several documents
    file: PathBuf,
    /// Write the manifest to this file instead of standard output; it must not exist yet
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What was taken of an `OpenSLO` file.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ImportedDocument {
    /// How many objectives were taken.
    objectives: usize,
    manifest: String,
    /// Every field that was not taken, with its value.
    not_taken: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let file = context.folder.join(&args.file);
    let text = atomic_file::read_text(&file, limits::INPUT_FILE_BYTES_MAX)
        .map_err(|error| yaml::InputError::whole_file(&file, format!("cannot be read: {error}")))?;
    let documents = documents(&text)
        .map(|part| yaml::parse::<Value>(&part, &file))
        .collect::<Result<Vec<Value>, _>>()?;
    let imported = openslo::import(&documents);
    if imported.levels.is_empty() {
        let text = format!("{} holds no objective that orca can take", args.file.display());
        let mut failure = Failure::new(Code::SloImport, Exit::Usage, text);
        failure.hints.extend(imported.not_taken.into_iter().take(20));
        return Err(failure);
    }
    let manifest = openslo::manifest(&imported);
    for line in &imported.not_taken {
        context.say(format!("not taken: {line}"));
    }
    let human = match &args.out {
        None => manifest.clone(),
        Some(out) => {
            write_new(&context.folder.join(out), &manifest)?;
            let (taken, left) = (imported.levels.len(), imported.not_taken.len());
            format!("{}: {taken} objectives; {left} fields were not taken\n", out.display())
        }
    };
    let document = ImportedDocument {
        objectives: imported.levels.len(),
        manifest,
        not_taken: imported.not_taken,
    };
    let report = Report::new(Exit::Done, "orca.slo-import/v1", &document, human);
    Ok(match &args.out {
        Some(out) => report.next(format!("orca slo explain --manifest {}", out.display())),
        None => report,
    })
}

fn write_new(path: &std::path::Path, text: &str) -> Result<(), Failure> {
    let refused = |problem: String| {
        let text = format!("{} could not be written: {problem}", path.display());
        Failure::new(Code::File, Exit::Usage, text).hint("give --out a new name")
    };
    if path.exists() {
        return Err(refused("it exists already".to_owned()));
    }
    atomic_file::write(path, text.as_bytes()).map_err(|error| refused(error.to_string()))
}

/// The documents of a stream, each with blank lines before it, so that errors name the line.
fn documents(text: &str) -> impl Iterator<Item = String> {
    let mut parts = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if line.trim_end() == "---" {
            parts.push("\n".repeat(number + 1));
        } else if let Some(part) = parts.last_mut() {
            part.push_str(line);
            part.push('\n');
        }
    }
    parts.into_iter().filter(|part| {
        part.lines().any(|line| !line.trim().is_empty() && !line.trim_start().starts_with('#'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_split_and_keeps_its_lines() {
        let parts: Vec<String> = documents("# head\n---\na: 1\n---\n\n---\nb: 2\n").collect();
        assert_eq!(parts, ["\n\na: 1\n", "\n\n\n\n\n\nb: 2\n"]);
    }
}
