//! The version in the files that carry it. Pure; every other byte stays as it is.

use std::ops::Range;

/// Why a file cannot be given a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VersionFileError {
    #[error("{path} is no file whose version orca knows to set: package.json and Cargo.toml are")]
    UnknownKind { path: String },
    #[error("{path} cannot be read: {detail}")]
    Unreadable { path: String, detail: String },
    #[error("{path} has no {place}")]
    NoVersion { path: String, place: &'static str },
}

/// `bytes` of the file at `path`, saying `version`.
pub(crate) fn with_version(
    path: &str,
    bytes: &[u8],
    version: &str,
) -> Result<Vec<u8>, VersionFileError> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let find: fn(&str) -> Result<Vec<Range<usize>>, Problem> = match name {
        "package.json" => in_package_json,
        "Cargo.toml" => in_cargo_toml,
        _ => return Err(VersionFileError::UnknownKind { path: path.to_owned() }),
    };
    let error = |problem| match problem {
        Problem::Unreadable(detail) => {
            VersionFileError::Unreadable { path: path.to_owned(), detail }
        }
        Problem::NoVersion(place) => VersionFileError::NoVersion { path: path.to_owned(), place },
    };
    let text = std::str::from_utf8(bytes).map_err(|e| error(Problem::Unreadable(e.to_string())))?;
    let mut written = text.to_owned();
    for place in find(text).map_err(error)?.into_iter().rev() {
        written.replace_range(place, version);
    }
    Ok(written.into_bytes())
}

enum Problem {
    Unreadable(String),
    NoVersion(&'static str),
}

/// The text between the quotes of every top-level `version`: a reader takes the last one.
fn in_package_json(text: &str) -> Result<Vec<Range<usize>>, Problem> {
    let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    serde_json::from_str::<serde_json::Value>(&text[start..])
        .map_err(|e| Problem::Unreadable(e.to_string()))?;
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut key) = (start, 0_usize, None);
    let mut found = Vec::new();
    while at < bytes.len() {
        match bytes[at] {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b',' => key = None,
            b'"' => {
                let end = string_end(bytes, at);
                let is_key = key.is_none() && depth == 1;
                if is_key {
                    key = serde_json::from_str::<String>(&text[at..=end]).ok();
                } else if depth == 1 && key.as_deref() == Some("version") {
                    found.push(at + 1..end);
                }
                at = end;
            }
            _ => {}
        }
        at += 1;
    }
    if found.is_empty() { Err(Problem::NoVersion("top-level \"version\"")) } else { Ok(found) }
}

/// The closing quote of the string that opens at `open`.
fn string_end(bytes: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at.min(bytes.len() - 1)
}

/// `version = "..."` of `[package]`, else of `[workspace.package]` from which packages inherit.
fn in_cargo_toml(text: &str) -> Result<Vec<Range<usize>>, Problem> {
    let (mut table, mut open) = (String::new(), None);
    let (mut package, mut workspace) = (None, None);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let at = start;
        start += line.len();
        let was_open = open;
        open = still_open(line, open);
        if was_open.is_some() {
            continue;
        }
        let bare = line.trim_start_matches('\u{feff}').trim();
        if let Some(header) = bare.strip_prefix('[') {
            let name = header.split(']').next().unwrap_or_default();
            table = name.chars().filter(|c| !c.is_whitespace()).collect();
            continue;
        }
        let place = || quoted_version(line).map(|range| at + range.start..at + range.end);
        match table.as_str() {
            "package" => package = package.or_else(place),
            "workspace.package" => workspace = workspace.or_else(place),
            _ => {}
        }
    }
    let place = package.or(workspace);
    place.map(|place| vec![place]).ok_or(Problem::NoVersion("version = \"...\" under [package]"))
}

/// The quotes of a text over several lines that is open after `line`.
fn still_open(line: &str, open: Option<&'static str>) -> Option<&'static str> {
    let (mut rest, mut open) = (line, open);
    if open.is_none() && line.trim_start().starts_with('#') {
        return None;
    }
    loop {
        let next = match open {
            Some(quotes) => rest.find(quotes).map(|at| (at, quotes)),
            None => ["\"\"\"", "'''"].iter().filter_map(|q| Some((rest.find(q)?, *q))).min(),
        };
        let Some((at, quotes)) = next else { return open };
        rest = &rest[at + 3..];
        open = if open.is_some() { None } else { Some(quotes) };
    }
}

/// What stands between the quotes of a line `version = "..."`.
fn quoted_version(line: &str) -> Option<Range<usize>> {
    let key = line.trim_start().split(['=', ' ', '\t']).next()?;
    let (before, after) = line.split_once('=')?;
    if !matches!(key, "version" | "\"version\"") || before.trim() != key {
        return None;
    }
    let value = after.trim_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let start = line.len() - value.len() + 1;
    let length = line[start..].find(quote)?;
    Some(start..start + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(path: &str, text: &str) -> Result<String, VersionFileError> {
        let once = with_version(path, text.as_bytes(), "1.3.0")?;
        assert_eq!(with_version(path, &once, "1.3.0").unwrap(), once);
        Ok(String::from_utf8(once).unwrap())
    }

    #[test]
    fn only_the_version_changes() {
        for (path, before, after) in [
            ("package.json", "{\"version\":\"1.2.0\"}", "{\"version\":\"1.3.0\"}"),
            (
                "web/package.json",
                "\u{feff}{\r\n\t\"a\": [{\"version\": \"9\"}],\r\n\t\"b\": \"version\",\r\n\t\"version\" : \"1.\\\"2\",\"c\": {\"version\": \"8\"}\r\n}",
                "\u{feff}{\r\n\t\"a\": [{\"version\": \"9\"}],\r\n\t\"b\": \"version\",\r\n\t\"version\" : \"1.3.0\",\"c\": {\"version\": \"8\"}\r\n}",
            ),
            (
                "Cargo.toml",
                "[dependencies]\nversion = \"7\"\n[ package ] # x\nname = \"version\"\nversion.workspace = true\nrust-version = \"1.9\"\nversion='1.2.0' # now\r\n[a]\nversion = \"6\"",
                "[dependencies]\nversion = \"7\"\n[ package ] # x\nname = \"version\"\nversion.workspace = true\nrust-version = \"1.9\"\nversion='1.3.0' # now\r\n[a]\nversion = \"6\"",
            ),
            (
                "Cargo.toml",
                "[package]\ndescription = \"\"\"\nversion = \"5\"\n\"\"\"\nversion.workspace = true\n[workspace.package]\nversion = \"1.2.0\"\n",
                "[package]\ndescription = \"\"\"\nversion = \"5\"\n\"\"\"\nversion.workspace = true\n[workspace.package]\nversion = \"1.3.0\"\n",
            ),
        ] {
            assert_eq!(run(path, before).unwrap(), after);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (path, text, message) in [
            ("package.json", "{\"a\": {\"version\": \"1\"}}", "has no top-level"),
            ("package.json", "{\"version\": 1}", "has no top-level"),
            ("package.json", "{\"version\": \"1\"", "cannot be read: EOF"),
            ("a/Cargo.toml", "[package]\nname = \"a\"\n", "a/Cargo.toml has no version"),
            ("setup.py", "version = '1'", "setup.py is no file"),
        ] {
            let error = run(path, text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[\\[\\]{}\"'=#,: \n\\\\a-c]{0,60}|(\\[package\\]\n)(\\PC{0,9}\n)*version = \"\\PC*\"") {
            for path in ["package.json", "Cargo.toml"] {
                let _ = with_version(path, text.as_bytes(), "1.3.0");
            }
        }
    }
}
