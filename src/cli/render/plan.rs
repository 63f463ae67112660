//! A plan for people and machines: the steps, the calls, how long, what can go wrong.

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::units::Micros;
use crate::cli::exit::Exit;
use crate::cli::explain::Code;
use crate::cli::failure::Failure;
use crate::plan::executor::{Event, Stopped};
use crate::plan::journal::JournalError;
use crate::plan::step::Description;
use crate::verbs::book::BookError;

/// One step in a JSON document.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct PlanStep {
    name: String,
    title: String,
    calls: Vec<String>,
    expected_us: u64,
    risk: Option<String>,
    back: Option<String>,
}

pub(crate) fn steps(described: &[Description]) -> Vec<PlanStep> {
    described
        .iter()
        .map(|step| PlanStep {
            name: step.name.to_owned(),
            title: step.title.clone(),
            calls: step.calls.clone(),
            expected_us: step.expected_us.0,
            risk: step.risk.clone(),
            back: step.back.clone(),
        })
        .collect()
}

pub(crate) fn human(steps: &[PlanStep]) -> String {
    if steps.is_empty() {
        return "nothing is left to do\n".to_owned();
    }
    let mut text = String::new();
    for (number, step) in (1..).zip(steps) {
        let expected = Micros(step.expected_us);
        text.push_str(&format!("{number}. {} (about {expected})\n", step.title));
        for call in &step.calls {
            text.push_str(&format!("   call: {call}\n"));
        }
        if let Some(risk) = &step.risk {
            text.push_str(&format!("   risk: {risk}\n"));
        }
        if let Some(back) = &step.back {
            text.push_str(&format!("   back: {back}\n"));
        }
    }
    text
}

/// One line of progress.
pub(crate) fn line(event: &Event) -> String {
    match event {
        Event::Skipped { title } => format!("{title}: done already"),
        Event::Started { title } => format!("{title} ..."),
        Event::Ended { title, detail } => format!("{title}: {detail}"),
    }
}

/// A plan that stopped: part done when something had changed, else nothing changed.
pub(crate) fn stopped(stopped: Stopped) -> Failure {
    let text = stopped.to_string();
    let done = stopped.done() > 0;
    let exit = |nothing: Exit| if done { Exit::PartDone } else { nothing };
    match stopped {
        Stopped::Cancelled { .. } => Failure::new(Code::Interrupted, exit(Exit::Interrupted), text),
        Stopped::Journal { error: JournalError::Refused(_), .. } => {
            Failure::new(Code::LedgerRefused, exit(Exit::Closed), text)
        }
        Stopped::Journal { error: JournalError::Unsound(unsound), .. } => {
            let failure = Failure::from(BookError::Unsound(unsound));
            Failure { exit: exit(failure.exit), ..failure }
        }
        Stopped::Journal { error: JournalError::Unwritten(_), .. } => {
            Failure::new(Code::LedgerWrite, exit(Exit::Unavailable), text)
        }
        Stopped::Failed { error, .. } => {
            let exit = if error.uncertain { Exit::PartDone } else { exit(Exit::Unavailable) };
            Failure::new(Code::PartDone, exit, text).hint(error.hint)
        }
    }
    .hint("run the same command again: it goes on where it was")
}
