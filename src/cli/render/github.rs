//! GitHub Actions: annotations as workflow commands, values for `GITHUB_OUTPUT`, and a job summary.
//! Text from outside is escaped, so that a commit message cannot inject a command.

use crate::cli::failure::Failure;
use crate::cli::report::{Annotation, Level, Report};

/// GitHub shows at most ten errors and ten warnings a step; the rest stands in the summary.
const ANNOTATIONS_MAX: usize = 10;

/// Workflow commands for standard output, one a line.
pub(crate) fn annotations(items: &[Annotation]) -> String {
    let mut text = String::new();
    for item in items.iter().take(ANNOTATIONS_MAX) {
        let level = match item.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        let place = item.file.as_ref().map_or(String::new(), |(file, line)| {
            format!("file={},line={line},", escape_property(file))
        });
        text.push_str(&format!(
            "::{level} {place}title={}::{}\n",
            escape_property(&item.title),
            escape_message(&item.message)
        ));
    }
    text
}

pub(crate) fn failure_annotation(failure: &Failure) -> Annotation {
    Annotation {
        level: Level::Error,
        title: failure.code.title().to_owned(),
        message: failure.message.clone(),
        file: None,
    }
}

/// Lines for the file that `GITHUB_OUTPUT` names. A delimiter that the value does not hold keeps
/// several lines together.
pub(crate) fn outputs(values: &[(String, String)]) -> String {
    let mut text = String::new();
    for (name, value) in values {
        let mut delimiter = String::from("ORCA_END");
        while value.contains(&delimiter) {
            delimiter.push('_');
        }
        text.push_str(&format!("{name}<<{delimiter}\n{value}\n{delimiter}\n"));
    }
    text
}

/// Markdown for the job summary: a fenced copy of what people read, so nothing in it is markup.
pub(crate) fn summary(verb: &str, report: &Report) -> String {
    let mut fence = String::from("```");
    while report.human.contains(&fence) {
        fence.push('`');
    }
    let human: String = report.human.chars().take(60_000).collect();
    let mut text = format!(
        "### orca {verb}: {}\n\n{fence}text\n{}\n{fence}\n",
        report.exit.text(),
        human.trim_end()
    );
    for command in &report.next {
        text.push_str(&format!("\nNext: `{command}`\n"));
    }
    text
}

fn escape_message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_cannot_inject() {
        let annotation = Annotation {
            level: Level::Error,
            title: "a,b:c".into(),
            message: "x\n::error::y 100%".into(),
            file: Some(("src/a.rs".into(), 3)),
        };
        assert_eq!(
            annotations(&[annotation]),
            "::error file=src/a.rs,line=3,title=a%2Cb%3Ac::x%0A::error::y 100%25\n"
        );
        let tricky = vec![("v".to_owned(), "a\nORCA_END\nb".to_owned())];
        assert_eq!(outputs(&tricky), "v<<ORCA_END_\na\nORCA_END\nb\nORCA_END_\n");
    }
}
