//! `orca explain CODE`: the page of an error code or a check, offline.

use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An error code such as ORCA-1002; without one, all of them are listed
    code: Option<String>,
}

pub(crate) fn run(args: &Args, _context: &Context) -> Result<Report, Failure> {
    let Some(wanted) = &args.code else { return Ok(list()) };
    let code = Code::find(wanted).ok_or_else(|| {
        Failure::new(Code::UnknownTopic, Exit::Usage, format!("there is no page for '{wanted}'"))
            .hint("orca explain lists every code")
    })?;
    let document = serde_json::json!({
        "code": code.as_str(), "title": code.title(), "page": code.page(),
    });
    Ok(Report::new(Exit::Done, "orca.explain/v1", &document, code.page()))
}

fn list() -> Report {
    let titles: Vec<&str> = Code::ALL.iter().map(|code| code.title()).collect();
    let document = serde_json::json!({ "codes": titles });
    Report::new(Exit::Done, "orca.explain/v1", &document, titles.join("\n"))
}
