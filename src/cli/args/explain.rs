//! `orca explain CODE`: the page of an error code or a check, offline.

use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::exit::Exit;
use crate::cli::explain::{CHECKS, Code};
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::db::lint::catalogue;

/// The page of one code.
#[expect(clippy::struct_field_names, reason = "a page has the text of a page")]
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Page {
    code: &'static str,
    title: &'static str,
    /// Markdown.
    page: &'static str,
}

/// The titles of all codes, then the names of all checks and SQL rules.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct List {
    codes: Vec<&'static str>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An error code such as ORCA-1002, or a check such as load.slo; without one, all are listed
    code: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let Some(wanted) = &args.code else { return Ok(list()) };
    if let Some((id, page)) = CHECKS.iter().find(|(id, _)| id == wanted) {
        let document = Page { code: id, title: id, page };
        return Ok(Report::new(Exit::Done, "orca.explain/v1", &document, *page));
    }
    if let Some(rule) = catalogue::find(wanted) {
        let document = Page { code: rule.name, title: rule.name, page: rule.page };
        return Ok(Report::new(Exit::Done, "orca.explain/v1", &document, rule.page));
    }
    let code = Code::find(wanted).ok_or_else(|| {
        Failure::new(Code::UnknownTopic, Exit::Usage, format!("there is no page for '{wanted}'"))
            .hint("orca explain lists every code")
    })?;
    let document = Page { code: code.as_str(), title: code.title(), page: code.page() };
    Ok(Report::new(Exit::Done, "orca.explain/v1", &document, code.page()))
}

fn list() -> Report {
    let rules = catalogue::ALL.iter().map(|rule| rule.name);
    let checks = CHECKS.iter().map(|(id, _)| *id).chain(rules);
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.title()).chain(checks).collect();
    let human = codes.join("\n");
    Report::new(Exit::Done, "orca.explain-list/v1", &List { codes }, human)
}
