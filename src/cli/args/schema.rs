//! `orca schema NAME`: the JSON Schema of a file that you write or a document that orca prints.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::yaml::nearest_name;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::report::Report;
use crate::cli::schema;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Such as orca.yaml or orca.load/v1; without one, all names are listed
    name: Option<String>,
}

/// The names that can be asked for.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Names {
    names: Vec<&'static str>,
}

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let names: Vec<&str> = schema::ALL.iter().map(|(name, _)| *name).collect();
    let Some(wanted) = &args.name else {
        let human = names.join("\n");
        return Ok(Report::new(Exit::Done, "orca.schema-list/v1", &Names { names }, human));
    };
    let Some(document) = schema::find(wanted) else {
        let failure = Failure::new(
            Code::UnknownTopic,
            Exit::Usage,
            format!("there is no schema called '{wanted}'"),
        );
        let near = nearest_name(wanted, names).map(|name| format!("did you mean `{name}`?"));
        return Err(failure.hint(near.unwrap_or_else(|| "orca schema lists every name".to_owned())));
    };
    let human = format!("{document:#}");
    Ok(Report::bare(Exit::Done, document, human))
}
