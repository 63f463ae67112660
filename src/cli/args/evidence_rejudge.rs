//! `orca evidence rejudge PACK`: do the exhibits of a pack still give the recorded verdicts, byte by
//! byte. It believes the pack about who made it: `evidence verify` does not.

use std::path::PathBuf;

use super::evidence_verify::{plain, read_pack};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::cli::render::table::table;
use crate::cli::report::Report;
use crate::cli::rules;
use crate::evidence::rejudge::{self, OneCheck, Rejudgement, Ruling};
use crate::gate::verdict::Verdict;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The pack: a zip
    #[arg(value_name = "PACK")]
    pack: PathBuf,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Report, Failure> {
    let shown = args.pack.display();
    let zip = read_pack(&context.folder.join(&args.pack))?;
    let answer = rejudge::rejudge(&zip, &rules::all()).map_err(|reason| {
        Failure::new(Code::PackInvalid, Exit::Closed, format!("{shown}: {reason}"))
            .hint(format!("orca evidence verify {shown} --key KEY.pub"))
    })?;
    let human = human(&answer, context.columns);
    Ok(Report::new(Exit::from(answer.verdict), rejudge::SCHEMA, &answer, human)
        .output("verdict", answer.verdict.as_str())
        .next(format!("orca evidence verify {shown} --key KEY.pub")))
}

fn human(answer: &Rejudgement, columns: usize) -> String {
    let row = |ruling: &Ruling, check: &OneCheck| {
        let said = match check.same {
            Verdict::Pass => "same bytes",
            Verdict::Fail => "differs",
            _ => "cannot tell",
        };
        let more = check.differences.join("; ");
        vec![
            ruling.entry.to_string(),
            ruling.gate.clone(),
            check.check.clone(),
            format!("{} v{}", check.rule, check.rule_version),
            said.to_owned(),
            more,
        ]
    };
    let rows: Vec<Vec<String>> =
        answer.rulings.iter().flat_map(|r| r.checks.iter().map(move |c| row(r, c))).collect();
    let rows = table(&["entry", "gate", "check", "rule", "result", "what"], &rows, columns);
    let unnamed: Vec<String> =
        answer.unnamed.iter().map(|path| format!("no ruling names {path}\n")).collect();
    let verdict = answer.verdict.label();
    plain(&format!("{verdict}: {}\n\n{rows}{}", answer.headline, unnamed.concat()))
}
