//! Files of environment variables (`.env`): `KEY=value` lines, quotes, comments, `export`. Values are
//! taken as they stand: nothing is expanded. A key that stands there twice is an error, and every
//! error has a line. The one home of the crate that reads them.

use std::path::Path;

use dotenvor::ParseErrorKind;

use super::redact::Secret;
use super::yaml::InputError;
use super::{atomic_file, limits};

/// One variable and the line where it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) key: String,
    pub(crate) value: Secret,
    pub(crate) line: u64,
}

pub(crate) fn read(file: &Path) -> Result<Vec<Variable>, InputError> {
    let source = atomic_file::read_text(file, limits::INPUT_FILE_BYTES_MAX)
        .map_err(|error| InputError::whole_file(file, error.to_string()))?;
    parse(&source, file)
}

/// `file` only names the text in errors. Errors never show a line: it may hold a secret.
fn parse(source: &str, file: &Path) -> Result<Vec<Variable>, InputError> {
    let wrong = |line: u64, column: u64, message: String, suggestion: &str| {
        let mut error = InputError::whole_file(file, message);
        (error.line, error.column) = (line, column);
        error.suggest(suggestion)
    };
    let entries = dotenvor::parse_str(source).map_err(|error| match error {
        dotenvor::Error::Parse(error) => {
            let (line, column) = (u64::from(error.line), u64::from(error.column));
            let (message, suggestion) = match error.kind {
                ParseErrorKind::MissingKey => ("there is no name before the =", "write KEY=value"),
                ParseErrorKind::InvalidKey => {
                    ("the name is none", "use letters, digits and underscores: API_URL=...")
                }
                ParseErrorKind::UnterminatedQuote => {
                    ("a quote is not closed", "close it, or put the value in the other quotes")
                }
                ParseErrorKind::InvalidSyntax => ("this is no variable", "write KEY=value"),
            };
            wrong(line, column, message.to_owned(), suggestion)
        }
        other => InputError::whole_file(file, other.to_string()),
    })?;
    for entry in &entries {
        let (line, key) = (u64::from(entry.line), &entry.key);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !key.chars().all(is_name) || key.starts_with(|c: char| c.is_ascii_digit()) {
            let text = format!("'{key}' cannot name a variable");
            return Err(wrong(line, 1, text, "use letters, digits and underscores: API_URL=..."));
        }
        if let Some(first) = earlier(source, key, line) {
            let text = format!("{key} stands here twice: on line {first} too");
            return Err(wrong(line, 1, text, "keep the one that is meant"));
        }
    }
    let own = |entry: dotenvor::Entry| Variable {
        key: entry.key,
        value: Secret::new(entry.value),
        line: u64::from(entry.line),
    };
    Ok(entries.into_iter().map(own).collect())
}

/// The line before `line` on which `key` is set as well. A line inside a quoted value sets nothing:
/// what stands before it does not read by itself.
fn earlier(source: &str, key: &str, line: u64) -> Option<u64> {
    let mut before = String::new();
    for (number, text) in (1..line).zip(source.lines()) {
        let bare = text.trim_start();
        let bare = bare.strip_prefix("export ").unwrap_or(bare).trim_start();
        let rest = bare.strip_prefix(key).map(str::trim_start);
        if rest.is_some_and(|rest| rest.starts_with('=')) && dotenvor::parse_str(&before).is_ok() {
            return Some(number);
        }
        before.push_str(text);
        before.push('\n');
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(source: &str) -> Result<Vec<Variable>, InputError> {
        parse(source, Path::new(".env.production"))
    }

    #[test]
    fn values_are_taken_as_they_stand() {
        let found = file(
            "# comment\nA=1\nexport B=\"two words\" # why\nC='$A ${A} #'\nD=pa$$word\nE=\"a\nC=b\nc\"\nF=\n",
        );
        let found = found.unwrap();
        let pairs: Vec<(&str, &str, u64)> =
            found.iter().map(|v| (v.key.as_str(), v.value.expose(), v.line)).collect();
        assert_eq!(
            pairs,
            [
                ("A", "1", 2),
                ("B", "two words", 3),
                ("C", "$A ${A} #", 4),
                ("D", "pa$$word", 5),
                ("E", "a\nC=b\nc", 6),
                ("F", "", 9),
            ]
        );
    }

    #[test]
    fn what_is_wrong_has_a_line_and_never_shows_it() {
        for (source, line, says) in [
            ("A=1\nthis-is-secret\n", 2, "this is no variable"),
            ("A=1\n=secret\n", 2, "no name before the ="),
            ("A=1\nB=\"secret\n", 2, "a quote is not closed"),
            ("A-B=secret\n", 1, "'A-B' cannot name a variable"),
            ("1A=secret\n", 1, "'1A' cannot name a variable"),
            ("A=secret\nB=2\nA=secret\n", 3, "A stands here twice: on line 1 too"),
        ] {
            let error = file(source).unwrap_err();
            assert_eq!(error.line, line, "{source:?}: {error}");
            assert!(error.message.contains(says), "{source:?}: {error}");
            assert!(!format!("{error:?}").contains("secret"), "{error:?}");
            assert!(error.suggestion.is_some(), "{error}");
        }
    }
}
