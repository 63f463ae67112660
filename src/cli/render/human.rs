//! For people: the answer first, then what to type next. Colour only on a terminal, and never as
//! the only sign.

use crate::cli::failure::Failure;
use crate::cli::report::Report;

/// A finished verb.
pub(crate) fn report(report: &Report) -> String {
    let mut text = report.human.trim_end().to_owned();
    if !report.next.is_empty() {
        text.push_str("\n\nNext:\n");
        for command in &report.next {
            text.push_str("  ");
            text.push_str(command);
            text.push('\n');
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// A failed verb: what, where, what to do, and where more stands.
pub(crate) fn failure(failure: &Failure) -> String {
    let mut text = format!("error[{}]: {}\n", failure.code.as_str(), failure.message);
    if let Some(excerpt) = &failure.excerpt {
        text.push_str(&format!("  | {excerpt}\n"));
    }
    for hint in &failure.hints {
        text.push_str(&format!("  help: {hint}\n"));
    }
    text.push_str(&format!("  more: orca explain {}\n", failure.code.as_str()));
    text
}
