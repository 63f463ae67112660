//! Where `orca load` writes its result besides standard output.

use std::path::{Path, PathBuf};

use crate::base::atomic_file;
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::{load_exports, load_report};
use crate::load::result::LoadResult;

#[derive(Debug, clap::Args)]
pub(crate) struct OutputArgs {
    /// Write the JSON result to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Write a page with charts, readable offline and on paper
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Write the seconds of the run as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Write the objectives as JUnit test cases
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write the result as Prometheus text, for a textfile collector or a push gateway
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

impl OutputArgs {
    /// Whether any file was asked for.
    pub(crate) fn is_given(&self) -> bool {
        [&self.out, &self.report, &self.csv, &self.junit, &self.prometheus]
            .iter()
            .any(|f| f.is_some())
    }

    /// Writes every file that was asked for.
    pub(crate) fn write(&self, result: &LoadResult, context: &Context) -> Result<(), Failure> {
        type Make = fn(&LoadResult) -> String;
        let json: Make = |result| {
            let mut text = serde_json::to_string(result).expect("a result is plain data");
            text.push('\n');
            text
        };
        let all: [(&str, &Option<PathBuf>, Make); 5] = [
            ("--out", &self.out, json),
            ("--report", &self.report, load_report::html),
            ("--csv", &self.csv, load_exports::csv),
            ("--junit", &self.junit, load_exports::junit),
            ("--prometheus", &self.prometheus, load_exports::prometheus),
        ];
        for (flag, file, make) in all {
            if let Some(file) = file {
                write(flag, &context.folder.join(file), &make(result))?;
            }
        }
        Ok(())
    }
}

fn write(flag: &str, path: &Path, text: &str) -> Result<(), Failure> {
    atomic_file::write(path, text.as_bytes()).map_err(|error| {
        let text = format!("{} could not be written: {error}", path.display());
        Failure::new(Code::File, Exit::Usage, text)
            .hint(format!("give {flag} in a folder that exists"))
    })
}
