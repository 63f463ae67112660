//! Strict YAML: duplicate keys, loose booleans and merge keys are errors, and every error has a
//! place. Alias bombs and deep nesting run into an explicit budget.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{atomic_file, limits};

/// A value together with the line and column where it was written.
pub(crate) type Spanned<T> = serde_yaml::Spanned<T>;

/// What is wrong with an input file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}: {message}", file.display(), place(*line, *column))]
pub(crate) struct InputError {
    pub(crate) file: PathBuf,
    /// 1-based; 0 when the whole file is meant.
    pub(crate) line: u64,
    pub(crate) column: u64,
    /// What is wrong, in one lowercase fragment.
    pub(crate) message: String,
    /// The offending line as it stands in the file.
    pub(crate) text: String,
    /// What would be right.
    pub(crate) suggestion: Option<String>,
}

fn place(line: u64, column: u64) -> String {
    if line == 0 { String::new() } else { format!(":{line}:{column}") }
}

impl InputError {
    pub(crate) fn whole_file(file: &Path, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            message: message.into(),
            text: String::new(),
            suggestion: None,
        }
    }

    /// An error at the place where `value` was written in `source`.
    pub(crate) fn at<T>(
        file: &Path,
        source: &str,
        value: &Spanned<T>,
        message: impl Into<String>,
    ) -> Self {
        let (line, column) = (value.referenced.line(), value.referenced.column());
        Self {
            file: file.to_owned(),
            line,
            column,
            message: message.into(),
            text: line_of(source, line),
            suggestion: None,
        }
    }

    pub(crate) fn suggest(mut self, suggestion: impl Into<String>) -> Self {
        self.suggestion = Some(suggestion.into());
        self
    }
}

pub(crate) fn line_of(source: &str, line: u64) -> String {
    let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    source.lines().nth(index).unwrap_or_default().chars().take(200).collect()
}

/// Reads and parses a YAML file of at most [`limits::INPUT_FILE_BYTES_MAX`] bytes.
pub(crate) fn read<T: DeserializeOwned>(file: &Path) -> Result<(T, String), InputError> {
    let source = read_source(file)?;
    parse(&source, file).map(|value| (value, source))
}

/// The text of a file within the limit.
pub(crate) fn read_source(file: &Path) -> Result<String, InputError> {
    atomic_file::read_text(file, limits::INPUT_FILE_BYTES_MAX).map_err(|error| match error.kind() {
        std::io::ErrorKind::FileTooLarge => too_large(file),
        _ => InputError::whole_file(file, format!("cannot be read: {error}")),
    })
}

fn too_large(file: &Path) -> InputError {
    let message = format!("larger than {} bytes", limits::INPUT_FILE_BYTES_MAX);
    InputError::whole_file(file, message).suggest("see whether it is the file that was meant")
}

/// Parses YAML text; `file` only names it in errors.
pub(crate) fn parse<T: DeserializeOwned>(source: &str, file: &Path) -> Result<T, InputError> {
    if u64::try_from(source.len()).unwrap_or(u64::MAX) > limits::INPUT_FILE_BYTES_MAX {
        return Err(too_large(file));
    }
    if source.lines().all(|l| l.trim().is_empty() || l.trim_start().starts_with('#')) {
        let text = line_of(source, 1);
        let empty = InputError::whole_file(file, "is empty: nothing stands in it but comments");
        return Err(InputError { line: 1, column: 1, text, ..empty }
            .suggest("see `orca init` for a working file to start from"));
    }
    let options = serde_yaml::options! {
        strict_booleans: true,
        duplicate_keys: serde_yaml::DuplicateKeyPolicy::Error,
        merge_keys: serde_yaml::options::MergeKeyPolicy::Error,
        with_snippet: false,
        budget: serde_yaml::budget! {
            max_events: 200_000,
            max_depth: 64,
            max_aliases: 100,
            max_anchors: 100,
            max_nodes: 100_000,
        },
    };
    serde_yaml::from_str_with_options(source, options).map_err(|error| {
        let location = error.location();
        let line = location.as_ref().map_or(0, serde_yaml::Location::line);
        let column = location.as_ref().map_or(0, serde_yaml::Location::column);
        let text = line_of(source, line);
        let (message, suggestion) = said(&plain(&error.to_string()), word_at(&text, column));
        InputError { file: file.to_owned(), line, column, message, text, suggestion }
    })
}

/// What the parser found, in the words of somebody who writes such a file.
fn said(message: &str, word: &str) -> (String, Option<String>) {
    let advice = |message: String, advice: &str| (message, Some(advice.to_owned()));
    if let Some(rest) = message.strip_prefix("duplicate mapping key: ") {
        let key = rest.split(',').next().unwrap_or(rest);
        return advice(format!("`{key}` is there twice"), "keep one of them");
    }
    if message.starts_with("invalid boolean") {
        return advice(format!("`{word}` is no boolean"), "write true or false");
    }
    if message.contains("merge key") {
        return advice("merge keys (`<<`) are not read".to_owned(), "write the values out");
    }
    for (sign, most) in [
        ("Aliases {", "100 aliases"),
        ("Anchors {", "100 anchors"),
        ("Nodes {", "100,000 values"),
        ("Events {", "200,000 marks"),
        ("Depth {", "64 levels"),
        ("recursion limit", "64 levels"),
    ] {
        if message.contains(sign) {
            return advice(format!("more than {most}"), "write a smaller or plainer file");
        }
    }
    if let Some(kind) = message.strip_prefix("expected ").and_then(|m| m.strip_suffix(" start")) {
        let form = if kind == "mapping" { "`name: value`" } else { "`- value`" };
        return advice(format!("`{word}` is no {kind}"), &format!("write {form}"));
    }
    let suggestion = nearest(message);
    (message.to_owned(), suggestion)
}

/// The plain word that begins at `column` of `line`.
fn word_at(line: &str, column: u64) -> &str {
    let skip = usize::try_from(column.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = line.char_indices().nth(skip).map_or("", |(at, _)| &line[at..]);
    rest[..rest.find([',', '}', ']', '#']).unwrap_or(rest.len())].trim_end()
}

/// The plain word that begins at a place.
pub(super) fn word_in(source: &str, line: u64, column: u64) -> &str {
    let index = usize::try_from(line.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = word_at(source.lines().nth(index).unwrap_or_default(), column);
    rest.split(" #").next().unwrap_or(rest).trim_end()
}

/// The parser's message in one line, without the place that stands before it anyway.
fn plain(message: &str) -> String {
    let first = message.lines().next().unwrap_or_default().trim();
    let cut = first.find(" at line ").map_or(first, |at| &first[..at]);
    cut.trim_start_matches("error: ").to_owned()
}

/// For "unknown field `x`, expected one of a, b" (or a variant): the nearest known name.
fn nearest(message: &str) -> Option<String> {
    let (_, after) = message
        .split_once("unknown field `")
        .or_else(|| message.split_once("unknown variant `"))?;
    let (wrong, known) = after.split_once('`')?;
    let (_, known) = known.split_once("expected ")?;
    nearest_name(wrong, known.trim_start_matches("one of ").split(", "))
        .map(|name| format!("did you mean `{name}`?"))
}

/// The name in `known` that `wrong` was probably meant to be.
pub(crate) fn nearest_name<'a>(
    wrong: &str,
    known: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| name.trim_matches('`'))
        .map(|name| (edit_distance(wrong, name), name))
        .min()
        .filter(|(distance, name)| *distance <= name.len().div_ceil(2).min(3))
        .map(|(_, name)| name)
}

/// Levenshtein distance over characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "fields are only there to be parsed")]
    struct Sample {
        name: String,
        #[serde(default)]
        enabled: bool,
    }

    fn error(source: &str) -> InputError {
        parse::<Sample>(source, Path::new("x.yaml")).unwrap_err()
    }

    #[test]
    fn every_loose_form_is_an_error_with_a_place() {
        let unknown = error("name: a\nenabeld: true\n");
        assert_eq!((unknown.line, unknown.text.as_str()), (2, "enabeld: true"));
        assert_eq!(unknown.suggestion.as_deref(), Some("did you mean `enabled`?"));
        assert_eq!(error("name: a\nname: b\n").line, 2);
        assert_eq!(error("name: a\nenabled: yes\n").line, 2);
        assert!(error("base: &b {name: a}\n<<: *b\n").line > 0);
        assert!(error("# nothing\n\n").message.contains("empty"));
        assert!(error(&"[".repeat(100_000)).line > 0);
        assert!(error(&"x".repeat(2_000_000)).message.contains("larger"));
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..10 {
            let before = format!("*a{}", level - 1);
            let items = vec![before; 10].join(", ");
            bomb += &format!("a{level}: &a{level} [{items}]\n");
        }
        assert!(parse::<serde_json::Value>(&bomb, Path::new("bomb.yaml")).is_err());
    }
}
